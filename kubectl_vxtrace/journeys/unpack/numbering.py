"""Numbers for packets, which are the same for the same packet at all hops of a path."""

from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.journeys.columns import number_rows
from kubectl_vxtrace.journeys.records import HopFrames, WirePackets
from kubectl_vxtrace.journeys.same_packet import number_packets
from kubectl_vxtrace.model.packets import I32, U16, U64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyedPackets:
    """The packets of one hop before they are numbered, n rows.

    frame: index into the hop's HopFrames. key: what makes them the same but for the IP ID (see same_packet). weight: see WirePackets.
    """

    frame: I32
    key: tuple[U64, ...]
    ip_id: U16
    weight: I32


def numbered(packets: list[KeyedPackets], hops: list[HopFrames]) -> tuple[WirePackets, ...]:
    """The packets of all hops of a path, with numbers in place of their keys."""
    base = number_packets([at_hop.key for at_hop in packets])
    ip_id = np.concatenate([at_hop.ip_id for at_hop in packets])
    number = number_rows([(base.astype(np.uint64) << np.uint64(16)) | ip_id])
    cuts = np.cumsum([len(at_hop.frame) for at_hop in packets])[:-1]
    columns = zip(packets, hops, np.split(number, cuts), np.split(base, cuts), strict=True)
    return tuple(
        WirePackets(
            frame=at_hop.frame,
            key=key,
            base_key=base_key,
            time_ns=hop.table.time_ns[hop.row][at_hop.frame],
            weight=at_hop.weight,
        )
        for at_hop, hop, key, base_key in columns
    )
