import dataclasses
from typing import Any

import pytest

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.snapshot import near, wide
from kubectl_vxtrace.model.cluster import Backend, Node, Pod, PodCondition, Service, ServicePort, Workload
from kubectl_vxtrace.model.request import Request, Target
from tests.kube.fake import Fake

REQUEST = Request(command="pod", source=Target(namespace="shop", name="web"), target=Target(namespace="kube-system", name="kube-dns"))


def meta(name: str, namespace: str = "shop", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "uid": f"uid-{name}", **more}


def pod(name: str, namespace: str = "shop", node: str | None = "n1", ip: str = "10.0.0.1", **status: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True"}
    return {
        "metadata": meta(name, namespace),
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": ip, "conditions": [ready], **status},
    }


def fill(fake: Fake) -> None:
    node_status = {
        "addresses": [
            {"type": "Hostname", "address": "n1"},
            {"type": "ExternalIP", "address": "1.2.3.4"},
            {"type": "InternalIP", "address": "10.1.0.1"},
        ],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        "nodeInfo": {"operatingSystem": "linux", "architecture": "arm64"},
    }
    annotations = {
        "projectcalico.org/IPv4VXLANTunnelAddr": "10.244.1.0",
        "other/secret": "x",
        "flannel.alpha.coreos.com/public-ip": "10.1.0.1",
    }
    sick = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting"}]}
    fake.lists["/api/v1/nodes"] = [
        {"metadata": {"name": "n1", "annotations": annotations}, "spec": {"podCIDR": "10.244.1.0/24"}, "status": node_status},
        {"metadata": {"name": "n2"}, "spec": {}, "status": sick},
    ]
    fake.lists["/api/v1/namespaces/kube-system"] = []
    is_there: tuple[int, Any, dict[str, str]] = (200, {"metadata": {"name": "kube-system", "uid": "cluster-1"}}, {})
    fake.replies["GET", "/api/v1/namespaces/kube-system"] = [is_there, is_there]  # asked for the uid, and whether it is there
    owner = [{"kind": "ReplicaSet", "name": "web-1", "controller": True}]
    web = pod("web", podIPs=[{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], containerStatuses=[{"name": "a", "restartCount": 3}, {"name": "b"}])
    web["metadata"]["ownerReferences"] = owner
    fake.lists["/api/v1/namespaces/shop/pods"] = [web]
    fake.lists["/api/v1/namespaces/kube-system/pods"] = [pod("dns", "kube-system", "n2", "10.0.0.9")]
    spec = {"type": "ClusterIP", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "selector": {"k8s-app": "kube-dns"}}
    spec |= {"internalTrafficPolicy": "Local", "sessionAffinity": "ClientIP", "externalIPs": ["198.51.100.7"]}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}, {"name": "sctp", "port": 9, "protocol": "SCTP"}]
    headless = {"clusterIP": "None", "clusterIPs": ["None"], "ports": None}
    balancer = {"ingress": [{"ip": "203.0.113.5", "ipMode": "VIP"}, {"ip": "203.0.113.6", "ipMode": "Proxy"}, {"hostname": "a.example"}]}
    fake.lists["/api/v1/namespaces/kube-system/services"] = [
        {"metadata": meta("kube-dns", "kube-system"), "spec": {**spec, "ports": ports}, "status": {"loadBalancer": balancer}},
        {"metadata": meta("headless", "kube-system"), "spec": headless},
    ]
    endpoints = [
        {"addresses": ["10.0.0.9"], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "dns", "namespace": "kube-system"}},
        {"addresses": ["10.0.0.8"], "conditions": {"ready": False, "serving": True, "terminating": True}, "nodeName": "n1"},
    ]
    label = {"kubernetes.io/service-name": "kube-dns"}
    slice_ = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}
    fake.lists["/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"] = [
        {"metadata": meta("a", "kube-system", labels=label), **slice_},
        {"metadata": meta("b", "kube-system", labels=label), **slice_},
        {"metadata": meta("c", "kube-system", labels=label), "addressType": "IPv4", "endpoints": None, "ports": None},
    ]
    fake.lists["/apis/apps/v1/namespaces/shop/replicasets"] = [
        {"metadata": meta("web-1", ownerReferences=[{"kind": "Deployment", "name": "web", "controller": True}])}
    ]


