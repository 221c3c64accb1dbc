"""The lab's API, asked by the real Kubernetes client and by kubectl."""

import contextlib
import dataclasses
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import watch
from kubernetes.client import ApiException

from tests.datapath.records import Lab
from tests.lab import apiserver
from tests.lab.client import ask, debug_pod, gone, refused, running, wait_for
from tests.lab.conftest import Control

Users = Callable[[list[dict[str, Any]]], None]
Watch: Any = watch.Watch
CLIENT = "kotsadm-58f859745b-x4nh8"


@pytest.fixture
def core(kubeconfig: str) -> Any:
    return ask("CoreV1Api", kubeconfig)


def test_start_is_idempotent(lab: Lab, kubeconfig: str) -> None:
    before = Path(kubeconfig).read_bytes()
    assert str(apiserver.start(lab)) == kubeconfig
    assert apiserver.running(Path(lab.state_dir))
    assert Path(kubeconfig).read_bytes() == before
    assert Path(kubeconfig).stat().st_mode & 0o077 == 0


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert not apiserver.running(tmp_path)
    apiserver.stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_start_says_why(tmp_path: Path, lab: Lab) -> None:
    (tmp_path / "kubeconfig.new").mkdir()
    with pytest.raises(RuntimeError, match=r"did not start:(?s:.*)kubeconfig\.new"):
        apiserver.start(dataclasses.replace(lab, state_dir=str(tmp_path)))
    assert not apiserver.running(tmp_path)


def test_nodes_and_the_cluster_uid(core: Any, lab: Lab) -> None:
    nodes = core.list_node().items
    assert [node.metadata.name for node in nodes] == [node.name for node in lab.nodes]
    for node, record in zip(nodes, lab.nodes, strict=True):
        assert {"type": "InternalIP", "address": record.address} in [entry.to_dict() for entry in node.status.addresses]
        assert node.metadata.annotations["projectcalico.org/IPv4VXLANTunnelAddr"] == record.vtep_address
        assert node.spec.pod_cidr == record.pod_cidr
        assert [entry.status for entry in node.status.conditions if entry.type == "Ready"] == ["True"]
    assert core.read_namespace("kube-system").metadata.uid == lab.cluster_uid
    names = [namespace.metadata.name for namespace in core.list_namespace().items]
    assert {"default", "kube-system", "kotsadm", "slackernews", "locked"} <= set(names)


def test_pods_have_their_owners_up_to_the_deployment(core: Any, kubeconfig: str, lab: Lab) -> None:
    pod = core.read_namespaced_pod(CLIENT, "kotsadm")
    record = next(pod for pod in lab.pods if pod.name == CLIENT)
    assert (pod.status.pod_ip, pod.spec.node_name, pod.metadata.uid) == (record.address, record.node, record.uid)
    assert pod.status.container_statuses[0].state.running is not None
    (reference,) = pod.metadata.owner_references
    apps = ask("AppsV1Api", kubeconfig)
    replica_set = apps.read_namespaced_replica_set(reference.name, "kotsadm")
    assert replica_set.metadata.uid == reference.uid
    (above,) = replica_set.metadata.owner_references
    assert (above.kind, above.uid) == ("Deployment", apps.read_namespaced_deployment(above.name, "kotsadm").metadata.uid)


def test_endpoint_slices_name_the_backends(kubeconfig: str, lab: Lab) -> None:
    discovery = ask("DiscoveryV1Api", kubeconfig)
    (found,) = discovery.list_namespaced_endpoint_slice("kube-system", label_selector="kubernetes.io/service-name=kube-dns").items
    backends = {(pod.address, pod.node, pod.name) for pod in lab.pods if pod.name.startswith("coredns")}
    assert {(end.addresses[0], end.node_name, end.target_ref.name) for end in found.endpoints} == backends
    assert {(port.name, port.port, port.protocol) for port in found.ports} >= {("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")}
    assert all(end.conditions.ready for end in found.endpoints)


