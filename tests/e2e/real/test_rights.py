"""A user with no more rights than the manual gives, and with one less."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.details import detailed
from kubectl_vxtrace.kube.podwatch import last_warning
from kubectl_vxtrace.kube.rest import Api
from kubectl_vxtrace.kube.rights import ALWAYS, of_networks
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.request import Access
from kubectl_vxtrace.topology.cni import CNIS
from tests.cluster.kubectl import Kubectl
from tests.e2e.place import Cluster, Lab
from tests.e2e.real.conftest import RBAC
from tests.e2e.real.running import refused, trace

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]

Rules = list[dict[str, Any]]
Right = tuple[str, str, str, str]  # role, verb, group, resource

ROLES: dict[str, Rules] = {
    f"{document['kind'].lower()}/{document['metadata']['name']}": document["rules"] for document in yaml.safe_load_all(RBAC.read_text())
}
# VXTRACE_EVERY_RIGHT=1 takes every right away in turn (four minutes), else one of ten.
STEP = 1 if os.environ.get("VXTRACE_EVERY_RIGHT") else 10
# The traces of these tests have a Service as their target.
OF_A_SERVICE = {"services", "endpointslices"}
NEEDS = {(need.verb, need.group, need.resource): need for need in (*of_networks(CNIS), *ALWAYS)}


def _single(rules: Rules) -> Rules:
    """The same rules, each of one resource and one verb."""
    return [rule | {"resources": [resource], "verbs": [verb]} for rule in rules for resource in rule["resources"] for verb in rule["verbs"]]


def _right(role: str, rule: dict[str, Any]) -> Right:
    return role, rule["verbs"][0], rule["apiGroups"][0], rule["resources"][0]


RIGHTS = [_right(role, rule) for role, rules in ROLES.items() for rule in _single(rules)]


def _without(kubectl: Kubectl, *taken: Right) -> None:
    """Give the roles all rules but these."""
    for role in {right[0] for right in taken}:
        namespace = [] if role.startswith("clusterrole/") else ["--namespace", "default"]
        found = json.loads(kubectl.run("get", *namespace, role, "--output", "json"))
        rules = [rule for rule in _single(ROLES[role]) if _right(role, rule) not in taken]
        kubectl.run("replace", "--filename", "-", text=json.dumps(found | {"rules": rules}))


def _find(verb: str, resource: str) -> Right:
    (right,) = [right for right in RIGHTS if (right[1], right[3]) == (verb, resource)]
    return right


def _notes(report: dict[str, Any]) -> Sequence[str]:
    return [str(note) for note in report["completeness"].get("notes", ())]


def test_the_rights_of_the_manual_are_enough(place: Lab, tracer: Cluster, tmp_path: Path) -> None:
    run = trace(tracer, tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    assert _notes(run.report) == []
    checked = json.loads(tracer.vxtrace("check", "-o", "json", cwd=tmp_path).stdout)["checks"]
    assert {item["state"] for item in checked} == {"ok"}


# What the others are for the tests below show.
# No cluster of these tests has Cilium.
OF_A_TRACE = [right for right in RIGHTS if right[2] != "cilium.io" and right[3] not in ("events", "resourcequotas", "configmaps")]


@pytest.mark.parametrize("right", OF_A_TRACE[::STEP], ids="-".join)
def test_one_right_less_is_named(place: Lab, tracer: Cluster, kubectl: Kubectl, right: Right, tmp_path: Path) -> None:
    """The trace says which, and cannot run, or tells what it does not know for it."""
    _without(kubectl, right)
    need = NEEDS[right[1:]]
    run = trace(tracer, tmp_path)
    if need.without is None or need.resource in OF_A_SERVICE:
        refused(run, 2, f"{need.verb} {need.resource}")
        return
    assert (run.code, run.report["verdict"], run.report["completeness"]["complete"]) == (0, "delivered", True), run.stderr
    (note,) = _notes(run.report)
    assert note.startswith(f"{need.verb} {need.resource}{f'.{need.group}' if need.group else ''} "), note
    assert note.endswith(f"is forbidden: {need.without}")


def test_the_configuration_of_a_network_is_read_by_these_rights(tracer: Cluster, kubectl: Kubectl) -> None:
    """Of every network, whichever this cluster has: the API looks at the right first."""
    connection = connect(Access(kubeconfig=str(tracer.kubeconfig)))
    assert all(detailed(connection, ClusterSnapshot(), (), (cni,)).refused == () for cni in CNIS)
    _without(kubectl, _find("get", "configmaps"))
    found = [sentence for cni in CNIS for sentence in detailed(connection, ClusterSnapshot(), (), (cni,)).refused]
    assert found, "flannel's and Canal's were asked for"
    assert all(sentence.startswith("get configmaps ") for sentence in found), found


def test_check_tells_what_each_right_would_have_told(place: Lab, tracer: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    """All that a trace can do without at once; those of networks that this cluster does not have are not asked."""
    optional = [right for right in RIGHTS if NEEDS[right[1:]].without is not None and right[2] != "cilium.io" and right[3] != "configmaps"]
    _without(kubectl, *optional)
    run = tracer.vxtrace("check", "-o", "json", cwd=tmp_path)
    assert run.code == 0, run.stderr
    less = {(item["name"].split(" in ")[0], item["detail"]) for item in json.loads(run.stdout)["checks"] if item["state"] == "less"}
    needs = [NEEDS[right[1:]] for right in optional]
    assert {detail for _, detail in less} == {need.without for need in needs}
    assert {" ".join(name.split()[:2]) for name, _ in less} == {" ".join(str(need).split()[:2]) for need in needs}


def test_why_a_pod_does_not_start_is_told_by_its_events(tracer: Cluster, kubectl: Kubectl) -> None:
    kubectl.apply([_warning("waiting")])
    try:
        with Api(connect(Access(kubeconfig=str(tracer.kubeconfig)))) as api:
            assert last_warning(api, "default", "waiting") == "FailedCreatePodSandBox: no sandbox image"
            _without(kubectl, _find("list", "events"))
            assert "its events cannot be read: events is forbidden" in str(last_warning(api, "default", "waiting"))
    finally:
        kubectl.run("delete", "event", "waiting", "--namespace", "default")


def _warning(pod: str) -> dict[str, Any]:
    """An event such as a kubelet writes."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": pod, "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": pod, "namespace": "default"},
        "type": "Warning",
        "reason": "FailedCreatePodSandBox",
        "message": "no sandbox image",
    }
