"""Where in a capture file addresses stand, and what must not stay because it was not understood."""

from collections import defaultdict
from dataclasses import dataclass, field

from kubectl_vxtrace.model.packets import I64, U8
from kubectl_vxtrace.packets.cursor import BOOL

OUTER, INNER, QUOTED, QUOTED_INNER = 0, 1, 2, 3
"""Depths of IP headers: a deeper one is covered by the checksums of those above."""


@dataclass(slots=True, eq=False)
class Layer:
    """IP packets of one depth: where each header and its L4 begin and where it ends, captured or by its length; offsets in the file."""

    version: int
    start: I64
    transport: I64
    end: I64
    protocol: U8
    later: BOOL


@dataclass(slots=True, eq=False)
class Sites:
    """Offsets in the file. wiped: pairs of begins and ends of what becomes zero. payload_at, payload_end, dns, unopened: of each frame.

    dns: by its ports its payload is DNS. unopened: what carries another packet that was not looked into keeps so many bytes of payload,
    -1 where it is none.
    """

    macs: list[I64] = field(default_factory=list)
    ipv4: list[I64] = field(default_factory=list)
    ipv6: list[I64] = field(default_factory=list)
    wiped: list[tuple[I64, I64]] = field(default_factory=list)
    layers: dict[int, list[Layer]] = field(default_factory=lambda: defaultdict(list))
    payload_at: list[I64] = field(default_factory=list)
    payload_end: list[I64] = field(default_factory=list)
    dns: list[BOOL] = field(default_factory=list)
    unopened: list[I64] = field(default_factory=list)