@pytest.mark.parametrize(
    ("selectors", "count"),
    [
        ({"label_selector": "k8s-app=kube-dns"}, 2),
        ({"label_selector": "k8s-app!=kube-dns"}, -2),
        ({"label_selector": "k8s-app in (kube-dns,other)"}, 2),
        ({"label_selector": "k8s-app notin (kube-dns)"}, -2),
        ({"label_selector": "k8s-app=kube-dns,nobody"}, 0),
        ({"label_selector": "!nobody"}, -0),
        ({"field_selector": f"metadata.name={CLIENT}"}, 1),
        ({"field_selector": f"spec.nodeName=ada-ec-1,metadata.name={CLIENT}"}, 1),
        ({"field_selector": f"spec.nodeName!=ada-ec-1,metadata.name={CLIENT}"}, 0),
        ({"field_selector": "status.phase=Pending"}, 1),
    ],
)
def test_selectors(core: Any, lab: Lab, selectors: dict[str, str], count: int) -> None:
    """A count of zero or less is what is missing of all pods, where the selector is a negative one."""
    negative = "!" in str(selectors.get("label_selector")) or "notin" in str(selectors.get("label_selector"))
    assert len(core.list_pod_for_all_namespaces(**selectors).items) == (len(lab.pods) + count if negative else count)


@pytest.mark.parametrize("selectors", [{"label_selector": "a b c"}, {"field_selector": "spec.hostNetwork=true"}, {"field_selector": "x"}])
def test_selectors_that_are_none(core: Any, selectors: dict[str, str]) -> None:
    assert refused(lambda: core.list_pod_for_all_namespaces(**selectors))[0] == 400


def test_what_is_not_there(core: Any, kubeconfig: str) -> None:
    code, status = refused(lambda: core.read_namespaced_pod("x", "default"))
    assert (code, status["message"], status["reason"]) == (404, 'pods "x" not found', "NotFound")
    code, status = refused(lambda: core.read_namespace("x"))
    assert (code, status["message"], status["reason"]) == (404, 'namespaces "x" not found', "NotFound")
    apps = ask("AppsV1Api", kubeconfig)
    assert refused(lambda: apps.read_namespaced_deployment("x", "default"))[1]["message"] == 'deployments.apps "x" not found'
    custom = ask("CustomObjectsApi", kubeconfig)
    assert refused(lambda: custom.list_cluster_custom_object("crd.projectcalico.org", "v1", "ippools"))[0] == 404
    assert ask("NetworkingV1Api", kubeconfig).list_network_policy_for_all_namespaces().items == []


def test_credentials(kubeconfig: str, users: Users) -> None:
    users([{"name": "old", "token": "o", "expired": True}])
    for token in ("unknown", "o"):
        code, status = refused(ask("CoreV1Api", kubeconfig, token=token).list_node)
        assert (code, status["message"], status["reason"]) == (401, "Unauthorized", "Unauthorized")
    nobody = ask("CoreV1Api", kubeconfig, token="")
    message = 'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope'
    assert refused(nobody.list_node)[1]["message"] == message
    assert ask("VersionApi", kubeconfig, token="").get_code().major == "1"
    by_certificate = ask("AuthenticationV1Api", kubeconfig, context=apiserver.CERTIFICATE_CONTEXT, token="")
    who = by_certificate.create_self_subject_review({}).status.user_info
    assert (who.username, "system:masters" in who.groups) == ("lab-admin", True)


