"""Where decoding has got to in each frame, and the columns that it fills."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64, U8, U16, U32, U64, Kind
from kubectl_vxtrace.packets.frames import Frames

BOOL = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Cursor:
    """Some rows of a batch and the place of their next header.

    rows: ascending row numbers. at: index of the next header in the batch's data. captured_end: index behind the last captured byte.
    wire_end: index behind the last byte on the wire, as the enclosing header has it. loose: the enclosing packet is a first fragment
    or a quotation, so that an inner length may rightly point behind `wire_end`.
    """

    rows: I64
    at: I64
    captured_end: I64
    wire_end: I64
    loose: BOOL

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, mask: BOOL) -> "Cursor":
        """Only the rows of `mask`."""
        if mask.all():
            return self
        return self.pick(np.flatnonzero(mask))

    def pick(self, index: I64) -> "Cursor":
        """Only the rows at these places. Five times as fast as by a mask, which numpy would count again for each column."""
        return Cursor(self.rows[index], self.at[index], self.captured_end[index], self.wire_end[index], self.loose[index])

    def moved(self, at: I64) -> "Cursor":
        """The same rows at another place."""
        return Cursor(self.rows, at, self.captured_end, self.wire_end, self.loose)


def first(frames: Frames) -> Cursor:
    """All frames at their first byte."""
    at = frames.at
    return Cursor(np.arange(len(at)), at, at + frames.captured_bytes, at + frames.wire_bytes, np.zeros(len(at), np.bool_))


@dataclass(slots=True, eq=False)
class Columns:
    """What decoding says of n frames; see PacketTable. Rows that nothing is written to are OTHER.

    payload_at: index of the L4 payload in the batch's data, of ARP's header in ARP; -1 where there is neither.
    conversation: the key as five columns: source (high, low), destination (high, low), ports and protocol.
    tunnel: seven columns: source, destination, UDP ports and VNI, inner source and destination MAC; `tunneled` says where they count.
    shut: a TCP window of zero.
    ethernet: bytes 0 to 7 and 8 to 11 of the frame, as they lie in memory: both addresses; `addressed` says where they count.
    """

    kind: U8
    payload_bytes: I32
    payload_at: I64
    ip_id: U16
    outer_id: U16
    ttl: U8
    fragment: U16
    encapsulation: U8
    seq: U32
    ack: U32
    flags: U16
    shut: BOOL
    conversation: tuple[U64, ...]
    tunnel: tuple[U64, ...]
    tunneled: BOOL
    ethernet: tuple[U64, ...]
    addressed: BOOL

    def __len__(self) -> int:
        return len(self.kind)

    def put(self, column: NDArray[Any], cursor: Cursor, values: NDArray[Any] | int) -> None:
        """Write `values` to the cursor's rows of one of the columns."""
        if len(cursor) == len(column):
            column[:] = values  # ascending row numbers, as many as there are rows: all of them
        else:
            column[cursor.rows] = values

    def need(self, cursor: Cursor, header_bytes: I64 | int, sound: BOOL | None = None) -> Cursor:
        """Rows whose next header was captured whole and is `sound`; the others become MALFORMED, or CUT where it was not captured."""
        behind = cursor.at + header_bytes
        good = behind <= cursor.captured_end
        good &= (behind <= cursor.wire_end) | cursor.loose
        if sound is not None:
            good &= sound
        if good.all():
            return cursor
        bad = cursor.keep(~good)
        behind = behind[~good]
        malformed = (behind > bad.wire_end) & ~bad.loose
        if sound is not None:
            malformed |= ~sound[~good]
        self.put(self.kind, bad, np.where(malformed, Kind.MALFORMED, Kind.CUT))
        return cursor.keep(good)


CONVERSATION_COLUMNS = 5
TUNNEL_COLUMNS = 7
ETHERNET_COLUMNS = 2


def columns(rows: int) -> Columns:
    """Columns for `rows` frames of which nothing is known."""
    return Columns(
        kind=np.full(rows, Kind.OTHER, np.uint8),
        payload_bytes=np.zeros(rows, np.int32),
        payload_at=np.full(rows, -1, np.int64),
        ip_id=np.zeros(rows, np.uint16),
        outer_id=np.zeros(rows, np.uint16),
        ttl=np.zeros(rows, np.uint8),
        fragment=np.zeros(rows, np.uint16),
        encapsulation=np.zeros(rows, np.uint8),
        seq=np.zeros(rows, np.uint32),
        ack=np.zeros(rows, np.uint32),
        flags=np.zeros(rows, np.uint16),
        shut=np.zeros(rows, np.bool_),
        conversation=tuple(np.zeros(rows, np.uint64) for _ in range(CONVERSATION_COLUMNS)),
        tunnel=tuple(np.zeros(rows, np.uint64) for _ in range(TUNNEL_COLUMNS)),
        tunneled=np.zeros(rows, np.bool_),
        ethernet=tuple(np.zeros(rows, np.uint64) for _ in range(ETHERNET_COLUMNS)),
        addressed=np.zeros(rows, np.bool_),
    )
