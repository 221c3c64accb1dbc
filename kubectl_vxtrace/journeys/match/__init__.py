"""The same packet at every hop of a path.

pairing        equal keys of two hops joined one to one
hop_by_hop     that, from one hop to the next over the whole path
duplicates     packets that the network doubled, folded into one
altered        packets that the network damaged, joined with what was sent
trajectories   what comes out: where each packet was seen
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.judgement import UNRELATED_CLOCKS_NS
from kubectl_vxtrace.journeys.match.altered import join_altered
from kubectl_vxtrace.journeys.match.duplicates import CommonClock, fold_duplicates
from kubectl_vxtrace.journeys.match.hop_by_hop import join_hops
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import PathFrames
from kubectl_vxtrace.model.packets import I32, I64


def match_packets(frames: PathFrames, clocks: Clocks, witness: Sequence[bool]) -> Trajectories:
    """Follows every packet of a path over its hops. Pieces of TCP data that are no packet of their own are left out, and so are duplicates
    that the network made; `witness` says which hops would have seen what passed them."""
    nodes = [hop.tap.node for hop in frames.path.hops]
    steady = [clocks.steady(node) for node in nodes]

    def least_ns(early: int, late: int, at_ns: I64) -> I64 | None:
        return clocks.least_ns(nodes[late], nodes[early], at_ns)

    joined = join_hops(frames.packets, least_ns, steady, without_ip_id=frames.tcp)
    folded = fold_duplicates(joined, frames, witness, _common_clock(nodes, clocks))
    packet, remains = folded.packet, join_altered(folded.packet, frames)
    count, length = packet.shape
    frame, payload = np.empty((length, count), np.int32), np.empty((length, count), np.int32)
    smallest, weight = np.full(count, np.iinfo(np.int32).max, dtype=np.int32), np.zeros(count, dtype=np.int32)
    for hop, packets in enumerate(frames.packets):
        at_hop = packet[:, hop]
        # -1, unseen, is the index of what is appended
        frame[hop] = np.append(packets.frame, np.int32(-1))[at_hop]
        payload[hop] = np.append(frames.hops[hop].payload_bytes, np.int32(-1))[frame[hop]]
        finer = np.flatnonzero((at_hop >= 0) & (payload[hop] < smallest))
        smallest[finer], weight[finer] = payload[hop][finer], packets.weight[at_hop[finer]]
    keep = np.flatnonzero((weight > 0) & remains)
    return _described(frames, frame[:, keep].T, payload[:, keep].T, packet[keep], weight[keep], folded.undecided[keep])


def _common_clock(nodes: Sequence[str], clocks: Clocks) -> CommonClock:
    """Times of all hops on the first hop's clock."""
    offsets = [clocks.offset(node, nodes[0]) for node in nodes]
    widths = [offset.high - offset.low for offset in offsets if offset.high is not None and offset.low is not None]
    slack_ns = max(widths, default=0) if len(widths) == len(offsets) else UNRELATED_CLOCKS_NS
    return CommonClock(shift_ns=[clocks.middle_ns(node, nodes[0]) for node in nodes], slack_ns=slack_ns)


def _described(frames: PathFrames, frame: I32, payload: I32, packet: I32, weight: I32, undecided: NDArray[np.bool_]) -> Trajectories:
    """The trajectories with what their first sightings say of them."""
    count, length = frame.shape
    first = np.zeros(count, dtype=np.int32)
    for hop in reversed(range(length)):
        first[frame[:, hop] >= 0] = hop
    time_ns, client_port, identity = np.zeros(count, np.int64), np.zeros(count, np.int32), np.zeros(count, np.int64)
    flags, ip_id = np.zeros(count, np.uint16), np.zeros(count, np.uint16)
    for hop, at_hop in enumerate(frames.hops):
        begun = np.flatnonzero(first == hop)
        index = frame[begun, hop]
        rows = at_hop.row[index]
        client_port[begun] = at_hop.client_port[index]
        identity[begun] = frames.packets[hop].base_key[packet[begun, hop]]
        time_ns[begun] = at_hop.table.time_ns[rows]
        flags[begun] = at_hop.table.flags[rows]
        ip_id[begun] = at_hop.table.ip_id[rows]
    return Trajectories(
        frames=frames,
        frame=frame,
        first=first,
        time_ns=time_ns,
        client_port=client_port,
        payload_bytes=payload,
        flags=flags,
        ip_id=ip_id,
        identity=identity,
        weight=weight,
        undecided=undecided,
    )
