"""A user with no more rights than the manual gives, and with one less."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kubectl import Kubectl
from tests.e2e.place import CLIENT, SERVICE, Cluster, Lab
from tests.e2e.real.conftest import RBAC
from tests.e2e.real.running import refused, trace

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]

ROLES: dict[str, Any] = {
    f"{document['kind'].lower()}/{document['metadata']['name']}": document["rules"] for document in yaml.safe_load_all(RBAC.read_text())
}

# Needed by other targets (a Deployment, a Service in another namespace), or only to say more of a pod that does not start.
SPARED = {
    *(f"{verb} {kind}" for verb in ("get", "list") for kind in ("namespaces", "deployments", "replicasets", "statefulsets", "daemonsets")),
    *("get services", "get endpointslices", "watch pods", "list events"),
}


def _rights() -> list[tuple[str, str]]:
    """(verb, resource) of each right in the manual."""
    rules = [rule for found in ROLES.values() for rule in found]
    return sorted({(verb, resource) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]})


def _without(rules: list[dict[str, Any]], verb: str, resource: str) -> list[dict[str, Any]]:
    """The rules, each for one resource, less that right."""
    single = [rule | {"resources": [each]} for rule in rules for each in rule["resources"]]
    found = [rule | {"verbs": [each for each in rule["verbs"] if (each, rule["resources"][0]) != (verb, resource)]} for rule in single]
    return [rule for rule in found if rule["verbs"]]


def test_the_rights_of_the_manual_are_enough(place: Lab, tracer: Cluster, tmp_path: Path) -> None:
    run = trace(tracer, tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


def _take(kubectl: Kubectl, role: str, rules: list[dict[str, Any]]) -> None:
    """Give a role these rules."""
    namespace = [] if role.startswith("clusterrole/") else ["--namespace", "default"]
    found = json.loads(kubectl.run("get", *namespace, role, "--output", "json"))
    kubectl.run("replace", "--filename", "-", text=json.dumps(found | {"rules": rules}))


def test_one_right_less_is_named(place: Lab, tracer: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    """Or it is one that this trace can do without: then a trace does without all of these together."""
    spared = []
    for verb, resource in _rights():
        for role, rules in ROLES.items():
            _take(kubectl, role, _without(rules, verb, resource))
        run = tracer.vxtrace("check", "pod", CLIENT, "--to", SERVICE, cwd=tmp_path)
        assert run.code in (0, 2), run.stderr
        if run.code == 0:
            spared.append((verb, resource))
        else:
            assert f"{verb} {resource}" in run.stdout + run.stderr, run.stdout + run.stderr
    for role, rules in ROLES.items():
        for verb, resource in spared:
            rules = _without(rules, verb, resource)
        _take(kubectl, role, rules)
    run = trace(tracer, tmp_path)
    assert run.code == 0, f"{spared}: {run.stderr}"
    assert (run.report["verdict"], run.report["completeness"]["complete"]) == ("delivered", True)
    assert {f"{verb} {resource}" for verb, resource in spared} == SPARED


@pytest.mark.parametrize("right", ["create pods", "create pods/exec"])
def test_a_trace_names_it_too(place: Lab, tracer: Cluster, kubectl: Kubectl, right: str, tmp_path: Path) -> None:
    role = "role/vxtrace-debug"
    _take(kubectl, role, _without(ROLES[role], *right.split()))
    refused(trace(tracer, tmp_path), 2, right)
