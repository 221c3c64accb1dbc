"""What else the cluster says: policies and the CNI's own objects; what may not be read is absent."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.details import detailed
from kubectl_vxtrace.kube.policies import flattened
from kubectl_vxtrace.model.cluster import BlockAffinity, ClusterSnapshot, IpPool, NetworkPolicy, Node, Pod, Requirement
from kubectl_vxtrace.model.cni import Cni
from kubectl_vxtrace.model.path import Endpoint, Flow
from kubectl_vxtrace.topology.cni import CNIS
from tests.kube.fake import Fake

_DATA = Path(__file__).parent / "data"
_CRD = "/apis/crd.projectcalico.org/v1"
_FLOWS = (
    Flow(
        id=1,
        protocol="UDP",
        client=Endpoint(address="10.244.114.75", pod="kotsadm/kotsadm-1", node="a"),
        server=Endpoint(address="10.244.56.129", port=53, pod="kube-system/coredns-b", node="b"),
    ),
)


_SNAPSHOT = ClusterSnapshot(nodes=(Node(name="a", annotations={}),))


def _cni(backend: str) -> Cni:
    return next(cni for cni in CNIS if cni.backend == backend)


_CALICO, _FLANNEL, _CANAL = _cni("calico-vxlan"), _cni("flannel-vxlan"), _cni("canal-vxlan")


def _recorded(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads((_DATA / name).read_bytes())["items"]
    return items


def test_a_recorded_calico_cluster(fake: Fake, connection: Connection) -> None:
    fake.lists["/apis/networking.k8s.io/v1/namespaces/kotsadm/networkpolicies"] = _recorded("networkpolicies.json")
    fake.lists["/apis/networking.k8s.io/v1/namespaces/kube-system/networkpolicies"] = []
    for kind in ("ippools", "felixconfigurations", "blockaffinities"):
        fake.lists[f"{_CRD}/{kind}"] = _recorded(f"{kind}.json")
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_CALICO,))
    assert found.policies == (NetworkPolicy(namespace="kotsadm", name="t", types=("Egress",), egress=1),)
    assert found.cni.pools == (
        IpPool(name="default-ipv4-ippool", cidr="10.244.0.0/16", vxlan_mode="Always", nat_outgoing=True, block_size=26),
    )
    assert BlockAffinity(cidr="10.244.56.128/26", node="ada-ec-2", state="confirmed") in found.cni.blocks
    assert found.cni.felix["bpfConnectTimeLoadBalancing"] == "TCP"
    assert "networkpolicies in kotsadm" not in found.absent
    assert "daemonset calico-node" in found.absent


def test_what_may_not_be_read_is_absent_and_no_error(fake: Fake, connection: Connection) -> None:
    fake.forbidden = {"/apis/networking.k8s.io/v1/namespaces/kotsadm/networkpolicies", f"{_CRD}/ippools"}
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_CALICO,))
    assert (found.policies, found.cni.pools) == ((), ())
    assert found.absent["networkpolicies in kotsadm"] == "forbidden"
    assert found.absent["ippools"] == "forbidden"
    assert [sentence.partition(": ")[0] for sentence in found.refused] == [
        "list networkpolicies.networking.k8s.io in namespace kotsadm is forbidden",
        "list ippools.crd.projectcalico.org is forbidden",
    ]


def test_what_is_not_there_is_no_refusal(fake: Fake, connection: Connection) -> None:
    assert detailed(connection, _SNAPSHOT, _FLOWS, (_CALICO, _FLANNEL)).refused == ()


def test_an_object_that_may_be_read_in_one_of_two_places_is_no_refusal(fake: Fake, connection: Connection) -> None:
    places = [f"/apis/apps/v1/namespaces/{namespace}/daemonsets/calico-node" for namespace in ("calico-system", "kube-system")]
    fake.forbidden = {places[0]}
    fake.replies["GET", places[1]] = [(200, {"metadata": {"name": "calico-node"}}, {})]
    assert detailed(connection, _SNAPSHOT, _FLOWS, (_CALICO,)).refused == ()
    (refused,) = detailed(connection, _SNAPSHOT, _FLOWS, (_CALICO,)).refused
    assert refused.startswith("get daemonsets.apps calico-node in namespace calico-system is forbidden: ")


def test_a_server_that_is_gone_is_asked_once(fake: Fake, connection: Connection) -> None:
    fake.server.shutdown()
    fake.server.server_close()
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_CALICO, _FLANNEL))
    assert len(set(found.absent.values())) == 1
    assert {"networkpolicies in kotsadm", "ippools", "configmap kube-flannel-cfg"} <= found.absent.keys()
    assert any(sentence.startswith("list ippools.crd.projectcalico.org failed (") for sentence in found.refused)


def test_without_a_cni_of_ours_only_policies_are_asked_for(fake: Fake, connection: Connection) -> None:
    detailed(connection, _SNAPSHOT, _FLOWS, ())
    assert {path for _, path, _, _ in fake.seen} == {
        f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies" for namespace in ("kotsadm", "kube-system")
    }


def test_calicos_own_policies_and_environment(fake: Fake, connection: Connection) -> None:
    spec = {"selector": "role == 'db'", "ingress": [{"action": "Deny"}]}
    fake.lists[f"{_CRD}/namespaces/kotsadm/networkpolicies"] = [{"metadata": {"name": "np", "namespace": "kotsadm"}, "spec": spec}]
    fake.lists[f"{_CRD}/globalnetworkpolicies"] = [{"metadata": {"name": "g"}, "spec": {"types": ["Egress"], "selector": "all()"}}]
    env = [{"name": "FELIX_VXLANPORT", "value": "4789"}, {"name": "SECRET", "value": "x"}, {"name": "FELIX_FROM", "valueFrom": {}}]
    daemon = {"metadata": {"name": "calico-node"}, "spec": {"template": {"spec": {"containers": [{"env": env}, {}]}}}}
    fake.replies["GET", "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"] = [(200, daemon, {})]
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_CALICO,))
    own, everywhere = found.policies
    assert (own.kind, own.selector, own.types) == ("crd.projectcalico.org/NetworkPolicy", "role == 'db'", ("Ingress",))
    assert (everywhere.namespace, everywhere.types) == (None, ("Egress",))
    assert found.cni.felix_environment == {"FELIX_VXLANPORT": "4789"}
    assert "daemonset calico-node" not in found.absent


def test_flannels_configuration(fake: Fake, connection: Connection) -> None:
    data = {"net-conf.json": '{"Network": "10.244.0.0/16", "EnableIPv6": false, "Backend": {"Type": "vxlan", "Port": 8472}}'}
    path = "/api/v1/namespaces/kube-flannel/configmaps/kube-flannel-cfg"
    fake.replies["GET", path] = [(200, {"metadata": {"name": "kube-flannel-cfg"}, "data": data}, {})]
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_FLANNEL,))
    assert found.cni.flannel == {"Network": "10.244.0.0/16", "EnableIPv6": "false", "Backend.Type": "vxlan", "Backend.Port": "8472"}


def test_canal_has_calicos_policies_and_flannels_network(fake: Fake, connection: Connection) -> None:
    fake.lists[f"{_CRD}/globalnetworkpolicies"] = [{"metadata": {"name": "g"}, "spec": {"types": ["Egress"], "selector": "all()"}}]
    fake.lists[f"{_CRD}/felixconfigurations"] = [{"metadata": {"name": "default"}, "spec": {"featureDetectOverride": "x"}}]
    env = [{"name": "FELIX_IPTABLESREFRESHINTERVAL", "value": "60"}, {"name": "CALICO_NETWORKING_BACKEND", "value": "none"}]
    daemon = {"metadata": {"name": "rke2-canal"}, "spec": {"template": {"spec": {"containers": [{"env": env}]}}}}
    fake.replies["GET", "/apis/apps/v1/namespaces/kube-system/daemonsets/rke2-canal"] = [(200, daemon, {})]
    data = {"net-conf.json": '{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}'}
    path = "/api/v1/namespaces/kube-system/configmaps/rke2-canal-config"
    fake.replies["GET", path] = [(200, {"metadata": {"name": "rke2-canal-config"}, "data": data}, {})]
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_CANAL,))
    assert [(policy.kind, policy.name) for policy in found.policies] == [("crd.projectcalico.org/GlobalNetworkPolicy", "g")]
    assert found.cni.felix == {"featureDetectOverride": "x"}
    assert found.cni.felix_environment == {"FELIX_IPTABLESREFRESHINTERVAL": "60"}
    assert found.cni.flannel == {"Network": "10.42.0.0/16", "Backend.Type": "vxlan"}


def test_what_two_networks_have_in_common_is_read_once(fake: Fake, connection: Connection) -> None:
    fake.lists[f"{_CRD}/globalnetworkpolicies"] = [{"metadata": {"name": "g"}, "spec": {"types": ["Egress"], "selector": "all()"}}]
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_CANAL, _CALICO))
    assert [policy.name for policy in found.policies] == ["g"]
    assert "daemonset canal" in found.absent


@pytest.mark.parametrize("value", [None, 3, [], "x"])
def test_what_is_no_object_is_flattened_to_nothing(value: object) -> None:
    assert flattened(value) == {}


_POD = Pod(namespace="shop", name="web", labels={"app": "web", "tier": "front"})


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (NetworkPolicy(namespace="shop", name="all"), True),
        (NetworkPolicy(namespace="other", name="all"), False),
        (NetworkPolicy(namespace="shop", name="x", match_labels={"app": "web"}), True),
        (NetworkPolicy(namespace="shop", name="x", match_labels={"app": "db"}), False),
        (NetworkPolicy(namespace="shop", name="x", requirements=(Requirement(key="app", operator="In", values=("web", "api")),)), True),
        (NetworkPolicy(namespace="shop", name="x", requirements=(Requirement(key="app", operator="NotIn", values=("web",)),)), False),
        (NetworkPolicy(namespace="shop", name="x", requirements=(Requirement(key="old", operator="NotIn", values=("web",)),)), True),
        (NetworkPolicy(namespace="shop", name="x", requirements=(Requirement(key="old", operator="Exists"),)), False),
        (NetworkPolicy(namespace="shop", name="x", requirements=(Requirement(key="old", operator="DoesNotExist"),)), True),
        (NetworkPolicy(namespace="shop", name="x", requirements=(Requirement(key="app", operator="Like"),)), False),
        (NetworkPolicy(namespace=None, name="x", selector="all()"), True),
        (NetworkPolicy(namespace=None, name="x", selector="app == 'web'"), None),
        (NetworkPolicy(namespace="other", name="x", selector="all()"), False),
    ],
)
def test_which_pods_a_policy_selects(policy: NetworkPolicy, expected: bool | None) -> None:
    assert policy.selects(_POD) is expected


_CILIUM = _cni("cilium-vxlan")
_CILIUM_API = "/apis/cilium.io/v2"


def _pod(namespace: str, **labels: str) -> Pod:
    return Pod(namespace=namespace, name="a", labels=labels)


def test_ciliums_policies_are_read_rule_by_rule(fake: Fake, connection: Connection) -> None:
    """Sections isolate by being there; labels bear their source, and a clusterwide policy names namespaces by one of them."""
    fake.lists[f"{_CILIUM_API}/namespaces/kotsadm/ciliumnetworkpolicies"] = [
        {
            "metadata": {"name": "mine", "namespace": "kotsadm"},
            "spec": {"endpointSelector": {"matchLabels": {"k8s:app": "kotsadm"}}, "egress": [{}, {}], "egressDeny": [{}]},
        },
        {
            "metadata": {"name": "both", "namespace": "kotsadm"},
            "specs": [
                {"endpointSelector": {"matchExpressions": [{"key": "any:tier", "operator": "Exists"}]}, "ingress": []},
                {"endpointSelector": {}, "ingressDeny": [{}]},
            ],
        },
    ]
    fake.lists[f"{_CILIUM_API}/ciliumclusterwidenetworkpolicies"] = [
        {
            "metadata": {"name": "wide"},
            "spec": {"endpointSelector": {"matchLabels": {"k8s:io.kubernetes.pod.namespace": "kube-system"}}, "ingress": []},
        },
        {"metadata": {"name": "nodes"}, "spec": {"nodeSelector": {}, "ingress": []}},
    ]
    found = {(policy.name, policy.types): policy for policy in detailed(connection, _SNAPSHOT, _FLOWS, (_CILIUM,)).policies}
    assert found.keys() == {("mine", ("Egress",)), ("both", ("Ingress",)), ("wide", ("Ingress",))}
    mine, wide = found["mine", ("Egress",)], found["wide", ("Ingress",)]
    assert (mine.kind, mine.egress, mine.match_labels) == ("cilium.io/CiliumNetworkPolicy", 2, {"app": "kotsadm"})
    assert [mine.selects(_pod("kotsadm", app=app)) for app in ("kotsadm", "other")] == [True, False]
    assert [wide.selects(_pod(namespace)) for namespace in ("kube-system", "kotsadm")] == [True, False]


def test_ciliums_policies_that_may_not_be_read_are_told(fake: Fake, connection: Connection) -> None:
    fake.forbidden = {f"{_CILIUM_API}/ciliumclusterwidenetworkpolicies"}
    found = detailed(connection, _SNAPSHOT, _FLOWS, (_CILIUM,))
    assert found.absent["ciliumclusterwidenetworkpolicies"] == "forbidden"
    assert any("ciliumclusterwidenetworkpolicies.cilium.io" in sentence for sentence in found.refused)
