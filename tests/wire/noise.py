"""Frames of others: what every tap of a real cluster holds beside the traffic that is looked at."""

from collections.abc import Iterator, Sequence

from tests.wire import frames
from tests.wire.dress import Sides, inner_frame, ip, outer_frames
from tests.wire.places import CLIENT_NODE, EPOCH, NIC, UNDERLAY, VXLAN, TapName
from tests.wire.world import Tunnel, World

STRANGER, OTHER_SERVER = "10.244.114.99", "10.244.56.77"
STRANGER6, OTHER_SERVER6 = "fd00:10:244:114::99", "fd00:10:244:56::77"
OTHER_VNI, OTHER_PORT = 777, 8472


def noise_of(world: World, taps: Sequence[TapName]) -> Iterator[tuple[TapName, int, bytes]]:
    """(tap, true time, frame), spread over the first second."""
    noise = world.noise
    for number in range(noise.count):
        at = EPOCH + number * 7_000_000 + 3_333
        for tap in taps:
            if noise.arp:
                yield tap, at, frames.ethernet(frames.arp(sender="10.128.0.1", target="10.128.0.2"), ethertype=frames.ARP)
            if tap[1] == VXLAN and noise.others:
                yield tap, at + 100, inner_frame(_packet(world, number, world.flows[0].server_port + 1), Tunnel(), world.six)
            if tap[1] == VXLAN and noise.same_ports:
                yield tap, at + 200, inner_frame(_packet(world, number, world.flows[0].server_port), Tunnel(), world.six)
            if tap[1] == NIC:
                yield from ((tap, at + 300 + index, frame) for index, frame in enumerate(_carried(world, tap[0], number)))


def _carried(world: World, node: str, number: int) -> Iterator[bytes]:
    """What the underlay carries for others."""
    noise, tunnel = world.noise, world.tunnel
    ports = [(noise.others, tunnel.port, tunnel.vni, world.flows[0].server_port + 1)]
    ports.append((noise.same_ports, tunnel.port, tunnel.vni, world.flows[0].server_port))
    ports.append((noise.other_vni, tunnel.port, OTHER_VNI, world.flows[0].server_port))
    ports.append((noise.second_overlay, OTHER_PORT if tunnel.port != OTHER_PORT else 4789, 1, world.flows[0].server_port))
    peer = next(name for name in UNDERLAY if name != node)
    nodes = (node, peer) if node == CLIENT_NODE else (peer, node)
    for wanted, port, vni, server_port in ports:
        if wanted:
            inner = inner_frame(_packet(world, number, server_port), Tunnel(), world.six)
            yield from outer_frames(inner, Tunnel(port=port, vni=vni), nodes, source_port=50_000, ident=number)


def _packet(world: World, number: int, server_port: int) -> bytes:
    names = (STRANGER6, OTHER_SERVER6) if world.six else (STRANGER, OTHER_SERVER)
    ends = Sides(source=names[0], destination=names[1], source_port=40_000, destination_port=server_port)
    datagram = frames.udp(b"noise %d" % number, source=40_000, destination=server_port)
    return ip(datagram, ends, protocol=frames.UDP, ident=number + 1, ttl=63, fragment=0x4000, six=world.six)
