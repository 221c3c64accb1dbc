"""Captures as they are planned from the API alone."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.commands.dry_run import captures
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.recording import CaptureTask
from kubectl_vxtrace.model.request import Limits, Request, Target
from kubectl_vxtrace.topology.overlay import published_overlay
from kubectl_vxtrace.topology.resolve import resolve
from tests.topology.build import snapshot

CALICO = {"projectcalico.org/IPv4VXLANTunnelAddr": "10.244.114.64"}
FLANNEL = {"flannel.alpha.coreos.com/backend-data": '{"VNI":1}'}
CLIENT = "kotsadm/kotsadm-58f859745b-x4nh8"


def _cluster(annotations: dict[str, str]) -> ClusterSnapshot:
    made = snapshot()
    return replace(made, nodes=tuple(replace(node, annotations=annotations) for node in made.nodes))


def _captures(annotations: dict[str, str], target: Target, users_filter: str | None = None) -> tuple[CaptureTask, ...]:
    seen = _cluster(annotations)
    namespace, _, name = CLIENT.partition("/")
    source = Target(kind="pod", namespace=namespace, name=name)
    request = Request(command="pod", source=source, target=target, filter=users_filter, limits=Limits(snaplen_bytes=300))
    flows = resolve(request, seen)
    return captures(request, seen, flows, published_overlay(seen, flows))[0]


DNS = Target(kind="service", namespace="kube-system", name="kube-dns", port=53, protocol="UDP")


def test_calicos_nodes_have_three_taps_each() -> None:
    tasks = _captures(CALICO, DNS)
    assert [(task.tap.node, task.file) for task in tasks] == [
        ("ada-ec-1", "ada-ec-1-pod.pcap"),
        ("ada-ec-1", "ada-ec-1-vxlan-calico.pcap"),
        ("ada-ec-1", "ada-ec-1-primary-interface.pcap"),
        ("ada-ec-2", "ada-ec-2-primary-interface.pcap"),
        ("ada-ec-2", "ada-ec-2-vxlan-calico.pcap"),
        ("ada-ec-2", "ada-ec-2-pod.pcap"),
        ("ada-ec-3", "ada-ec-3-primary-interface.pcap"),
        ("ada-ec-3", "ada-ec-3-vxlan-calico.pcap"),
        ("ada-ec-3", "ada-ec-3-pod.pcap"),
    ]
    assert tasks[0].tap.interface == f"<pod interface of {CLIENT}>"
    assert tasks[1].tap.interface == "vxlan.calico"
    assert tasks[2].tap.interface == "<NIC of ada-ec-1>"
    assert tasks[5].tap.interface == "<pod interface of kube-system/coredns-86b5dd7f68-9zdn8>"
    assert all(task.filter and task.argv[-2:] == ("--", task.filter) for task in tasks)
    assert all(task.argv[task.argv.index("-s") + 1] == "300" for task in tasks)
    assert ["-T" in task.argv for task in tasks] == [task.role.value == "underlay" for task in tasks]


def test_flannels_nodes_have_a_bridge_as_well() -> None:
    tasks = _captures(FLANNEL, DNS)
    assert [(task.role.value, task.tap.interface) for task in tasks[:4]] == [
        ("pod", f"<pod interface of {CLIENT}>"),
        ("bridge", "<bridge of ada-ec-1>"),
        ("vxlan", "flannel.1"),
        ("underlay", "<NIC of ada-ec-1>"),
    ]
    assert len(tasks) == 12


def test_an_unknown_overlay_has_placeholders_for_its_devices() -> None:
    assert [task.tap.interface for task in _captures({}, DNS)][1] == "<VXLAN device of ada-ec-1>"


def test_two_pods_of_one_node() -> None:
    tasks = _captures(CALICO, Target(kind="pod", namespace="kotsadm", name="kotsadm-rqlite-0", port=4001, protocol="TCP"))
    assert [(task.tap.interface, task.file) for task in tasks] == [
        (f"<pod interface of {CLIENT}>", "ada-ec-1-pod.pcap"),
        ("<pod interface of kotsadm/kotsadm-rqlite-0>", "ada-ec-1-pod-2.pcap"),
    ]


def test_the_users_filter_stands_in_the_clients_own() -> None:
    first, *others = _captures(CALICO, DNS, "greater 100")
    assert "greater 100" in str(first.filter)
    assert not [task for task in others if "greater 100" in str(task.filter)]
    with pytest.raises(UsageError, match="-w"):
        _captures(CALICO, DNS, "-w x")
