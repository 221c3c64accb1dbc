"""The lab's addresses in both IP versions."""

import ipaddress

import pytest

from tests.datapath import family, faults, shape, tools


def test_in_ipv4_nothing_is_changed() -> None:
    assert family.lab_address("4", "10.244.114.75") == "10.244.114.75"
    assert family.lab_network("4", "10.244.0.0/16") == "10.244.0.0/16"


@pytest.mark.parametrize(
    ("four", "six"),
    [("10.244.0.0/16", "fd00:10:244::/48"), ("10.244.3.0/24", "fd00:10:244::3:0/112"), ("10.244.114.64/26", "fd00:10:244::114:40/122")],
)
def test_what_is_in_a_prefix_is_in_it_in_ipv6(four: str, six: str) -> None:
    assert family.lab_network("6", four) == six
    inside = ipaddress.IPv4Network(four)[9]
    assert ipaddress.ip_address(family.lab_address("6", str(inside))) in ipaddress.ip_network(six)


@pytest.mark.parametrize("backend", shape.BACKENDS_6)
def test_all_addresses_of_such_a_lab_are_ipv6_and_nobody_s_are_the_same(backend: str) -> None:
    lab = shape.lab(backend, 3, "/nowhere", "6")
    own = [pod.address for pod in lab.pods if pod.host_interface is not None]
    services = [service.cluster_ip for service in lab.services if service.cluster_ip != "None"]
    ends = [*own, *services, *(node.address for node in lab.nodes), *(node.vtep_address for node in lab.nodes)]
    assert {ipaddress.ip_address(address or "").version for address in ends} == {6}
    assert len(set(ends)) == len(ends)
    for pod in lab.pods:
        if pod.host_interface is not None:
            assert ipaddress.ip_address(pod.address or "") in ipaddress.ip_network(lab.node(pod.node or "").pod_cidr)
    assert {node.mtu_bytes for node in lab.nodes} == {1390}


@pytest.mark.parametrize("backend", shape.BACKENDS_6)
def test_what_is_of_ipv4_alone_is_no_fault_there(backend: str) -> None:
    six, four = (faults.of(shape.lab(backend, 3, "/nowhere", version)) for version in family.FAMILIES[::-1])
    assert set(six) < set(four)
    assert {"underlay-udp-blocked", "route-missing", "policy-route"} <= {fault.name for fault in six}
    assert not {"xdp-drop@reply", "rp-filter", "pod-mtu"} & {fault.name for fault in six}
    with pytest.raises(tools.LabUsageError, match="not made with IPv6"):
        faults.switch_on(shape.lab(backend, 3, "/nowhere", "6"), "rp-filter", None, None)


def test_words_of_tools() -> None:
    assert (family.iptables("fd00::1"), family.iptables("10.0.0.1")) == ("ip6tables", "iptables")
    assert (family.alone("fd00::1"), family.alone("10.0.0.1")) == ("fd00::1/128", "10.0.0.1/32")
    assert (family.host_port("fd00::1", 53), family.host_port("10.0.0.1", 53)) == ("[fd00::1]:53", "10.0.0.1:53")
    assert (family.on_device("fd00::1"), family.on_device("10.0.0.1", 24)) == ("fd00::1/128 nodad", "10.0.0.1/24 brd +")
