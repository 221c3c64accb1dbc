"""Capture filters, computed from what is known of the flows and wide enough to see what is wrong.

`and` and `or` have equal precedence in libpcap's language (pcap-filter(7)), so every part stands in parentheses.
Offsets are those of VXLAN over UDP (RFC 7348, section 5), from the UDP header on: the VXLAN header is at 8, the inner Ethernet header at
16, its type at 28, the inner IPv4 header at 30 with its addresses at 42 and 46. Over IPv4 `udp[]` begins there and skips IP options; over
IPv6 libpcap has no such thing, and `ip6[]` begins 40 bytes before (RFC 8200, section 3), without extension headers.
libpcap's own `vxlan` is in no release yet, knows port 4789 only and cannot say what these can.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.protocol import (
    ETHERNET_BYTES,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    FRAGMENT_OFFSET,
    IPV6_BYTES,
    TCP_SYN,
    UDP_BYTES,
    VXLAN_BYTES,
    VXLAN_PORTS,
    IpProtocol,
)

_INNER_IPV4 = UDP_BYTES + VXLAN_BYTES + ETHERNET_BYTES
_INNER_SOURCE, _INNER_DESTINATION, _INNER_TYPE = _INNER_IPV4 + 12, _INNER_IPV4 + 16, _INNER_IPV4 - 2
_IPV4_TYPE, _IPV6_TYPE = f"0x{ETHERTYPE_IPV4:04x}", f"0x{ETHERTYPE_IPV6:04x}"
# Later fragments have no ports.
_LATER_FRAGMENT = f"ip[6:2]&0x{FRAGMENT_OFFSET:04x}!=0"
# RFC 8200, 4.5: the Fragment header's number. What a fragment's later headers say cannot be asked for.
_IPV6_FRAGMENT = "ip6[6]=44"
VXLAN_VALID_VNI = 0x08
"""The flag I (RFC 7348, 5)."""
EXPERIMENTAL = 0x88B5
"""An ethertype for experiments, of which no receiver makes anything (IEEE Std 802, 9.2.3)."""
_TCP_SYN = f"tcp[13]&0x{TCP_SYN:02x}!=0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The addresses of all flows of a trace, as filters need them.

    clients, servers: of the flows' ends that are pods. host_clients, host_servers: of ends in their node's network. services: ClusterIPs.
    masquerades: addresses that a node may put in place of a client's (its VXLAN device's and its underlay address).
    nodes: underlay addresses. ports: ports of the services and servers; empty where a flow has none. vxlan_ports: of any node.
    """

    clients: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    host_clients: tuple[str, ...] = ()
    host_servers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    masquerades: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    vxlan_ports: tuple[int, ...] = VXLAN_PORTS


def client_pod(client: str, ports: Sequence[int]) -> str:
    """At a client's own interface: its traffic on these ports whatever the peer, its ICMP, ARP.

    The port can be tested here: what the client sends still has the service's port, and what comes back has it again. The peer is not: an
    answer from a wrong address is evidence. Without ports: all of the client's traffic.
    """
    mine = hosts([client])
    if not ports:
        return any_of([mine, "arp"])
    wanted = any_of([*(f"port {port}" for port in ports), _LATER_FRAGMENT])
    return any_of([all_of([mine, wanted]), all_of(["icmp or icmp6", mine]), "arp"])


def foreign(client: str, peers: Sequence[str], ports: Sequence[int]) -> str:
    """At a client's own interface: what goes to the peers from any other address; empty without peers.

    It can only come from the pod, which then sends with a source that is not its own.
    """
    asked = _one_of("dst host", [peer for peer in peers if peer != client])
    where = any_of(f"dst port {port}" for port in ports)
    return all_of([f"not src host {_address(client)}", asked, *([where] if where else [])])


def server_pod(server: str, ends: Ends) -> str:
    """At a server's own interface: its traffic with the clients, or with what may stand in their place; its ICMP; ARP."""
    peers = [*ends.clients, *ends.host_clients, *ends.masquerades]
    mine = hosts([server])
    return any_of([all_of([mine, hosts(peers)]) if peers else mine, all_of(["icmp or icmp6", mine]), "arp"])


