"""From frames to the packets that were on the wire.

hop_frames     the frames of a path at each of its hops
fragments      fragments joined to their packet
segments       TCP frames cut into the segments that they held
tcp_sequence   TCP sequence numbers that do not wrap
datagrams      super-packets of UDP split into datagrams
numbering      keys (same_packet) as numbers that can be compared between hops
"""

from collections.abc import Mapping

from kubectl_vxtrace.journeys.records import (
    ANY_PORT,
    REPLY,
    REQUEST,
    Candidate,
    CandidatePath,
    FlowFrames,
    FlowKey,
    HopFrames,
    PathFrames,
)
from kubectl_vxtrace.journeys.unpack.datagrams import datagram_packets, largest_datagram_bytes
from kubectl_vxtrace.journeys.unpack.hop_frames import hop_frames
from kubectl_vxtrace.journeys.unpack.numbering import numbered
from kubectl_vxtrace.journeys.unpack.segments import segment_sizes, tcp_packets
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Path, Role, Tap
from kubectl_vxtrace.model.recording import Recording

_MOST_MTU_BYTES = (1 << 31) - 1
"""A device's MTU is a C int where it is set (net/core/dev.c, dev_set_mtu); what a node or a bundle says may be anything."""


def unpack_path(
    candidate: Candidate,
    path: Path,
    frames: Mapping[Tap, Mapping[FlowKey, FlowFrames]],
    tables: Mapping[Tap, PacketTable],
    recording: Recording,
) -> CandidatePath:
    """The packets of one path of a candidate. `frames`: by tap and FlowKey."""
    flow_key = (candidate.group, candidate.planned, REQUEST if path.direction is Direction.REQUEST else REPLY)
    of_flow = {tap: by_flow[flow_key] for tap, by_flow in frames.items() if flow_key in by_flow}
    if candidate.port != ANY_PORT:
        with_port = {tap: at_tap.take(at_tap.server_port == candidate.port) for tap, at_tap in of_flow.items()}
        of_flow = {tap: at_tap for tap, at_tap in with_port.items() if len(at_tap)}
    hops, unexpected = hop_frames(path, of_flow, tables)
    ipv6 = ":" in candidate.flow.client.address
    path_frames = wire_packets(path, list(hops), candidate.flow.protocol, _overlay_mtu(recording, path), ipv6)
    return CandidatePath(candidate=candidate, frames=path_frames, unexpected=unexpected)


def wire_packets(path: Path, hops: list[HopFrames], protocol: str, mtu_bytes: int | None, ipv6: bool) -> PathFrames:
    """The packets of a path at each of its hops."""
    tcp = protocol == "TCP"
    sizes = segment_sizes(hops, mtu_bytes, ipv6)
    if not hops:
        return PathFrames(path=path, hops=(), packets=(), tcp=tcp, largest_bytes=sizes.largest_bytes, comparable=True)
    if tcp:
        keyed, comparable = tcp_packets(hops, sizes, ipv6)
    else:
        keyed, comparable = datagram_packets(hops, largest_datagram_bytes(sizes.largest_bytes), ipv6), True
    packets = numbered(keyed, hops)
    return PathFrames(path=path, hops=tuple(hops), packets=packets, tcp=tcp, largest_bytes=sizes.largest_bytes, comparable=comparable)


def _overlay_mtu(recording: Recording, path: Path) -> int | None:
    """The largest MTU of the VXLAN devices on the path, None where unknown or where the path has none."""
    taps = {hop.tap for hop in path.hops if hop.role is Role.VXLAN}
    mtus = [vtep.mtu_bytes for vtep in recording.overlay.vteps if Tap(node=vtep.node, interface=vtep.interface) in taps]
    return max((mtu for mtu in mtus if mtu and 0 < mtu <= _MOST_MTU_BYTES), default=None)
