"""What only a real cluster can show of the plugin: rights, admission, taints, quotas, a kubelet that does not answer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import lifecycle, machine, places
from tests.cluster.kubectl import Kubectl, wait_for
from tests.datapath.records import Lab
from tests.e2e.listing import pods
from tests.e2e.place import CLIENT, SERVICE, Cluster, Run

pytestmark = [pytest.mark.cluster]

RBAC = places.ROOT / "docs" / "rbac.yaml"
SPACE = "vxtrace-test"


@pytest.fixture
def cluster(planned: tuple[Lab, str]) -> Iterator[Cluster]:
    """The cluster, with the same pods before and after."""
    place = Cluster(places.KUBECONFIG)
    before = pods(place.kubeconfig)
    yield place
    wait_for("the same pods as before", lambda: pods(place.kubeconfig) == before, 60, lambda: str(pods(place.kubeconfig) ^ before))


@pytest.fixture
def space(kubectl: Kubectl) -> Iterator[str]:
    """A namespace for one test."""
    kubectl.run("create", "namespace", SPACE)
    yield SPACE
    kubectl.run("delete", "namespace", SPACE, "--timeout=60s")


@pytest.fixture
def tracer(kubectl: Kubectl, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster as somebody sees it who has no more rights than docs/rbac.yaml gives."""
    kubectl.run("apply", "--filename", str(RBAC))
    kubectl.run("create", "serviceaccount", "tracer", "--namespace", "default")
    kubectl.run("create", "clusterrolebinding", "tracer", "--clusterrole=vxtrace-read", "--serviceaccount=default:tracer")
    kubectl.run("create", "rolebinding", "tracer", "--namespace", "default", "--role=vxtrace-debug", "--serviceaccount=default:tracer")
    config = json.loads(places.KUBECONFIG.read_text())
    config["users"][0]["user"] = {"token": kubectl.run("create", "token", "tracer", "--namespace", "default").strip()}
    path = tmp_path / "tracer.kubeconfig"
    path.write_text(json.dumps(config))
    yield Cluster(path)
    kubectl.run("delete", "clusterrolebinding,serviceaccount,rolebinding", "tracer", "--namespace", "default")
    kubectl.run("delete", "--filename", str(RBAC))


def _trace(place: Cluster, cwd: Path, *more: str) -> Run:
    return place.trace("--bundle", "none", *more, cwd=cwd, duration="2s")


def _refused(run: Run, code: int, *said: str) -> None:
    assert run.code == code, run.stderr
    assert run.stdout == ""
    for text in said:
        assert text in run.stderr


def test_the_rights_of_the_manual_are_enough(cluster: Cluster, tracer: Cluster, tmp_path: Path) -> None:
    run = _trace(tracer, tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


@pytest.mark.parametrize(
    ("kind", "rule", "rights"),
    [
        ("role/vxtrace-debug", {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]}, "create pods"),
        ("role/vxtrace-debug", {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}, "create pods/exec"),
    ],
)
def test_a_missing_right_is_named(
    cluster: Cluster, tracer: Cluster, kubectl: Kubectl, kind: str, rule: dict[str, list[str]], rights: str, tmp_path: Path
) -> None:
    role = json.loads(kubectl.run("get", "--namespace", "default", kind, "--output", "json"))
    role["rules"] = [rule if each["resources"] == rule["resources"] else each for each in role["rules"]]
    kubectl.run("replace", "--filename", "-", text=json.dumps(role))
    _refused(_trace(tracer, tmp_path), 2, rights)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_pod_security_refuses_and_the_message_says_what_to_do(
    cluster: Cluster, kubectl: Kubectl, space: str, level: str, tmp_path: Path
) -> None:
    kubectl.run("label", "namespace", space, f"pod-security.kubernetes.io/enforce={level}")
    _refused(_trace(cluster, tmp_path, "--debug-namespace", space), 2, f'PodSecurity "{level}:latest"', "enforce=privileged")
    kubectl.run("label", "namespace", space, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    assert _trace(cluster, tmp_path, "--debug-namespace", space).code == 0


def test_a_limit_range_is_told(cluster: Cluster, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    limits = [{"type": "Container", "max": {"memory": "32Mi"}, "default": {"memory": "16Mi"}}]
    kubectl.apply(
        [{"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small", "namespace": space}, "spec": {"limits": limits}}]
    )
    _refused(_trace(cluster, tmp_path, "--debug-namespace", space), 2, "maximum memory usage", "--debug-namespace")


def test_a_quota_that_leaves_one_pod_gives_a_partial_report(cluster: Cluster, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    kubectl.run("create", "quota", "one", "--namespace", space, "--hard=pods=1")
    run = _trace(cluster, tmp_path, "--debug-namespace", space)
    assert run.code == 4, run.stderr
    assert run.report["completeness"]["complete"] is False
    assert any("exceeded quota" in blind["reason"] for blind in run.report["completeness"]["blind"])


def test_cordoned_and_tainted_nodes_are_traced(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.run("cordon", "ada-ec-2")
    kubectl.run("taint", "node", "ada-ec-3", "vxtrace=test:NoSchedule")
    try:
        run = _trace(cluster, tmp_path)
    finally:
        kubectl.run("uncordon", "ada-ec-2")
        kubectl.run("taint", "node", "ada-ec-3", "vxtrace=test:NoSchedule-")
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


def test_a_kubelet_that_does_not_answer_makes_its_node_blind(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    """Stopped before the capture: the pod of that node never runs. The other two nodes are traced."""
    node = machine.found(places.state_dir(), "ada-ec-2")
    node.run(["pkill", "-STOP", "-x", "kubelet"])
    try:
        run = cluster.vxtrace(
            "pod", CLIENT, "--to", SERVICE, "--duration", "2s", "--bundle", "none", "-o", "json", "--max-wall", "60s", cwd=tmp_path
        )
    finally:
        node.run(["pkill", "-CONT", "-x", "kubelet"])
    assert run.code in (3, 4, 5), run.stderr
    assert run.report["completeness"]["complete"] is False
    assert {blind["node"] for blind in run.report["completeness"]["blind"]} == {"ada-ec-2"}
    wait_for("every pod ready", lambda: not lifecycle.waiting_pods(kubectl), 60, lambda: "; ".join(lifecycle.waiting_pods(kubectl)))
