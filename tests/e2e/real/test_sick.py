"""A cluster that is sick. What can be had is reported, with what is missing and why; nothing is claimed that nobody knows.

Some wait for what Kubernetes takes a minute to notice, or for a node to come back: `make promises` runs them all, CI the others.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import lifecycle, machine, places
from tests.cluster.image import TOOLS_TAG
from tests.cluster.kubectl import Kubectl, wait_for
from tests.e2e import kernel
from tests.e2e.place import Lab
from tests.e2e.real.conftest import asking_pod
from tests.e2e.real.running import refused, trace, tracing

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]

CLIENT_NODE = "ada-ec-1"
NODE, NODE_ADDRESS = "ada-ec-2", "10.128.0.95"
OURS = ("--namespace", "default", "--selector", "app.kubernetes.io/managed-by=kubectl-vxtrace")
DENIED = "no debug pods in this house"


@contextmanager
def _kubelet_hangs(kubectl: Kubectl) -> Iterator[None]:
    """A node's kubelet says nothing any more, for so long that the API has marked the node."""
    node = machine.found(places.state_dir(), NODE)
    node.run(["pkill", "-STOP", "-x", "kubelet"])
    try:
        wait_for(f"{NODE} not ready", lambda: _ready(kubectl) != "True", 90, lambda: _ready(kubectl))
        yield
    finally:
        node.run(["pkill", "-CONT", "-x", "kubelet"])
        _wait_whole(kubectl)


@contextmanager
def _cut_off(kubectl: Kubectl) -> Iterator[None]:
    """Nothing goes to a node or comes from it: for all others it is dead."""
    hooks = (("input", "iifname != lo drop"), ("output", "oifname != lo drop"), ("forward", "drop"))
    script = kernel.table("inet", "dead", [], [kernel.chain(f"at_{hook}", hook, -400, [rule]) for hook, rule in hooks])
    kernel.nft(NODE, script)
    try:
        yield
    finally:
        kernel.nft(NODE, "delete table inet dead")
        _wait_whole(kubectl)