def overlay(ends: Ends) -> str:
    """At a VXLAN device: everything of the clients (a stale backend is nobody's server), servers with masqueraded clients, ICMP, ARP."""
    peers = [*ends.host_clients, *ends.masquerades]
    every = [*ends.clients, *ends.servers, *ends.services, *peers]
    parts = [hosts(ends.clients + ends.services), all_of([hosts(ends.servers), hosts(peers)]), all_of(["icmp or icmp6", hosts(every)])]
    return any_of([*parts, "arp"])


def passing(ports: Sequence[int], local: Sequence[str]) -> str:
    """At a VXLAN device: what neither comes from nor goes to the `local` networks, on these ports (all IP packets without ports).

    A node's own packets and its pods' are all of that kind, so that what is left was sent under an address that nobody there has.
    """
    away = [f"not {way} net {_network(network)}" for network in dict.fromkeys(local) for way in ("src", "dst")]
    return all_of(["ip or ip6", *away, *([any_of(f"dst port {port}" for port in ports)] if ports else [])])


def underlay(ends: Ends, *, ethernet: bool = True) -> str:
    """At a NIC: the encapsulated packets of the inner hosts, whatever their outer addresses and VNI; the same packets bare.

    Also later fragments of the nodes, ICMP, ARP and the nodes' own TCP handshakes, which prove the tap alive where the rest is silent.
    Tagged or not: live, the kernel has taken a received tag off before the tap, while in a file it is there again. Without `ethernet`,
    as at a tun or WireGuard device, there are no tags, and libpcap refuses to be asked for them ("no VLAN support for Raw IP").
    """
    parts = [
        _encapsulated(ends),
        hosts([*ends.clients, *ends.services]),
        all_of([hosts(ends.servers), hosts([*ends.host_clients, *ends.masquerades])]),
        _host_ends(ends),
        all_of([f"ip proto {IpProtocol.UDP.value}", _LATER_FRAGMENT, hosts(ends.nodes)]),
        all_of([_IPV6_FRAGMENT, hosts(address for address in ends.nodes if _is_six(address))]),
        all_of(["icmp or icmp6", hosts([*ends.nodes, *ends.servers])]),
        all_of([_TCP_SYN, _one_of("src host", ends.nodes), _one_of("dst host", ends.nodes)]),
        "arp",
    ]
    return tagged_or_not(any_of(parts)) if ethernet else any_of(parts)


def marked(first_vni: int, last_vni: int, *, six: bool, ethernet: bool = True) -> str:
    """At a NIC: VXLAN packets of these VNIs, to whatever port and address, that hold a frame of no protocol; tagged or not."""

    def over(at: Callable[[int, int], str]) -> str:
        vni = at(UDP_BYTES + 4, 4)  # its last byte is reserved, and 0
        flags = f"{at(UDP_BYTES, 4)}=0x{VXLAN_VALID_VNI << 24:08x}"
        return all_of(
            [flags, f"{vni}>=0x{first_vni << 8:08x}", f"{vni}<=0x{last_vni << 8:08x}", f"{at(_INNER_TYPE, 2)}=0x{EXPERIMENTAL:04x}"]
        )

    expression = over(_in_udp)
    if six:
        expression = any_of([expression, all_of([f"ip6[6]={IpProtocol.UDP.value}", over(_in_ip6)])])
    return tagged_or_not(expression) if ethernet else expression


def _encapsulated(ends: Ends) -> str:
    """VXLAN to any port that some node uses, with one of the clients inside, or a server with what may stand in a client's place."""
    outside = [_over(ends, _in_udp), _over(ends, _in_ip6) if any(map(_is_six, ends.nodes)) else ""]
    return all_of([any_of(f"udp dst port {port}" for port in ends.vxlan_ports), any_of(outside)])


def _over(ends: Ends, at: Callable[[int, int], str]) -> str:
    """What is inside, over one version of IP; `at`: how to ask for so many bytes at a place behind the UDP header's begin."""

    def inner(place: int, addresses: Iterable[str]) -> str:
        return _inner(at(place, 4), addresses)

    peers = [*ends.host_clients, *ends.masquerades]
    clients = inner(_INNER_SOURCE, ends.clients), inner(_INNER_DESTINATION, ends.clients)
    there = all_of([inner(_INNER_SOURCE, peers), inner(_INNER_DESTINATION, ends.servers)])
    back = all_of([inner(_INNER_SOURCE, ends.servers), inner(_INNER_DESTINATION, peers)])
    services = inner(_INNER_SOURCE, ends.services), inner(_INNER_DESTINATION, ends.services)
    four = all_of([f"{at(_INNER_TYPE, 2)}={_IPV4_TYPE}", any_of([*clients, *services, there, back])])
    six = any(map(_is_six, (*ends.clients, *ends.servers)))
    return any_of([four, f"{at(_INNER_TYPE, 2)}={_IPV6_TYPE}" if six else ""])