def test_rights(kubeconfig: str, users: Users) -> None:
    users([{"name": "bob", "token": "b", "allowed": [["get", "pods"], ["create", "pods/exec", "kotsadm"]]}])
    pods = ask("CoreV1Api", kubeconfig, token="b")
    assert pods.read_namespaced_pod(CLIENT, "kotsadm").metadata.name == CLIENT
    code, status = refused(lambda: pods.delete_namespaced_pod(CLIENT, "kotsadm"))
    wanted = f'pods "{CLIENT}" is forbidden: User "bob" cannot delete resource "pods" in API group "" in the namespace "kotsadm"'
    assert (code, status["reason"], status["message"]) == (403, "Forbidden", wanted)
    reviews = ask("AuthorizationV1Api", kubeconfig, token="b")

    def may(verb: str, namespace: str, subresource: str | None = None) -> bool:
        attributes = {"verb": verb, "resource": "pods", "namespace": namespace} | ({"subresource": subresource} if subresource else {})
        return bool(reviews.create_self_subject_access_review({"spec": {"resourceAttributes": attributes}}).status.allowed)

    assert may("get", "default")
    assert not may("list", "default")
    assert may("create", "kotsadm", "exec")
    assert not may("create", "default", "exec")
    assert not may("get", "kotsadm", "exec")


def test_impersonation(kubeconfig: str, users: Users) -> None:
    users([{"name": "bob", "token": "b", "allowed": [["get", "nodes"]]}])
    as_bob = ask("CoreV1Api", kubeconfig, as_user="bob")
    assert as_bob.read_node("ada-ec-1").metadata.name == "ada-ec-1"
    assert 'User "bob" cannot list resource "nodes"' in refused(as_bob.list_node)[1]["message"]
    message = refused(ask("CoreV1Api", kubeconfig, token="b", as_user="kubernetes-admin").list_node)[1]["message"]
    why = 'User "bob" cannot impersonate resource "users" in API group "" at the cluster scope'
    assert message == f'users "kubernetes-admin" is forbidden: {why}'


def test_dry_run_leaves_nothing(core: Any) -> None:
    made = core.create_namespaced_pod("default", debug_pod("dry"), dry_run="All")
    assert made.spec.node_name == "ada-ec-1"
    assert refused(lambda: core.read_namespaced_pod("dry", "default"))[0] == 404


