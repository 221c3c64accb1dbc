"""The bytes of a packet at one tap: its addresses before or behind translation, and the encapsulation at the underlay."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.wire import frames
from tests.wire.places import CLIENT, CLIENT_NODE, SERVICE, TUNNEL, UNDERLAY, Stop, address, node_of
from tests.wire.world import Flow, Packet, Tunnel

PROTOCOLS = {"UDP": frames.UDP, "TCP": frames.TCP, "ICMP": frames.ICMP, "SCTP": frames.SCTP}
FULL_OFFSET = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Who speaks to whom at a tap: addresses and ports as they are there, sender first."""

    source: str
    destination: str
    source_port: int
    destination_port: int


def sides(flow: Flow, packet: Packet, stop: Stop, six: bool) -> Sides:
    """The addresses and ports of a packet at a tap."""
    server, port = flow.server, flow.server_port
    client, client_port = CLIENT, packet.client_port
    if not stop.dnat and flow.service_port is not None:
        server, port = SERVICE, flow.service_port
    if stop.snat:
        client = TUNNEL if flow.masquerade else CLIENT
        client_port = (client_port + flow.port_shift) % 65536
    ends = (address(client, six), client_port), (address(server, six), port)
    (source, source_port), (destination, destination_port) = ends[::-1] if packet.reply else ends
    return Sides(source=source, destination=destination, source_port=source_port, destination_port=destination_port)


def segment(flow: Flow, members: Sequence[Packet], ends: Sides, six: bool) -> bytes:
    """The L4 packet that holds `members`, which is one packet but for super-packets."""
    first = members[0]
    payload = b"".join(one.payload for one in members)
    if flow.protocol == "UDP":
        return frames.udp(payload, source=ends.source_port, destination=ends.destination_port)
    if flow.protocol == "SCTP":
        return frames.sctp(payload, source=ends.source_port, destination=ends.destination_port, tsn=first.seq)
    if flow.protocol == "ICMP":
        identifier = ends.destination_port if first.reply else ends.source_port
        if not six:
            return frames.echo(identifier, first.seq % 65536, payload, reply=first.reply)
        rest = identifier.to_bytes(2, "big") + (first.seq % 65536).to_bytes(2, "big")
        return frames.icmp(129 if first.reply else 128, rest=rest, payload=payload)
    flags = 0
    for one in members:
        flags |= one.flags
    return frames.tcp(
        payload, source=ends.source_port, destination=ends.destination_port, seq=first.seq % 2**32, ack=first.ack % 2**32, flags=flags,
        options=frames.sack(first.sack), window=first.window,
    )  # fmt: skip


def inner_parts(flow: Flow, members: Sequence[Packet], stop: Stop, hop: int, six: bool) -> list[bytes]:
    """The inner IP packets of a frame's members at a hop: one, or a train of fragments."""
    first = members[0]
    ends = sides(flow, first, stop, six)
    data = segment(flow, members, ends, six)
    protocol = frames.ICMPV6 if six and flow.protocol == "ICMP" else PROTOCOLS[flow.protocol]
    ident = first.ip_id % 65536
    size = first.fragment_bytes
    if size is None or hop <= first.whole_until:
        return [ip(data, ends, protocol=protocol, ident=ident, ttl=stop.ttl, fragment=0x4000 if first.dont_fragment else 0, six=six)]
    cuts = range(0, len(data), size)
    return [
        ip(data[at : at + size], ends, protocol=protocol, ident=ident, ttl=stop.ttl, fragment=_field(at, at == cuts[-1]), six=six)
        for at in cuts
    ]


def _field(at: int, last: bool) -> int:
    return at // FULL_OFFSET | (0 if last else 0x2000)


def ip(data: bytes, ends: Sides, *, protocol: int, ident: int, ttl: int, fragment: int, six: bool) -> bytes:
    """An IP packet of either family. Of a fragment in IPv6 the identification goes into its header; else IPv6 has none."""
    if not six:
        return frames.ipv4(
            data, source=ends.source, destination=ends.destination, protocol=protocol, ident=ident, ttl=ttl, fragment=fragment
        )
    if fragment & 0x3FFF:
        data = frames.ipv6_fragment(data, protocol=protocol, ident=0x10000 + ident, fragment=fragment)
        protocol = frames.IPV6_FRAGMENT
    return frames.ipv6(data, source=ends.source, destination=ends.destination, protocol=protocol, hops=ttl)


