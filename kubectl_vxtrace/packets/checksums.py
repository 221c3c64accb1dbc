"""Checksums of packets whose bytes were changed: right where they were right before, as wrong as before where they were wrong."""

from collections.abc import Sequence

import numpy as np

from kubectl_vxtrace.model.packets import I64, U8
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL
from kubectl_vxtrace.packets.frames import i64, take
from kubectl_vxtrace.packets.sites import Layer

_IPV4_CHECKSUM = 10
_CHECKSUM = {IpProtocol.ICMP: 2, IpProtocol.TCP: 16, IpProtocol.UDP: 6, IpProtocol.ICMPV6: 2}
"""Where it stands behind the L4 header's begin; SCTP's (RFC 9260, 6.8) covers no address."""

_WORD = np.dtype(">u2")
_FULL = 0xFFFF


def settle(old: U8, new: U8, layers: Sequence[Layer]) -> None:
    """Bring the checksums of packets of one depth up to date in `new`, by what differs from `old` (RFC 1624, eqn. 3).

    Deeper ones must be right already. A sender that leaves the checksum to its NIC has put only the sum of the addresses into its place
    (Linux, CHECKSUM_PARTIAL); so it is then afterwards.
    """
    for layer in layers:
        order = np.argsort(layer.start)
        layer = Layer(
            layer.version, layer.start[order], layer.transport[order], layer.end[order], layer.protocol[order], layer.later[order]
        )
        if layer.version == 4:
            header = _growth(old, new, layer.start, np.minimum(layer.transport, layer.end))
            _add(old, new, layer.start + _IPV4_CHECKSUM, header, layer.start + layout.IPV4.itemsize <= layer.end)
        _transport(old, new, layer)


def _transport(old: U8, new: U8, layer: Layer) -> None:
    at, width = (12, 8) if layer.version == 4 else (8, 32)
    addresses = _growth(old, new, layer.start + at, layer.start + at + width)
    contents = _growth(old, new, np.minimum(layer.transport, layer.end), layer.end)
    for protocol, place in _CHECKSUM.items():
        rows = np.flatnonzero((layer.protocol == protocol) & ~layer.later & (layer.transport + place + 2 <= layer.end))
        if not len(rows):
            continue
        where = layer.transport[rows] + place
        growth = contents[rows] + (0 if protocol == IpProtocol.ICMP else addresses[rows])
        there = take(old, where, _WORD).astype(np.int64)
        partial = np.zeros(len(rows), np.bool_)
        if protocol in (IpProtocol.TCP, IpProtocol.UDP):
            partial = there == _pseudo_header(old, layer, rows, at, width)
            _write(new, where[partial], _pseudo_header(new, layer, rows, at, width)[partial])
        none = (there == 0) & (protocol == IpProtocol.UDP)  # RFC 768: the sender made none
        _add(old, new, where, growth, ~partial & ~none, zero_is_none=protocol == IpProtocol.UDP)


def _pseudo_header(data: U8, layer: Layer, rows: I64, at: int, width: int) -> I64:
    """The sum of the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1), as it stands where a NIC is to make the checksum."""
    start = layer.start[rows]
    words = sum(take(data, start + at + 2 * number, _WORD).astype(np.int64) for number in range(width // 2))
    if layer.version == 4:
        length = take(data, start + 2, _WORD).astype(np.int64) - (layer.transport[rows] - start)
    else:
        length = take(data, start + 4, _WORD).astype(np.int64) - (layer.transport[rows] - start - layout.IPV6.itemsize)
    total = words + length + i64(layer.protocol[rows])
    for _ in range(3):
        total = (total & _FULL) + (total >> 16)
    return np.asarray(total, np.int64)


def _growth(old: U8, new: U8, start: I64, end: I64) -> I64:
    """By how much the sum of the 16-bit words from `start` to `end` grew; starts ascend, and no two stretches overlap."""
    if not len(start):
        return np.zeros(0, np.int64)
    size = min(len(old), int(end.max()))
    changed = np.flatnonzero(old[:size] != new[:size])
    stretch = np.searchsorted(start, changed, side="right") - 1
    inside = stretch >= 0
    changed, stretch = changed[inside], stretch[inside]
    inside = changed < end[stretch]
    changed, stretch = changed[inside], stretch[inside]
    weight = np.where((changed - start[stretch]) % 2 == 0, 256, 1)
    growth = (new[changed].astype(np.int64) - old[changed].astype(np.int64)) * weight
    return np.bincount(stretch, weights=growth, minlength=len(start)).astype(np.int64)


def _add(old: U8, new: U8, where: I64, growth: I64, rows: BOOL, *, zero_is_none: bool = False) -> None:
    rows = rows & (growth != 0)
    where, growth = where[rows], growth[rows]
    inverse = (_FULL - take(old, where, _WORD).astype(np.int64) + growth) % _FULL
    checksum = _FULL - np.where(inverse == 0, _FULL, inverse)
    _write(new, where, np.where(checksum == 0, _FULL, checksum) if zero_is_none else checksum)


def _write(new: U8, where: I64, values: I64) -> None:
    new[where], new[where + 1] = values >> 8, values & 0xFF
