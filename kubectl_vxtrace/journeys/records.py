"""What the steps hand on to each other. One row of these tables is a frame at a tap, or a packet as it was on the wire at a hop.

A frame is what stands in a capture file. A packet is what one frame on the wire carries: a GSO or GRO super-packet is one frame and many
packets, a fragmented packet is several frames and one packet. A journey is one packet over all hops.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64, U8, PacketTable
from kubectl_vxtrace.model.path import Flow, Path, Tap

REQUEST, REPLY = 0, 1
"""Directions in a column of numbers."""
PORTS = 1 << 16
"""So many port numbers there are (RFC 9293, 3.1), and so many ICMP identifiers (RFC 792)."""
NO_FLOW = -1
"""In place of a planned flow, or of a group of them: none, or none that anything names."""
SEVERAL_FLOWS = -2
"""In place of a planned flow: more than one."""
ANY_PORT = -1
"""In place of a server's port."""
FlowKey = tuple[int, int, int]
"""Group, planned flow and direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What one tap is worth. `reason` says why it is no witness, or why it saw nothing; `capture` is the capture's id."""

    witness: bool
    reason: str | None = None
    capture: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowFrames:
    """Frames of one tap that belong to planned flows, n rows in file order.

    row: in the PacketTable. group: number of the FlowGroup. planned: index of the planned flow, NO_FLOW where nothing names the backend.
    direction: REQUEST or REPLY. client_port: as at the client. server_port: as seen at this tap.
    """

    row: I32
    group: I32
    planned: I32
    direction: U8
    client_port: I32
    server_port: I32

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: NDArray[np.generic]) -> "FlowFrames":
        """Some of the rows: indices or a mask."""
        return FlowFrames(
            row=self.row[which],
            group=self.group[which],
            planned=self.planned[which],
            direction=self.direction[which],
            client_port=self.client_port[which],
            server_port=self.server_port[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A flow that packets may belong to, with its paths. `group`, `planned` and `port` say which frames are its own.

    `planned` is the index of the planned flow, NO_FLOW for packets whose backend nothing names. `port` is the server's port where
    the plan left it open, else ANY_PORT. `next_taps` are, for packets without a backend, the taps at which the paths to the backends part
    behind the end of the request's path.
    """

    flow: Flow
    paths: tuple[Path, ...]
    group: int
    planned: int
    port: int = ANY_PORT
    next_taps: tuple[Tap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HopFrames:
    """The frames of one path at one hop, n rows: their rows in `table` and the client's port of each.

    `payload_bytes` is the L4 payload of the packet that they carry (of a fragmented one in whole); `count` how many frames of the file
    that takes.
    """

    table: PacketTable
    row: I32
    client_port: I32
    payload_bytes: I32
    count: I32

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: NDArray[np.generic]) -> "HopFrames":
        """Some of the frames: indices or a mask."""
        return HopFrames(
            table=self.table,
            row=self.row[which],
            client_port=self.client_port[which],
            payload_bytes=self.payload_bytes[which],
            count=self.count[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WirePackets:
    """The packets on the wire at one hop, n rows: whole datagrams, TCP control packets, pieces of TCP data.

    frame: index into the hop's HopFrames. key: the same for the same packet at all hops. base_key: like key, without the IP ID.
    weight: packets on the wire that it stands for where this frame is the finest, 0 for a part of a packet that another row stands for.
    """

    frame: I32
    key: I32
    base_key: I32
    time_ns: I64
    weight: I32

    def __len__(self) -> int:
        return len(self.frame)

    def keys(self, *, with_ip_id: bool) -> I32:
        """`key`, or `base_key`."""
        return self.key if with_ip_id else self.base_key


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathFrames:
    """A path, its frames at each hop and the packets in them. `largest_bytes`: TCP payload that one packet can hold.

    `comparable`: whether absence at a hop means absence; see `unpack.segments.tcp_packets`.
    """

    path: Path
    hops: tuple[HopFrames, ...]
    packets: tuple[WirePackets, ...]
    tcp: bool
    largest_bytes: int
    comparable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePath:
    """One path of one candidate: its packets, and per tap the frames that stand at no hop of it."""

    candidate: Candidate
    frames: PathFrames
    unexpected: Mapping[Tap, FlowFrames]