def test_near_holds_the_named_namespaces(fake: Fake, connection: Connection) -> None:
    fill(fake)
    snapshot = near(connection, REQUEST, annotations=("projectcalico.org/", "flannel.alpha.coreos.com/"))
    assert (snapshot.uid, snapshot.scope, snapshot.namespace, snapshot.missing) == ("cluster-1", "near", "default", ())
    healthy, sick = snapshot.nodes
    annotations = {"projectcalico.org/IPv4VXLANTunnelAddr": "10.244.1.0", "flannel.alpha.coreos.com/public-ip": "10.1.0.1"}
    assert healthy == Node(
        name="n1", addresses=("10.1.0.1", "1.2.3.4"), pod_cidrs=("10.244.1.0/24",), architecture="arm64", annotations=annotations
    )
    assert (sick.ready, sick.not_ready_reason) == (False, "NodeStatusUnknown: Kubelet stopped posting")
    assert snapshot.pods[0] == Pod(
        namespace="shop",
        name="web",
        uid="uid-web",
        node="n1",
        addresses=("10.0.0.1", "fd00::1"),
        owner="replicaset/web-1",
        labels={},
        conditions=(PodCondition(type="Ready", status="True"),),
        restarts=3,
    )
    dns = Backend(address="10.0.0.9", port=53, protocol="UDP", port_name="dns", node="n2", pod="kube-system/dns")
    unready = Backend(address="10.0.0.8", port=53, protocol="UDP", port_name="dns", ready=False, node="n1", serving=True, terminating=True)
    assert snapshot.services == (
        Service(
            namespace="kube-system",
            name="kube-dns",
            addresses=("10.96.0.10",),
            external_addresses=("198.51.100.7", "203.0.113.5"),
            ports=(ServicePort(name="dns", port=53, protocol="UDP", node_port=30053),),
            selector={"k8s-app": "kube-dns"},
            backends=(dns, unready),
            internal_traffic_policy="Local",
            session_affinity="ClientIP",
        ),
        Service(namespace="kube-system", name="headless", selector={}),
    )
    assert snapshot.workloads == (Workload(kind="replicaset", namespace="shop", name="web-1", owner="deployment/web"),)


def test_pages_are_followed(fake: Fake, connection: Connection) -> None:
    fake.lists["/api/v1/pods"] = [pod(f"p{number}") for number in range(1203)]
    assert len(wide(connection).pods) == 1203
    assert [query for _, path, _, query in fake.seen if path == "/api/v1/pods"][1] == [("limit", "500"), ("continue", "500")]


def test_an_expired_page_starts_again(fake: Fake, connection: Connection) -> None:
    fake.lists["/api/v1/pods"] = [pod("p")]
    fake.replies["GET", "/api/v1/pods"] = [
        (200, {"kind": "PodList", "items": [pod("old")], "metadata": {"continue": "x"}}, {}),
        (410, {"kind": "Status", "reason": "Expired"}, {}),
    ]
    assert [item.name for item in wide(connection).pods] == ["p"]


def test_what_is_forbidden_is_named(fake: Fake, connection: Connection) -> None:
    fill(fake)
    fake.forbidden = {"/api/v1/nodes", "/api/v1/namespaces/shop/services"}
    fake.replies["GET", "/apis/apps/v1/namespaces/shop/daemonsets"] = [(404, b"404 page not found", {})]
    snapshot = near(connection, REQUEST)
    assert snapshot.missing == (
        "nodes (forbidden)",
        "services in namespace shop (forbidden)",
        "daemonsets in namespace shop (not known to this API)",
    )
    assert [service.name for service in snapshot.services] == ["kube-dns", "headless"]


def test_wide_falls_back_to_readable_namespaces(fake: Fake, connection: Connection) -> None:
    fill(fake)
    fake.forbidden = {"/api/v1/pods", "/api/v1/namespaces/closed/pods"}
    fake.lists["/api/v1/namespaces"] = [{"metadata": {"name": name}} for name in ("shop", "closed", "kube-system")]
    snapshot = wide(connection)
    assert [item.full_name for item in snapshot.pods] == ["shop/web", "kube-system/dns"]
    assert snapshot.missing == ("pods of all namespaces (forbidden; read in: shop, kube-system)",)


def test_wide_without_the_list_of_namespaces(fake: Fake, connection: Connection) -> None:
    fill(fake)
    fake.forbidden = {"/api/v1/pods", "/api/v1/namespaces"}
    snapshot = wide(dataclasses.replace(connection, namespace="shop"))
    assert [item.full_name for item in snapshot.pods] == ["shop/web", "kube-system/dns"]


def test_pod_reasons(fake: Fake, connection: Connection) -> None:
    waiting = {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}}}
    leaving = pod("leaving")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pending = pod("pending", node=None, phase="Pending", podIP=None, conditions=None)
    fake.lists["/api/v1/pods"] = [
        pod("crash", containerStatuses=[waiting]),
        leaving,
        pod("evicted", phase="Failed", reason="Evicted"),
        pending,
    ]
    found = {item.name: item for item in wide(connection).pods}
    assert [found[name].reason for name in ("crash", "leaving", "evicted", "pending")] == [
        "CrashLoopBackOff",
        "Terminating",
        "Evicted",
        None,
    ]
    assert (found["pending"].node, found["pending"].addresses, found["pending"].ready) == (None, (), False)


def test_a_wrong_shape_is_an_error_not_a_crash(fake: Fake, connection: Connection) -> None:
    fake.lists["/api/v1/pods"] = [{"metadata": {"name": 7}}]
    with pytest.raises(CannotRunError, match=r"Expected `str`"):
        wide(connection)


def test_the_first_failure_is_raised(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", "/api/v1/nodes"] = [(401, {"message": "Unauthorized"}, {})]
    with pytest.raises(CannotRunError, match="expired"):
        wide(connection)
