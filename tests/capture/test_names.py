"""Names of interfaces and pcaps."""

import pytest

from kubectl_vxtrace.capture.names import file_name, usable_interface
from kubectl_vxtrace.model.path import Role, Tap


@pytest.mark.parametrize(
    ("interface", "role", "taken", "name"),
    [
        ("cali9d8b6a7d855", Role.POD, (), "ada-ec-1-pod.pcap"),
        ("cali2", Role.POD, ("ada-ec-1-pod.pcap",), "ada-ec-1-pod-cali2.pcap"),
        ("cni0", Role.BRIDGE, (), "ada-ec-1-bridge.pcap"),
        ("vxlan.calico", Role.VXLAN, (), "ada-ec-1-vxlan-calico.pcap"),
        ("flannel.1", Role.VXLAN, (), "ada-ec-1-vxlan-flannel-1.pcap"),
        ("ens4", Role.UNDERLAY, (), "ada-ec-1-primary-interface.pcap"),
        ("ens5", Role.UNDERLAY, ("ada-ec-1-primary-interface.pcap",), "ada-ec-1-primary-interface-ens5.pcap"),
        ("", Role.POD, ("ada-ec-1-pod.pcap",), "ada-ec-1-pod-2.pcap"),
        ("../../x", Role.POD, ("ada-ec-1-pod.pcap",), "ada-ec-1-pod-.._.._x.pcap"),
    ],
)
def test_pcaps(interface: str, role: Role, taken: tuple[str, ...], name: str) -> None:
    assert file_name(Tap(node="ada-ec-1", interface=interface), role, taken) == name


def test_a_hostile_node_name_stays_in_the_folder() -> None:
    assert file_name(Tap(node="../etc/passwd", interface="e"), Role.POD, ()) == "_etc_passwd-pod.pcap"
    assert file_name(Tap(node="", interface="e"), Role.POD, ()) == "node-pod.pcap"


@pytest.mark.parametrize("name", ["ens4", "vxlan.calico", "cali9d8b6a7d855", "bond0.100", "veth@if3", "a"])
def test_usable(name: str) -> None:
    assert usable_interface(name)


@pytest.mark.parametrize("name", ["", "-w", "a;id", "a b", "../x", "a" * 16, "$(id)", "eth0\n", ".x"])
def test_not_usable(name: str) -> None:
    assert not usable_interface(name)