@pytest.mark.parametrize("dry_run", [None, "All"])
def test_pod_security(core: Any, dry_run: str | None) -> None:
    namespace = {"metadata": {"name": "based", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    core.create_namespace(namespace)
    try:
        options = {"dry_run": dry_run} if dry_run else {}
        code, status = refused(lambda: core.create_namespaced_pod("based", debug_pod("x"), **options))
        assert (code, status["message"]) == (
            403,
            'pods "x" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true), '
            'privileged (container "debug" must not set securityContext.privileged=true)',
        )
        netraw = {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW", "SETUID"]}}}
        message = refused(lambda: core.create_namespaced_pod("based", debug_pod("x", container=netraw), **options))[1]["message"]
        assert 'non-default capabilities (container "debug" must not include "NET_RAW" in securityContext.capabilities.add)' in message
        assert '"restricted:latest"' in refused(lambda: core.create_namespaced_pod("locked", debug_pod("x"), **options))[1]["message"]
        assert core.list_namespaced_pod("based").items == []
    finally:
        core.delete_namespace("based")


@pytest.mark.parametrize(
    ("pod", "field", "message"),
    [
        (debug_pod("Bad_Name"), "metadata.name", 'Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of'),
        (debug_pod("x", activeDeadlineSeconds=0), "spec.activeDeadlineSeconds", "Invalid value: 0: must be between 1 and"),
        (debug_pod("x", volumes=[]), "spec.containers[0].volumeMounts[0].name", 'Not found: "capture"'),
        (debug_pod("x", containers=[]), "spec.containers", "Required value"),
        (debug_pod("x", container={"image": ""}), "spec.containers[0].image", "Required value"),
    ],
)
def test_pods_that_are_invalid(core: Any, pod: dict[str, Any], field: str, message: str) -> None:
    code, status = refused(lambda: core.create_namespaced_pod("default", pod))
    assert (code, status["reason"]) == (422, "Invalid")
    (cause,) = status["details"]["causes"]
    assert cause["field"] == field
    assert message in cause["message"]
    assert status["message"].startswith(f'Pod "{pod["metadata"]["name"]}" is invalid: {field}: ')


def test_a_pod_without_a_node_waits_and_names_are_unique(core: Any) -> None:
    core.create_namespaced_pod("default", debug_pod("lonely", nodeName=None))
    try:
        pod = core.read_namespaced_pod("lonely", "default")
        assert (pod.status.phase, pod.status.conditions[0].reason) == ("Pending", "Unschedulable")
        code, status = refused(lambda: core.create_namespaced_pod("default", debug_pod("lonely")))
        assert (code, status["message"], status["reason"]) == (409, 'pods "lonely" already exists', "AlreadyExists")
        wrong = {"preconditions": {"uid": "somebody-else"}}
        assert refused(lambda: core.delete_namespaced_pod("lonely", "default", body=wrong))[0] == 409
    finally:
        core.delete_namespaced_pod("lonely", "default")
    assert refused(lambda: core.create_namespaced_pod("nowhere", debug_pod("x")))[1]["message"] == 'namespaces "nowhere" not found'


def test_images_that_cannot_be_pulled(core: Any, faults: Control) -> None:
    def waiting(reason: str) -> Callable[[Any], bool]:
        def check(pod: Any) -> bool:
            statuses = pod.status.container_statuses
            return bool(statuses and statuses[0].state.waiting and statuses[0].state.waiting.reason == reason)

        return check

    core.create_namespaced_pod("default", debug_pod("imageless", container={"image": "example.invalid/none:1"}))
    try:
        pod = wait_for(core, "imageless", waiting("ErrImagePull"))
        assert 'failed to pull and unpack image "example.invalid/none:1"' in pod.status.container_statuses[0].state.waiting.message
        pod = wait_for(core, "imageless", waiting("ImagePullBackOff"))
        assert pod.status.phase == "Pending"
        events = core.list_namespaced_event("default", field_selector="involvedObject.name=imageless").items
        assert {event.reason for event in events} >= {"Failed", "BackOff"}
    finally:
        core.delete_namespaced_pod("imageless", "default")
    wait_for(core, "imageless", gone)


def test_a_node_that_is_not_ready_starts_nothing_and_deletes_nothing(core: Any, faults: Control) -> None:
    faults(node_not_ready=["ada-ec-2"])
    ready = next(entry for entry in core.read_node("ada-ec-2").status.conditions if entry.type == "Ready")
    assert (ready.status, ready.reason) == ("Unknown", "NodeStatusUnknown")
    core.create_namespaced_pod("default", debug_pod("stuck", "ada-ec-2"))
    core.delete_namespaced_pod("stuck", "default", grace_period_seconds=1)
    time.sleep(0.6)
    pod = core.read_namespaced_pod("stuck", "default")
    assert pod.status.phase == "Pending"
    assert pod.metadata.deletion_timestamp is not None
    core.delete_namespaced_pod("stuck", "default", grace_period_seconds=0)
    assert refused(lambda: core.read_namespaced_pod("stuck", "default"))[0] == 404


def test_watch_tells_what_happens(core: Any) -> None:
    version = core.list_namespaced_pod("default").metadata.resource_version
    core.create_namespaced_pod("default", debug_pod("seen", nodeName=None))
    core.delete_namespaced_pod("seen", "default")
    events = []
    for event in Watch().stream(core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=5):
        events.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    assert events == [("ADDED", "seen"), ("DELETED", "seen")]


def test_watch_without_a_version_begins_with_what_there_is_and_ends_in_time(core: Any) -> None:
    before_s = time.monotonic()
    stream = Watch().stream(core.list_namespaced_pod, "kotsadm", field_selector=f"metadata.name={CLIENT}", timeout_seconds=1)
    assert [(event["type"], event["object"].metadata.name) for event in stream] == [("ADDED", CLIENT)]
    assert 0.8 < time.monotonic() - before_s < 3


def test_watch_of_a_version_that_is_forgotten(core: Any, faults: Control) -> None:
    def first(version: str) -> Any:
        return next(Watch().stream(core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=5))

    with pytest.raises(ApiException) as old:
        first("1")
    assert old.value.status == 410
    faults(expire_watch=True)
    with pytest.raises(ApiException) as expired:
        first(core.list_namespaced_pod("default").metadata.resource_version)
    assert expired.value.status == 410


def test_a_server_that_is_slow_or_away(core: Any, faults: Control) -> None:
    faults(slow_ms=300)
    before_s = time.monotonic()
    core.list_node()
    assert time.monotonic() - before_s >= 0.3
    faults(unavailable=True)
    assert refused(core.list_node)[0] == 503


def test_a_control_file_with_a_misspelt_key_is_an_error(core: Any, faults: Control) -> None:
    faults(image_pull_failz=True)
    code, status = refused(core.list_node)
    assert code == 500
    assert "image_pull_failz" in status["message"]


def test_what_is_not_http_harms_nobody(core: Any) -> None:
    host = core.api_client.configuration.host.removeprefix("https://")
    address, port = host.split(":")
    with socket.create_connection((address, int(port)), timeout=5) as silent:
        with socket.create_connection((address, int(port)), timeout=5) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in plain.recv(100)
        assert len(core.list_node().items) == 3  # while `silent` has not begun to speak
        assert silent.fileno() >= 0


def test_requests_that_make_no_sense(core: Any) -> None:
    def call(method: str, path: str, body: Any = None) -> int:
        client_ = core.api_client
        headers = {"Authorization": client_.configuration.get_api_key_with_prefix("BearerToken"), "Content-Type": "application/json"}
        try:
            answer = client_.rest_client.request(method, client_.configuration.host + path, headers=headers, body=body)
        except ApiException as error:
            return int(error.status or 0)
        return int(answer.status)

    assert call("POST", "/api/v1/namespaces/default/pods", ["no object"]) == 400
    assert call("PATCH", "/api/v1/namespaces/default/pods/x", {}) == 405
    assert call("GET", "/api/v1/nothing") == 404
    assert call("GET", "/apis/apps/v2") == 404
    assert call("GET", "/api/v1/namespaces/default/pods/x/portforward") == 404
    assert call("GET", "/%00/../../etc/passwd") == 404
    assert call("GET", f"/api/v1/namespaces/kotsadm/pods/{CLIENT}/exec?command=true") == 400  # no upgrade


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here")
def test_kubectl_reads_it(kubeconfig: str, lab: Lab) -> None:
    def kubectl(*arguments: str) -> str:
        command = ("kubectl", "--kubeconfig", kubeconfig, *arguments)
        return subprocess.run(command, capture_output=True, check=True, text=True, timeout=20).stdout

    shown = kubectl("get", "nodes,pods", "-A", "-o", "wide", "--no-headers")
    assert len(shown.split()) > 5 * (len(lab.nodes) + len(lab.pods))
    assert all(pod.name in shown and (pod.address or "<none>") in shown for pod in lab.pods)
    assert "10.96.0.10" in kubectl("get", "svc", "-A")
    assert "10.244.56.129,10.244.106.65" in kubectl("get", "endpointslices", "-n", "kube-system")
    assert "2/2" in kubectl("get", "deploy", "-n", "kube-system")
    assert json.loads(kubectl("get", "rs,sts,ds", "-A", "-o", "json"))["kind"] == "List"


@pytest.mark.root
def test_a_node_that_comes_back_starts_what_waited(core: Any, faults: Control) -> None:
    faults(node_not_ready=["ada-ec-3"])
    core.create_namespaced_pod("default", debug_pod("patient", "ada-ec-3"))
    time.sleep(0.4)
    assert core.read_namespaced_pod("patient", "default").status.phase == "Pending"
    faults()
    wait_for(core, "patient", running)
    core.delete_namespaced_pod("patient", "default", grace_period_seconds=1)
    wait_for(core, "patient", gone)
