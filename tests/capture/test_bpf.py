"""Filters, judged by libpcap on generated frames: what each must let through, and what it must not."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.capture import bpf
from kubectl_vxtrace.errors import CannotRunError
from tests.capture.judge import compiles, needs_tcpdump, picked
from tests.wire import frames as wire
from tests.wire import links

C, S, B1, B2 = "10.244.114.75", "10.96.0.10", "10.244.56.129", "10.244.106.65"
N1, N2, N3 = "10.128.0.72", "10.128.0.95", "10.128.0.96"
T1, T2, T3 = "10.244.114.64", "10.244.56.128", "10.244.106.64"
OTHER, STRANGER = "10.244.114.99", "203.0.113.9"
ENDS = bpf.Ends(
    clients=(C,),
    servers=(B1, B2),
    services=(S,),
    masquerades=(T1, T2, T3, N1, N2, N3),
    nodes=(N1, N2, N3),
    ports=(53,),
    vxlan_ports=(4789, 8472),
)
TCP, UDP, ICMP = 6, 17, 1

pytestmark = needs_tcpdump


def datagram(source: str, destination: str, sport: int = 41234, dport: int = 53, *, fragment: int = 0x4000, options: bytes = b"") -> bytes:
    payload = wire.udp(b"x" * 20, source=sport, destination=dport)
    return wire.ethernet(wire.ipv4(payload, source=source, destination=destination, protocol=UDP, fragment=fragment, options=options))


def segment(source: str, destination: str, sport: int = 41234, dport: int = 53, *, flags: int = 0x10) -> bytes:
    payload = wire.tcp(source=sport, destination=dport, flags=flags)
    return wire.ethernet(wire.ipv4(payload, source=source, destination=destination, protocol=TCP))


def ping(source: str, destination: str) -> bytes:
    return wire.ethernet(wire.ipv4(wire.echo(7, 1), source=source, destination=destination, protocol=ICMP))


def arp(sender: str, target: str) -> bytes:
    return wire.ethernet(wire.arp(sender=sender, target=target), ethertype=0x0806)


def tunnelled(frame: bytes, source: str = N1, destination: str = N2, *, port: int = 4789, vni: int = 4096, tag: bool = False) -> bytes:
    return wire.encapsulate(frame, source=source, destination=destination, port=port, vni=vni, vlans=(100,) if tag else ())


def later_fragment(source: str, destination: str) -> bytes:
    return wire.ethernet(wire.ipv4(b"y" * 64, source=source, destination=destination, protocol=UDP, fragment=0x00B9))


def test_a_clients_interface() -> None:
    wanted = {
        "question": datagram(C, S),
        "answer": datagram(S, C, 53, 41234),
        "answer that nobody translated back": datagram(B1, C, 53, 41234),
        "over TCP": segment(C, S, flags=2),
        "refused": ping(N1, C),
        "later fragment": later_fragment(S, C),
        "ARP": arp(C, "169.254.1.1"),
    }
    others = {"web": segment(C, STRANGER, dport=443), "another pod": datagram(OTHER, S), "another pod's ping": ping(OTHER, N1)}
    assert picked(bpf.client_pod(C, (53,)), wanted | others) == wanted.keys()


def test_a_clients_interface_without_ports() -> None:
    assert picked(bpf.client_pod(C, ()), {"ping": ping(C, B1), "web": segment(C, B1, dport=443), "not mine": ping(OTHER, B1)}) == {
        "ping",
        "web",
    }


def test_a_source_that_is_not_the_clients() -> None:
    wanted = {"to the service": datagram(OTHER, S), "to a backend": datagram(STRANGER, B1)}
    others = {"its own": datagram(C, S), "answer": datagram(S, C, 53, 41234), "another port": segment(OTHER, S, dport=443)}
    assert picked(bpf.foreign(C, (S, B1, C), (53,)), wanted | others) == wanted.keys()
    assert picked(bpf.foreign(C, (S,), ()), {"any port": segment(OTHER, S, dport=443), "its own": ping(C, S)}) == {"any port"}
    assert bpf.foreign(C, (), (53,)) == bpf.foreign(C, (C,), (53,)) == ""


def test_a_servers_interface() -> None:
    wanted = {
        "from the client": datagram(C, B1),
        "masqueraded": datagram(T1, B1, 1025),
        "masqueraded by the node": datagram(N1, B1, 1025),
        "answer": datagram(B1, C, 53, 41234),
        "ping": ping(STRANGER, B1),
        "fragment": later_fragment(C, B1),
        "ARP": arp(T2, B1),
    }
    others = {"another client": datagram(OTHER, B1), "another server": datagram(C, "10.244.56.200")}
    assert picked(bpf.server_pod(B1, ENDS), wanted | others) == wanted.keys()


def test_a_vxlan_device() -> None:
    wanted = {
        "request": datagram(C, B1),
        "to a stale backend": datagram(C, "10.244.56.200"),
        "reply": datagram(B2, C, 53, 41234),
        "masqueraded": datagram(T1, B1),
        "not translated": datagram(OTHER, S),
        "ping": ping(B1, STRANGER),
        "fragment": later_fragment(B1, C),
        "ARP": arp(T1, T2),
    }
    others = {"other pods": datagram(OTHER, "10.244.56.200"), "of another client": datagram(OTHER, B1), "VTEPs": datagram(T1, T2)}
    assert picked(bpf.overlay(ENDS), wanted | others) == wanted.keys()


def test_what_a_node_forwards_for_nobody_at_home() -> None:
    local = ("10.244.114.64/26", N1, "fd00:7::/64")
    wanted = {"foreign": datagram(STRANGER, B1), "to a stale backend": datagram("10.244.250.9", "10.244.56.200")}
    others = {
        "the client's": datagram(C, B1),
        "another pod's": datagram(OTHER, B1),
        "the node's": datagram(N1, B1),
        "a reply": datagram(B1, C, 53, 53),
        "another port": segment(STRANGER, B1, dport=443),
        "ARP": arp(STRANGER, T2),
    }
    assert picked(bpf.passing((53, 5353), local), wanted | others) == wanted.keys()
    assert picked(bpf.passing((), local), {"ping": ping(STRANGER, B1), "ARP": arp(STRANGER, T2), "own": ping(C, B1)}) == {"ping"}
    with pytest.raises(CannotRunError):
        bpf.passing((53,), ("10.0.0.0/8) or (ip",))


_AT_NIC = {
    "request": tunnelled(datagram(C, B1)),
    "reply": tunnelled(datagram(B1, C, 53, 41234), N2, N1),
    "tagged": tunnelled(datagram(C, B1), tag=True),
    "inner IP options": tunnelled(datagram(C, B1, options=b"\x01" * 4)),
    "inner later fragment": tunnelled(later_fragment(C, B1)),
    "of another port": tunnelled(datagram(C, B1), port=8472),
    "with another VNI": tunnelled(datagram(C, B1), vni=7),
    "to a wrong node": tunnelled(datagram(C, B1), N1, STRANGER),
    "from a wrong address": tunnelled(datagram(C, B1), STRANGER, N2),
    "masqueraded inside": tunnelled(datagram(T1, B1)),
    "masqueraded reply": tunnelled(datagram(B1, T1, 53, 1025), N2, N1),
    "not translated inside": tunnelled(datagram(OTHER, S)),
    "ping inside": tunnelled(ping(C, B1)),
    "bare request": datagram(C, B1),
    "bare tagged reply": wire.ethernet(
        wire.ipv4(wire.udp(b"", source=53, destination=1), source=B1, destination=C, protocol=UDP), vlans=(100,)
    ),
    "bare and masqueraded": datagram(N1, B1),
    "bare to the service": datagram(N1, S),
    "first outer fragment": wire.encapsulate(datagram(C, B1), source=N1, destination=N2, fragment=0x2000),
    "later outer fragment": later_fragment(N1, N2),
    "ICMP from a router": ping("10.128.0.1", N1),
    "TCP between nodes": segment(N1, N2, dport=10250, flags=2),
    "ARP": arp(N1, "10.128.0.99"),
}
_NOT_AT_NIC = {
    "other pods": tunnelled(datagram(OTHER, "10.244.56.200")),
    "another client": tunnelled(datagram(OTHER, B1)),
    "of the tunnels themselves": tunnelled(datagram(T1, T2)),
    "TCP data between nodes": segment(N1, N2, dport=10250),
    "web": segment(N1, STRANGER, dport=443, flags=2),
    "foreign ICMP": ping(STRANGER, "203.0.113.10"),
    "DNS of the node": datagram(N1, STRANGER),
    "inner IPv6": tunnelled(wire.ethernet(wire.ipv6(b"", source="fd00::1", destination="fd00::2", protocol=59), ethertype=0x86DD)),
}


def test_a_nic() -> None:
    assert picked(bpf.underlay(ENDS), _AT_NIC | _NOT_AT_NIC) == _AT_NIC.keys()


def test_a_nic_with_inner_ipv6() -> None:
    ends = replace(ENDS, clients=(C, "fd00:10:244:1::5"))
    assert picked(bpf.underlay(ends), _AT_NIC | _NOT_AT_NIC) == _AT_NIC.keys() | {"inner IPv6"}


SIX1, SIX2 = "fd00:128::72", "fd00:128::95"


def over_six(frame: bytes, *, source: str = SIX1, destination: str = SIX2, port: int = 4789, tag: bool = False) -> bytes:
    """Encapsulated between nodes on an IPv6 underlay."""
    datagram = wire.udp(wire.vxlan(frame, vni=4096), source=50000, destination=port)
    packet = wire.ipv6(datagram, source=source, destination=destination, protocol=UDP)
    return wire.ethernet(packet, ethertype=0x86DD, vlans=(100,) if tag else ())


def six_fragment(payload: bytes, *, offset: int) -> bytes:
    packet = wire.ipv6_fragment(payload, protocol=UDP, ident=9, fragment=offset)
    return wire.ethernet(wire.ipv6(packet, source=SIX1, destination=SIX2, protocol=44), ethertype=0x86DD)


def test_a_nic_of_an_ipv6_underlay() -> None:
    ends = replace(ENDS, nodes=(SIX1, SIX2), masquerades=(T1, T2, SIX1, SIX2))
    wanted = {
        "request": over_six(datagram(C, B1)),
        "reply": over_six(datagram(B1, C, 53, 41234), source=SIX2, destination=SIX1),
        "tagged": over_six(datagram(C, B1), tag=True),
        "inner IP options": over_six(datagram(C, B1, options=b"\x01" * 4)),
        "of another port": over_six(datagram(C, B1), port=8472),
        "to a wrong node": over_six(datagram(C, B1), destination="2001:db8::9"),
        "masqueraded inside": over_six(datagram(T1, B1)),
        "not translated inside": over_six(datagram(OTHER, S)),
        "bare request": datagram(C, B1),
        "first outer fragment": six_fragment(wire.udp(wire.vxlan(datagram(C, B1), vni=1), source=1, destination=4789), offset=0x2000),
        "later outer fragment": six_fragment(b"y" * 64, offset=0x00B9),
    }
    others = {
        "other pods": over_six(datagram(OTHER, "10.244.56.200")),
        "of another port of the nodes": over_six(datagram(C, B1), port=53),
        "inner IPv6": over_six(wire.ethernet(wire.ipv6(b"", source="fd00::1", destination="fd00::2", protocol=59), ethertype=0x86DD)),
    }
    assert picked(bpf.underlay(ends), wanted | others) == wanted.keys()
    six_inside = replace(ends, clients=(C, "fd00:10:244:1::5"))
    assert picked(bpf.underlay(six_inside), wanted | others) == wanted.keys() | {"inner IPv6"}


def test_ends_in_the_nodes_network_are_watched_by_port() -> None:
    ends = bpf.Ends(clients=(C,), host_servers=(N2,), masquerades=(T1, N1), nodes=(N1, N2), ports=(6443,), services=("10.96.0.1",))
    found = picked(
        bpf.underlay(ends),
        {
            "masqueraded": segment(N1, N2, 1025, 6443),
            "back": segment(N2, N1, 6443, 1025),
            "bare client": segment(C, N2, 1025, 6443),
            "kubelet": segment(N1, N2, 1025, 10250),
        },
    )
    assert found == {"masqueraded", "back", "bare client"}


def test_a_client_in_the_nodes_network_does_not_pull_in_the_whole_node() -> None:
    ends = bpf.Ends(host_clients=(N1,), servers=(B1,), masquerades=(T1, N1), nodes=(N1, N2), ports=(53,), services=(S,))
    found = picked(
        bpf.underlay(ends),
        {
            "encapsulated": tunnelled(datagram(T1, B1)),
            "bare": datagram(N1, B1),
            "ssh": segment(N1, STRANGER, dport=22),
            "other": tunnelled(datagram(OTHER, T2)),
        },
    )
    assert found == {"encapsulated", "bare"}


def test_what_a_limit_counts() -> None:
    expression = bpf.between(C, (S, B1), (53,), "UDP")
    frames = {
        "question": datagram(C, S),
        "answer": datagram(S, C, 53, 1),
        "TCP": segment(C, S),
        "other port": datagram(C, S, 1, 54),
        "other": datagram(C, OTHER),
    }
    assert picked(expression, frames) == {"question", "answer"}
    assert picked(bpf.between(C, (B1,), (), "ICMP"), {"ping": ping(C, B1), "else": ping(C, N1)}) == {"ping"}


def test_the_users_filter_picks_among_what_the_client_sends() -> None:
    expression = bpf.restricted(bpf.client_pod(C, (53,)), "udp and src port 41234", C)
    frames = {
        "picked": datagram(C, S),
        "not picked": datagram(C, S, 50000),
        "answer": datagram(S, C, 53, 50000),
        "not of the pod": datagram(OTHER, S),
    }
    assert picked(expression, frames) == {"picked", "answer"}


def test_a_users_alternative_does_not_widen_the_filter() -> None:
    expression = bpf.restricted(bpf.client_pod(C, (53,)), "port 53 or port 443", C)
    assert picked(expression, {"web": segment(C, STRANGER, dport=443), "dns": datagram(C, S)}) == {"dns"}


def test_large_traces_still_compile() -> None:
    many = tuple(f"10.244.{number}.5" for number in range(60))
    ends = replace(ENDS, servers=many, nodes=tuple(f"10.128.1.{number}" for number in range(20)), masquerades=many[:20])
    assert compiles(bpf.underlay(ends)) is None
    assert compiles(bpf.overlay(ends)) is None


@pytest.mark.parametrize(
    "ends", [bpf.Ends(), bpf.Ends(clients=(C,)), bpf.Ends(servers=(B1,), nodes=(N1,)), bpf.Ends(host_clients=(N1,), host_servers=(N2,))]
)
def test_little_is_enough(ends: bpf.Ends) -> None:
    assert compiles(bpf.underlay(ends)) is None
    assert compiles(bpf.overlay(ends)) is None
    assert compiles(bpf.server_pod(B1, ends)) is None


@pytest.mark.parametrize("hostile", ["10.0.0.1 or arp", "fe80::1%x", "", "-w"])
def test_foreign_text_never_becomes_part_of_a_filter(hostile: str) -> None:
    with pytest.raises(CannotRunError):
        bpf.client_pod(hostile, (53,))
    with pytest.raises(CannotRunError):
        bpf.underlay(replace(ENDS, servers=(hostile,)))


_WITHOUT_LINK = {"RAW": 101, "NULL": 0, "LINUX_SLL": 113, "LINUX_SLL2": 276}


@pytest.mark.parametrize("link", _WITHOUT_LINK)
def test_filters_compile_without_ethernet(link: str) -> None:
    for expression in (bpf.underlay(ENDS, ethernet=False), bpf.overlay(ENDS), bpf.server_pod(B1, ENDS), bpf.client_pod(C, (53,))):
        assert compiles(expression, link) is None
    assert "no VLAN support" in (compiles(bpf.underlay(ENDS), link) or "")


@pytest.mark.parametrize("link", _WITHOUT_LINK)
def test_a_nic_without_ethernet_picks_the_same_packets(link: str) -> None:
    """As tailscale0, wg0 or ppp0: all but ARP and tags, which such links do not have."""
    before = {"RAW": b"", "NULL": b"\x02\0\0\0", "LINUX_SLL": links.sll(b""), "LINUX_SLL2": links.sll2(b"")}[link]

    def without_ethernet(frames: dict[str, bytes]) -> dict[str, bytes]:
        return {name: before + frame[14:] for name, frame in frames.items() if frame[12:14] == b"\x08\x00"}

    wanted, others = without_ethernet(_AT_NIC), without_ethernet(_NOT_AT_NIC)
    assert len(wanted) > 15
    assert picked(bpf.underlay(ENDS, ethernet=False), wanted | others, _WITHOUT_LINK[link]) == wanted.keys()
