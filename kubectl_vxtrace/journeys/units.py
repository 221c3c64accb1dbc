"""What is followed from hop to hop: whole datagrams, TCP control packets and pieces of TCP data.

A unit is what one packet on the wire carries. Frames differ from units: a GSO or GRO super-packet holds many, a fragment
train is one.
"""

from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.journeys.columns import number_rows
from kubectl_vxtrace.model.packets import I32, I64, U16, U64, PacketTable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """The frames of one path at one hop, n rows: their rows in `table` and the client's port of each.

    `payload_bytes` is the L4 payload of the packet that they carry (a train's in whole); `count` how many frames of the file that
    takes.
    """

    table: PacketTable
    row: I32
    client_port: I32
    payload_bytes: I32
    count: I32

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """The units at one hop, n rows.

    frame: index into the hop's Frames. key: the same for the same unit at all hops. base: like key, without the IP ID.
    weight: packets on the wire that it stands for where this frame is the finest, 0 for a part of a packet that another unit stands for.
    """

    frame: I32
    key: I32
    base: I32
    time_ns: I64
    weight: I32

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draft:
    """Units of one hop before they are numbered: what makes them the same (`parts`), and their IP ID."""

    frame: I32
    parts: tuple[U64, ...]
    ip_id: U16
    weight: I32


def numbered(drafts: list[Draft], hops: list[Frames]) -> list[Units]:
    """Drafts of all hops of a path with keys that are comparable between hops."""
    parts = [np.concatenate(column) for column in zip(*(draft.parts for draft in drafts), strict=True)]
    base = number_rows(parts)
    ip_id = np.concatenate([draft.ip_id for draft in drafts])
    key = number_rows([(base.astype(np.uint64) << np.uint64(16)) | ip_id])
    cuts = np.cumsum([len(draft.frame) for draft in drafts])[:-1]
    bases, keys = np.split(base, cuts), np.split(key, cuts)
    return [
        Units(frame=draft.frame, key=keys[i], base=bases[i], time_ns=hop.table.time_ns[hop.row][draft.frame], weight=draft.weight)
        for i, (draft, hop) in enumerate(zip(drafts, hops, strict=True))
    ]
