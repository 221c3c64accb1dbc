"""The table of what is asked of the API, and the manual that follows it."""

from pathlib import Path
from typing import Any

import yaml

from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.kube.rights import ALL, ALWAYS, Refusals, Where, of_networks
from kubectl_vxtrace.topology.cni import CNIS

RBAC = Path(__file__).parents[2] / "docs" / "rbac.yaml"
Grant = tuple[str, str, str, tuple[str, ...]]


def _granted(kind: str) -> list[Grant]:
    """(verb, group, resource, names) of each right that the manual's role of that kind gives."""
    documents: list[dict[str, Any]] = [each for each in yaml.safe_load_all(RBAC.read_text()) if each["kind"] == kind]
    return [
        (verb, group, resource, tuple(rule.get("resourceNames", ())))
        for document in documents
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def test_the_manual_gives_what_is_asked_and_nothing_else() -> None:
    needs = (*ALWAYS, *of_networks(CNIS))
    asked = {where: {(need.verb, need.group, need.resource, need.names) for need in needs if need.where is where} for where in Where}
    everywhere = asked[Where.CLUSTER] | asked[Where.ASKED]
    assert sorted(_granted("ClusterRole")) == sorted(everywhere)
    assert sorted(_granted("Role")) == sorted(asked[Where.DEBUG] - everywhere)


def test_a_need_of_two_networks_is_one_with_the_names_of_both() -> None:
    assert [need.names for need in of_networks(CNIS) if need.resource == "daemonsets"] == [("calico-node", "canal", "rke2-canal")]


def test_refusals_are_told_once_with_their_namespaces_and_what_is_not_known() -> None:
    refusals = Refusals(ALWAYS)
    forbidden = ApiError("https://api", 403, "no")
    for namespace in ("shop", "kotsadm"):
        refusals.add("list", "networking.k8s.io/v1", "networkpolicies", namespace, forbidden)
    refusals.add("list", "", "services", ALL, ApiError("https://api", 500, "ill"))
    refusals.add("list", "apps/v1", "deployments", "shop", ApiError("https://api", 404, "not found"))
    refusals.add("list", "", "nodes", ALL, forbidden)
    policies, services, nodes = refusals.sentences()
    assert policies.startswith("list networkpolicies.networking.k8s.io in namespaces kotsadm, shop is forbidden: the bundle does not say")
    assert services.startswith("list services in all namespaces failed (ill): ")
    assert nodes.startswith("list nodes is forbidden: ")