def _in_udp(place: int, count: int) -> str:
    return f"udp[{place}:{count}]"


def _in_ip6(place: int, count: int) -> str:
    return f"ip6[{IPV6_BYTES + place}:{count}]"


def _is_six(address: str) -> bool:
    return ip_address(_address(address)).version == 6


def _host_ends(ends: Ends) -> str:
    """Bare packets of ends in their node's network: node address to node address, so only on the flow's ports."""
    peers = [*ends.clients, *ends.host_clients, *ends.masquerades, *ends.nodes]
    servers = all_of([hosts(ends.host_servers), hosts(peers)])
    clients = all_of([hosts(ends.host_clients), hosts([*ends.servers, *ends.host_servers])])
    ports = [any_of([*(f"port {port}" for port in ends.ports), _LATER_FRAGMENT])] if ends.ports else []
    return all_of([any_of([servers, clients]), *ports])


def between(client: str, peers: Sequence[str], ports: Sequence[int], protocol: str) -> str:
    """The packets of a flow as the client sends and gets them: what a limit on packets counts."""
    matched = [hosts([client]), hosts(peers), "icmp" if protocol == "ICMP" else protocol.lower()]
    return all_of([*matched, any_of(f"port {port}" for port in ports)] if ports else matched)


def asking(client: str, servers: Sequence[str], protocol: str, port: int | None) -> str:
    """The requests of a flow at one of its ends: what the client sends to any of these addresses."""
    return _one_way(f"src host {_address(client)}", _one_of("dst host", servers), protocol, f"dst port {port}" if port else "")


def answering(client: str, servers: Sequence[str], protocol: str, port: int | None) -> str:
    """Its replies there."""
    return _one_way(f"dst host {_address(client)}", _one_of("src host", servers), protocol, f"src port {port}" if port else "")


def _one_way(client: str, servers: str, protocol: str, port: str) -> str:
    is_echo = protocol == "ICMP"
    return all_of([client, servers, "icmp or icmp6" if is_echo else protocol.lower(), *([port] if port and not is_echo else [])])


def restricted(computed: str, users: str, client: str) -> str:
    """`computed`, of which the user's own expression picks among what the client sends; what comes back is kept whole."""
    return all_of([computed, any_of([users, f"not src host {_address(client)}"])])


def tagged_or_not(expression: str) -> str:
    """`expression` for untagged and 802.1Q frames. Untagged first: `vlan` moves the offsets of all that follows it."""
    return f"({expression}) or (vlan and ({expression}))"


def hosts(addresses: Iterable[str]) -> str:
    """Packets from or to any of the addresses; empty for none."""
    return _one_of("host", addresses)


def _one_of(keyword: str, addresses: Iterable[str]) -> str:
    return any_of(f"{keyword} {_address(address)}" for address in dict.fromkeys(addresses))


def _inner(field: str, addresses: Iterable[str]) -> str:
    numbers = [int(ip) for address in dict.fromkeys(addresses) if isinstance(ip := ip_address(_address(address)), IPv4Address)]
    return any_of(f"{field}=0x{number:08x}" for number in numbers)


def any_of(parts: Iterable[str]) -> str:
    """The parts that are not empty, joined by `or`; empty if none is left."""
    return _joined(" or ", [part for part in parts if part])


def all_of(parts: Sequence[str]) -> str:
    """The parts joined by `and`. A part that is empty matches nothing, and so does the whole."""
    return "" if not all(parts) else _joined(" and ", parts)


def _joined(operator: str, parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else operator.join(f"({part})" for part in parts)


def _network(text: str) -> str:
    """`text` as a network without host bits; raises as `_address` does."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return _address(text)


def _address(text: str) -> str:
    """`text` as an address without a scope.

    Raises:
        CannotRunError: it is none. Foreign text never becomes part of a filter.
    """
    try:
        if "%" not in text:
            return str(ip_address(text))
    except ValueError:
        pass
    raise CannotRunError(f"{text!r} is not an IP address", "The API server or a node named it as an address: look at the object's status.")
