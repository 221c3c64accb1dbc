"""The lab's objects are those of the by-hand procedure, and hang together."""

import ipaddress

import pytest

from tests.datapath import shape
from tests.datapath.records import Lab

SHAPES = [(backend, nodes) for backend in ("calico", "flannel") for nodes in (2, 3, 5)]


def test_the_procedures_pods_have_its_addresses_and_interfaces() -> None:
    pods = {pod.name: pod for pod in shape.lab("calico", 3, "/nowhere").pods}
    assert [
        (pods[name].address, pods[name].node, pods[name].host_interface) for name in ("kotsadm-58f859745b-x4nh8", "kotsadm-rqlite-0")
    ] == [
        ("10.244.114.75", "ada-ec-1", "cali9d8b6a7d855"),
        ("10.244.114.74", "ada-ec-1", "cali8a9c5dc2e9d"),
    ]
    assert [
        (pods[name].address, pods[name].node, pods[name].host_interface)
        for name in ("coredns-86b5dd7f68-9zdn8", "coredns-86b5dd7f68-kp2bk")
    ] == [
        ("10.244.56.129", "ada-ec-2", "cali2b903875fe4"),
        ("10.244.106.65", "ada-ec-3", "cali895d469e349"),
    ]


def test_the_nodes_are_the_procedures() -> None:
    first = shape.lab("calico", 3, "/nowhere").nodes[0]
    assert (first.name, first.address, first.vtep_interface, first.vtep_address) == (
        "ada-ec-1",
        "10.128.0.72",
        "vxlan.calico",
        "10.244.114.64",
    )
    assert (first.vni, first.vxlan_port, first.mtu_bytes, first.pod_cidr) == (4096, 4789, 1410, "10.244.114.64/26")
    second = shape.lab("flannel", 3, "/nowhere").nodes[1]
    assert (second.vtep_interface, second.vni, second.vxlan_port, second.pod_cidr, second.bridge) == (
        "flannel.1",
        1,
        8472,
        "10.244.2.0/24",
        "cni0",
    )


@pytest.mark.parametrize(("backend", "nodes"), SHAPES)
def test_every_pod_has_a_place_of_its_own(backend: str, nodes: int) -> None:
    lab = shape.lab(backend, nodes, "/nowhere")
    own = [pod for pod in lab.pods if pod.host_interface is not None]
    for values in (
        [pod.uid for pod in lab.pods],
        [(pod.namespace, pod.name) for pod in lab.pods],
        [pod.address for pod in own] + [node.vtep_address for node in lab.nodes],
        [pod.netns for pod in own],
        [node.vtep_mac for node in lab.nodes],
        [node.underlay_mac for node in lab.nodes],
    ):
        assert len(values) == len(set(values))
    for pod in own:
        assert ipaddress.ip_address(pod.address or "") in ipaddress.ip_network(lab.node(pod.node or "").pod_cidr)
        assert pod.netns == f"pod-{pod.name}"
        assert len(pod.host_interface or "") <= 15  # IFNAMSIZ less the terminating zero


@pytest.mark.parametrize(("backend", "nodes"), SHAPES)
def test_every_owner_exists_and_replica_sets_belong_to_deployments(backend: str, nodes: int) -> None:
    lab = shape.lab(backend, nodes, "/nowhere")
    workloads = {(workload.kind, workload.namespace, workload.name): workload for workload in lab.workloads}
    for pod in lab.pods:
        kind, _, name = (pod.owner or "").partition("/")
        workload = workloads[kind, pod.namespace, name]
        assert all(pod.labels.get(key) == value for key, value in workload.selector.items())
        if kind == "replicaset":
            owner_kind, _, owner = (workload.owner or "").partition("/")
            assert (owner_kind, pod.namespace, owner) in workloads
            assert pod.name.startswith(f"{owner}-")


def kinds_of_pod(lab: Lab) -> dict[str, int]:
    return {
        "pending": sum(pod.phase == "Pending" for pod in lab.pods),
        "host network": sum(pod.host_network for pod in lab.pods),
        "beside the client": sum(pod.host_interface is not None for pod in lab.pods_on("ada-ec-1")) - 1,
    }


def test_there_is_something_to_name_wrongly() -> None:
    kinds = kinds_of_pod(shape.lab("calico", 3, "/nowhere"))
    assert all(kinds.values()), kinds


def test_with_two_nodes_a_dns_pod_runs_beside_the_client() -> None:
    pods = {pod.name: pod for pod in shape.lab("calico", 2, "/nowhere").pods}
    assert pods["coredns-86b5dd7f68-kp2bk"].node == "ada-ec-1"
