"""What capture files are called."""

import pytest

from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.topology.naming import hint_of

POD, BRIDGE, VXLAN, NIC = Role.POD, Role.BRIDGE, Role.VXLAN, Role.UNDERLAY


@pytest.mark.parametrize(
    ("name", "node", "role", "interface"),
    [
        # the by-hand procedure, and what this tool makes of it
        ("ada-ec-1-pod.pcap", "ada-ec-1", POD, ""),
        ("ada-ec-1-pod-cali123456.pcap", "ada-ec-1", POD, "cali123456"),
        ("ada-ec-1-vxlan-calico.pcap", "ada-ec-1", VXLAN, ""),
        ("ada-ec-1-vxlan-flannel-1.pcapng.gz", "ada-ec-1", VXLAN, ""),
        ("ada-ec-1-bridge.pcap", "ada-ec-1", BRIDGE, ""),
        ("ada-ec-1-primary-interface.pcap", "ada-ec-1", NIC, ""),
        ("ip-10-0-0-1.ec2.internal-primary-interface-eth1.pcap", "ip-10-0-0-1.ec2.internal", NIC, "eth1"),
        # NODE_INTERFACE, NODE-INTERFACE, NODE.INTERFACE, and the other way round
        ("ada-ec-1_cali6cda1270255.pcap", "ada-ec-1", POD, "cali6cda1270255"),
        ("ada-ec-1_ens4.pcap", "ada-ec-1", NIC, "ens4"),
        ("ada-ec-1_vxlan.calico.pcap", "ada-ec-1", VXLAN, "vxlan.calico"),
        ("worker1-flannel.1.pcap", "worker1", VXLAN, "flannel.1"),
        ("worker1-cni0.cap", "worker1", BRIDGE, "cni0"),
        ("10.0.0.5-eth0.pcap", "10.0.0.5", NIC, "eth0"),
        ("node1.bond0.100.pcap", "node1", NIC, "bond0.100"),
        ("node1 eth0.pcap", "node1", NIC, "eth0"),
        ("pod-ada-ec-1.pcap", "ada-ec-1", POD, ""),
        ("eth0.ada-ec-1.pcap", "ada-ec-1", NIC, "eth0"),
        ("server-pod-eth0.pcap", "server", POD, "eth0"),
        ("tcpdump-node1-eth0.pcap", "node1", NIC, "eth0"),
        # folders
        ("captures/ada-ec-1/pod.pcap", "ada-ec-1", POD, ""),
        ("captures/ada-ec-1/ens4.pcap", "ada-ec-1", NIC, "ens4"),
        ("ada-ec-1/tcpdump_ens4.pcap", "ada-ec-1", NIC, "ens4"),
        ("sb.tar.gz/sb-2024/captures/ada-ec-1/archive.tar/tmp/pod.pcap", "ada-ec-1", POD, ""),
        # one pcapng with several interfaces
        ("node1-any.pcapng/ens4", "node1", NIC, "ens4"),
        ("merged.pcapng/ada-ec-1/ens4/underlay", "ada-ec-1", NIC, "ens4"),
        # with what rotation adds
        ("ada-ec-1-ens4-2024-01-31_10:15:30.pcap", "ada-ec-1", NIC, "ens4"),
        ("ada-ec-1_ens4_00001_20240131101530.pcap", "ada-ec-1", NIC, "ens4"),
        ("ada-ec-2-pod-1.pcap", "ada-ec-2", POD, ""),
        ("ada-ec-2-pod.pcap17.gz", "ada-ec-2", POD, ""),
    ],
)
def test_a_node_and_a_role(name: str, node: str, role: Role, interface: str) -> None:
    hint = hint_of(name)
    assert (hint.node, hint.role, hint.interface, hint.certain) == (node, role, interface, True)


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("ada-ec-1.pcap", "ada-ec-1"),
        ("client.pcap", "client"),
        ("capture-aks-vmss000000-20240131101530UTC.pcap", "aks-vmss000000"),
        ("must-gather/quay-io/worker-0-debug/2022-01-13T19:31:31.pcap", "worker-0-debug"),
        ("dump.pcap", None),
        ("capture-2.pcap", None),
        ("captures/dump.pcap", None),
        ("captures/n1/dump.pcap", "n1"),
    ],
)
def test_without_a_role_a_node_is_a_guess(name: str, node: str | None) -> None:
    hint = hint_of(name)
    assert (hint.node, hint.role, hint.certain) == (node, None, False)


def test_a_capture_of_all_interfaces() -> None:
    hint = hint_of("node1-any.pcap")
    assert (hint.node, hint.role, hint.everywhere, hint.certain) == ("node1", None, True, True)
    assert not hint_of("node1.pcap").everywhere


def test_a_capture_at_a_switch() -> None:
    assert hint_of("leaf1-tor.pcap").fabric
    assert not hint_of("leaf1-ens4.pcap").fabric


@pytest.mark.parametrize(
    ("name", "series", "rotated", "numbered"),
    [
        ("n1-pod.pcap", "n1-pod", False, False),
        ("n1-pod.pcap0", "n1-pod", True, False),
        ("n1-pod.pcap12.gz", "n1-pod", True, False),
        ("n1-pod.pcap.1", "n1-pod", True, False),
        ("n1-pod-2.pcap", "n1-pod", False, True),
        ("n1-eth0-2.pcap", "n1-eth0", False, True),
        ("d/n1-ens4-20240131101530.pcap", "d/n1-ens4", True, False),
        ("n1-ens4-2024-01-31T10:15:30Z.pcap", "n1-ens4", True, False),
        ("n1-ens4-1706695530.pcap", "n1-ens4", True, False),
        ("n1_ens4_00002_20240131101530.pcap", "n1_ens4", True, False),
        # a number that is the device's, or a node's that comes last
        ("n1_flannel.1.pcap", "n1_flannel.1", False, False),
        ("pod-n-2.pcap", "pod-n-2", False, False),
        # a number that may be the node's
        ("ada-ec-2.pcap", "ada-ec", False, True),
    ],
)
def test_what_tells_parts_of_a_capture_apart(name: str, series: str, rotated: bool, numbered: bool) -> None:
    hint = hint_of(name)
    assert (hint.series, hint.rotated, hint.numbered) == (series, rotated, numbered)