def _ready(kubectl: Kubectl) -> str:
    return kubectl.run("get", "node", NODE, "--output", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")


def _wait_whole(kubectl: Kubectl) -> None:
    wait_for(f"{NODE} ready", lambda: _ready(kubectl) == "True", 90, lambda: _ready(kubectl))
    wait_for("every pod ready", lambda: not lifecycle.waiting_pods(kubectl), 90, lambda: "; ".join(lifecycle.waiting_pods(kubectl)))
    wait_for("no debug pod left", lambda: not _debug_pods(kubectl), 90, lambda: " ".join(_debug_pods(kubectl)))


def _debug_pods(kubectl: Kubectl) -> list[str]:
    return kubectl.run("get", "pods", *OURS, "--output", "name").split()


def _server_on(kubectl: Kubectl, node: str) -> str:
    """`namespace/name` of kube-dns's pod on a node."""
    found = [pod for pod in kubectl.items("pods", "--selector", "k8s-app=kube-dns") if pod["spec"].get("nodeName") == node]
    return f"{found[0]['metadata']['namespace']}/{found[0]['metadata']['name']}"


@pytest.mark.long
def test_a_node_that_is_not_ready_is_named_and_gets_no_pod(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    """Exit 4, the node blind as not ready, nothing left."""
    server = _server_on(kubectl, NODE)
    with _kubelet_hangs(kubectl):
        run = trace(place, tmp_path, to=f"pod/{server}")
    assert run.code == 4, run.stderr
    assert run.report["verdict"] not in ("lost", "dropped", "delivered")
    assert {blind["node"] for blind in run.report["completeness"]["blind"]} == {NODE}
    assert any("not ready" in blind["reason"] for blind in run.report["completeness"]["blind"])
    assert run.report["cleanup"] == {"state": "confirmed", "left": []}


@pytest.mark.long
def test_a_node_that_dies_during_the_trace(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    """Exit 5, its pod named as one that may be left; it is gone by itself when the node is back."""
    with tracing(place, tmp_path, "--max-wall", "60s") as running:
        running.until_listening()
        time.sleep(1)
        with _cut_off(kubectl):
            run = running.end(180)
            assert run.code == 5, run.stderr
            cleanup = run.report["cleanup"]
            assert cleanup["state"] == "unconfirmed"
            assert [name for name in cleanup["left"] if name.endswith(NODE)] == cleanup["left"] != []
            assert run.report["completeness"]["complete"] is False
            assert NODE in {blind["node"] for blind in run.report["completeness"]["blind"]}
    assert _debug_pods(kubectl) == []


@pytest.mark.long
def test_a_node_that_is_dead_before_anybody_knows(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    """The API still calls it ready: its pod never runs. Exit 3, 4 or 5, the node blind, no more than its pod left."""
    with _cut_off(kubectl):
        run = trace(place, tmp_path, "--max-wall", "60s")
        assert run.code in (3, 4, 5), run.stderr
        assert (run.code == 5) == (run.report["cleanup"]["state"] == "unconfirmed")
        assert all(name.endswith(NODE) for name in run.report["cleanup"]["left"])
        assert NODE in {blind["node"] for blind in run.report["completeness"]["blind"]}


def test_a_debug_pod_that_is_evicted_makes_its_node_blind(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    """Exit 4, only that node blind, nothing left."""
    with tracing(place, tmp_path) as running:
        running.until_listening()
        [name] = kubectl.run(
            "get", "pods", *OURS, f"--field-selector=spec.nodeName={NODE}", "--output", "jsonpath={.items[*].metadata.name}"
        ).split()
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
        kubectl.run("create", "--raw", f"/api/v1/namespaces/default/pods/{name}/eviction", "--filename", "-", text=json.dumps(eviction))
        run = running.end()
    assert run.code == 4, run.stderr
    assert {blind["node"] for blind in run.report["completeness"]["blind"]} == {NODE}
    assert run.report["cleanup"] == {"state": "confirmed", "left": []}


@contextmanager
def _webhook(kubectl: Kubectl, space: str, policy: str, timeout_s: int) -> Iterator[None]:
    """An admission webhook for pods of a namespace, whose address swallows all packets."""
    hook = {
        "name": "nobody.vxtrace.test",
        "clientConfig": {"url": f"https://{NODE_ADDRESS}:9443/", "caBundle": ""},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}},
        "failurePolicy": policy,
        "timeoutSeconds": timeout_s,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    kernel.nft(NODE, kernel.table("inet", "swallow", [], [kernel.chain("at_input", "input", -400, ["tcp dport 9443 drop"])]))
    kubectl.apply([{**kind, "metadata": {"name": "vxtrace-test"}, "webhooks": [hook]}])
    time.sleep(1.5)  # the API server reads it from its own watch
    try:
        yield
    finally:
        kubectl.run("delete", "validatingwebhookconfiguration", "vxtrace-test")
        kernel.nft(NODE, "delete table inet swallow")


@pytest.mark.long
def test_a_webhook_that_hangs_is_named(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """Exit 1 or 2 within a minute, with the webhook's name, nothing made."""
    with _webhook(kubectl, space, "Fail", 10):
        began_s = time.monotonic()
        run = trace(place, tmp_path, "--debug-namespace", space)
        assert time.monotonic() - began_s < 60
    assert run.code in (1, 2), run.stderr
    refused(run, run.code, "nobody.vxtrace.test")
    assert "Traceback" not in run.stderr


@pytest.mark.long
def test_a_webhook_that_may_be_passed_over_is_waited_for(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """Exit 0: the API server goes on without it after its time."""
    with _webhook(kubectl, space, "Ignore", 5):
        run = trace(place, tmp_path, "--debug-namespace", space)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


def test_admission_that_refuses_is_quoted(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """Exit 2 with the policy's own words, nothing made."""
    group = "admissionregistration.k8s.io/v1"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    matches = {"resourceRules": rules, "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}}
    spec = {"matchConstraints": matches, "validations": [{"expression": "false", "message": DENIED}]}
    policy = {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "vxtrace-test"}, "spec": spec}
    binding = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "vxtrace-test"},
        "spec": {"policyName": "vxtrace-test", "validationActions": ["Deny"]},
    }
    kubectl.apply([policy, binding])
    try:
        wait_for("the policy to refuse", lambda: not _may_make(kubectl, space), 20, lambda: "pods may be made")
        refused(trace(place, tmp_path, "--debug-namespace", space), 2, DENIED, "--debug-namespace")
    finally:
        kubectl.run("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "vxtrace-test")


def _may_make(kubectl: Kubectl, space: str) -> bool:
    arguments = ("run", "probe", "--namespace", space, "--image", "none", "--dry-run=server", "--output", "name")
    return bool(kubectl.run(*arguments, check=False))


def _server(kubectl: Kubectl, space: str, name: str) -> str:
    """A pod of the Service `replaced` on a node; its address."""
    container = {"name": "idle", "image": TOOLS_TAG, "imagePullPolicy": "Never", "command": ["sleep", "600"]}
    spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [container]}
    kubectl.apply(
        [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": space, "labels": {"app": "replaced"}}, "spec": spec}]
    )
    kubectl.run("wait", "pod", name, "--namespace", space, "--for=condition=Ready", "--timeout=60s")
    return kubectl.run("get", "pod", name, "--namespace", space, "--output", "jsonpath={.status.podIP}")


@contextmanager
def _kube_proxy_hangs(node: str) -> Iterator[None]:
    """The node's rules for Services stay as they are, whatever becomes of the pods behind."""
    proxy = machine.found(places.state_dir(), node)
    proxy.run(["pkill", "-STOP", "-x", "kube-proxy"])
    try:
        yield
    finally:
        proxy.run(["pkill", "-CONT", "-x", "kube-proxy"])


def test_a_kube_proxy_that_hangs_sends_to_a_pod_that_is_gone(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """Exit 3, stale-endpoint: the client's node still translates to the pod that was replaced."""
    ports = [{"port": 80, "protocol": "UDP"}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "replaced", "namespace": space}}
    kubectl.apply([{**service, "spec": {"selector": {"app": "replaced"}, "ports": ports}}])
    gone = _server(kubectl, space, "first")
    address = kubectl.run("get", "service", "replaced", "--namespace", space, "--output", "jsonpath={.spec.clusterIP}")
    asking_pod(kubectl, space, "asking", f"dig +time=1 +tries=1 -p 80 @{address} example.org")
    wait_for("the node's rules", lambda: f"{gone}:80" in place.node(CLIENT_NODE, "iptables-save", "-t", "nat"), 30, lambda: "")
    with _kube_proxy_hangs(CLIENT_NODE):
        kubectl.run("delete", "pod", "first", "--namespace", space)
        _server(kubectl, space, "second")
        run = place.vxtrace(
            "pod", f"{space}/asking", "--to", f"{space}/replaced", "--duration", "3s", "--bundle", "none", "-o", "json", cwd=tmp_path
        )
    assert (run.code, run.report["cause"]) == (3, "stale-endpoint"), run.stdout
    assert run.report["cleanup"] == {"state": "confirmed", "left": []}


def test_a_cluster_whose_dns_is_dead_is_traced(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    """Exit 3: nobody listens at any server. The plugin needs no name of the cluster, and leaves nothing."""
    for node in sorted(place.dns_nodes()):
        place.fault("nothing-listening", "--node", node)
    run = trace(place, tmp_path)
    assert (run.code, run.report["cause"]) == (3, "nothing-listening"), run.stderr
    assert run.report["cleanup"] == {"state": "confirmed", "left": []}
