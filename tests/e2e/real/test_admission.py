"""What the API server refuses: Pod Security, quotas, limits, a namespace that is going away."""

import json
from pathlib import Path

import pytest

from tests.cluster.kubectl import Kubectl
from tests.e2e.place import Lab
from tests.e2e.real.running import refused, trace

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_pod_security_refuses_and_the_message_says_what_to_do(place: Lab, kubectl: Kubectl, space: str, level: str, tmp_path: Path) -> None:
    kubectl.run("label", "namespace", space, f"pod-security.kubernetes.io/enforce={level}")
    refused(trace(place, tmp_path, "--debug-namespace", space), 2, f'PodSecurity "{level}:latest"', "enforce=privileged")
    kubectl.run("label", "namespace", space, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    assert trace(place, tmp_path, "--debug-namespace", space).code == 0


def test_a_limit_range_is_told(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    limits = [{"type": "Container", "max": {"memory": "32Mi"}, "default": {"memory": "16Mi"}}]
    kubectl.apply(
        [{"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small", "namespace": space}, "spec": {"limits": limits}}]
    )
    refused(trace(place, tmp_path, "--debug-namespace", space), 2, "maximum memory usage", "--debug-namespace")


def test_a_quota_that_leaves_one_pod_gives_a_partial_report(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    kubectl.run("create", "quota", "one", "--namespace", space, "--hard=pods=1")
    run = trace(place, tmp_path, "--debug-namespace", space)
    assert run.code == 4, run.stderr
    assert run.report["completeness"]["complete"] is False
    assert any("exceeded quota" in blind["reason"] for blind in run.report["completeness"]["blind"])


def test_check_sees_that_a_quota_leaves_one_pod(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    kubectl.run("create", "quota", "one", "--namespace", space, "--hard=pods=1")
    run = place.vxtrace("check", "--debug-namespace", space, "-o", "json", cwd=tmp_path)
    assert run.code == 0, run.stderr
    (quota,) = [item for item in json.loads(run.stdout)["checks"] if item["kind"] == "quota"]
    assert (quota["name"], quota["state"]) == ("one", "less")
    assert quota["detail"] == "pods 0 of 1 used: room for 1 of 3 debug pods"


def test_a_quota_of_resources_is_met(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """Where a quota counts requests and limits, a pod must state each of them."""
    hard = "requests.cpu=4,limits.memory=4Gi,requests.memory=4Gi,limits.ephemeral-storage=8Gi,pods=10"
    kubectl.run("create", "quota", "resources", "--namespace", space, f"--hard={hard}")
    run = trace(place, tmp_path, "--debug-namespace", space)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


def test_a_quota_that_leaves_nothing_is_told(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    kubectl.run("create", "quota", "nothing", "--namespace", space, "--hard=limits.cpu=1")
    refused(trace(place, tmp_path, "--debug-namespace", space), 2, "quota", "--debug-namespace")


def test_a_namespace_that_is_going_away_is_told(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": space, "finalizers": ["vxtrace.test/held"]}}
    kubectl.apply([held])
    kubectl.run("delete", "namespace", space, "--wait=false")
    try:
        refused(trace(place, tmp_path, "--debug-namespace", space), 2, f"namespace {space}", "terminat", "--debug-namespace")
    finally:
        kubectl.run(
            "patch", "configmap", "held", "--namespace", space, "--type=merge", "--patch", json.dumps({"metadata": {"finalizers": []}})
        )
        kubectl.run("wait", "namespace", space, "--for=delete", "--timeout=60s")
        kubectl.run("create", "namespace", space)  # the fixture deletes it