def inner_frame(packet: bytes, tunnel: Tunnel, six: bool) -> bytes:
    """An inner IP packet with its Ethernet header."""
    vlans = () if tunnel.inner_vlan is None else (tunnel.inner_vlan,)
    return frames.ethernet(packet, ethertype=frames.IPV6 if six else frames.IPV4, vlans=vlans)


def outer_frames(
    inner: bytes, tunnel: Tunnel, nodes: tuple[str, str], *, source_port: int, ident: int, fragment_bytes: int | None = None
) -> list[bytes]:
    """The frames that carry an inner frame between two nodes: one, or a train of outer fragments."""
    group = tunnel.group
    carried = frames.vxlan(inner, vni=tunnel.vni, flags=0x08 if group is None else 0x88, group=group or 0)
    datagram = frames.udp(carried, source=source_port, destination=tunnel.port)
    ends = Sides(
        source=address(UNDERLAY[nodes[0]], tunnel.outer_six),
        destination=address(UNDERLAY[nodes[1]], tunnel.outer_six),
        source_port=source_port,
        destination_port=tunnel.port,
    )
    size = fragment_bytes or len(datagram)
    vlans = () if tunnel.outer_vlan is None else (tunnel.outer_vlan,)
    cuts = range(0, len(datagram), size)
    return [
        frames.ethernet(
            ip(
                datagram[at : at + size], ends, protocol=frames.UDP, ident=ident, ttl=64, six=tunnel.outer_six,
                fragment=_field(at, at == cuts[-1]) if fragment_bytes else 0,
            ),
            ethertype=frames.IPV6 if tunnel.outer_six else frames.IPV4,
            vlans=vlans,
        )
        for at in cuts
    ]  # fmt: skip


def dress(flow: Flow, members: Sequence[Packet], stop: Stop, hop: int, *, tunnel: Tunnel, six: bool, outer_ident: int) -> list[bytes]:
    """The frames that hold `members` at a hop: one, or the parts of a train in order."""
    inner = inner_parts(flow, members, stop, hop, six)
    if stop.role != "underlay":
        # The tag is part of what the tunnel carries; taps of the node see what the kernel took it from.
        return [inner_frame(one, Tunnel(), six) for one in inner]
    nodes = (CLIENT_NODE, node_of(flow.server))
    if members[0].reply:
        nodes = nodes[::-1]
    source_port = 49152 + (members[0].client_port * 7 + members[0].reply) % 16384
    return [
        frame
        for one in inner
        for frame in outer_frames(
            inner_frame(one, tunnel, six), tunnel, nodes, source_port=source_port, ident=outer_ident % 65536,
            fragment_bytes=members[0].outer_fragment_bytes,
        )
    ]  # fmt: skip


def header_bytes(flow: Flow, packet: Packet, stop: Stop, hop: int, part: int, *, tunnel: Tunnel, six: bool) -> int:
    """How many bytes of a part's frame a reader needs to tell whose it is: headers up to the ports, TCP's without options."""
    ported = {"UDP": 8, "TCP": 20, "ICMP": 8, "SCTP": 12}[flow.protocol]
    inner_train = packet.fragment_bytes is not None and hop > packet.whole_until
    inner = 14 + (40 if six else 20) + (8 if six and inner_train else 0) + (0 if part and inner_train else ported)
    if stop.role != "underlay":
        return inner
    outer_train = packet.outer_fragment_bytes is not None
    outer = 14 + (40 if tunnel.outer_six else 20) + (8 if tunnel.outer_six and outer_train else 0)
    outer += 0 if tunnel.outer_vlan is None else 4
    if part and outer_train:
        return outer
    return outer + 16 + (0 if tunnel.inner_vlan is None else 4) + inner
