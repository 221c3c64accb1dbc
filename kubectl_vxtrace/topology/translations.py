"""What addresses were translated to: the same packets, found at another tap with another server, or with another client."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, U16, U64, PacketTable
from kubectl_vxtrace.topology.channels import Channel, Channels

_MOST_ALIKE = 64
"""What is the same in packets of more channels (a port scan) tells nothing, and comparing each with each would never end."""
_FEW_WITHOUT_IP_ID = 3
"""So many different payloads, and more than half of all, make two channels without IP IDs one: heartbeats of two clients are all alike."""
_SERVER, _BOTH_ENDS = frozenset({"server"}), frozenset({"client", "server"})
"""Which ends a translation alters."""
_HALF = np.uint64(32)
_ODD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, as in Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4)."""


def find_translations(
    tables: Sequence[PacketTable], channels: Channels, before: Sequence[int], after: Sequence[int]
) -> dict[Channel, tuple[Channel, ...]]:
    """Channels that a translation of the server's address turned into others.

    The client's end, the IP ID, the payload's length and digest and the TCP sequence number survive it.

    Args:
        before: numbers of the tables that saw packets as the client sent them: the pods' own.
        after: numbers of all tables that may have seen them translated.

    Returns:
        For each translated channel what it became, the most frequent first.
    """
    was, became = (_distinct(_keyed(tables, channels, chosen, _SERVER), len(channels.channels)) for chosen in (before, after))
    pairs, counts = _pairs(tables, channels, was, became, _SERVER)
    found: dict[Channel, list[Channel]] = {}
    for at in np.argsort(-counts, kind="stable"):
        one, other = divmod(int(pairs[at]), len(channels.channels))
        found.setdefault(channels.channels[one], []).append(channels.channels[other])
    return {channel: tuple(others) for channel, others in found.items()}


def find_masqueraded(
    tables: Sequence[PacketTable], channels: Channels, before: Sequence[int], after: Sequence[int]
) -> dict[Channel, Channel]:
    """Channels whose packets are mostly those of another, sent on with another client's address, so that their client is none; or with
    another client port and another server's address.

    The same survives that as survives another server's address, but for the client's end. Two clients may send the same payload without an
    IP ID, so that such packets count where there are some of them, all different.

    Args:
        before: numbers of the tables that saw packets as the client sent them: the pods' own.
        after: numbers of all tables that may have seen them masqueraded.

    Returns:
        For each such channel the one that it was.
    """
    sent, seen = (_distinct(_keyed(tables, channels, chosen, _BOTH_ENDS), len(channels.channels)) for chosen in (before, after))
    pairs, counts = _pairs(tables, channels, sent, seen, _BOTH_ENDS)
    total = np.bincount(seen.channel, minlength=len(channels.channels))
    numbered = np.bincount(seen.channel[_have_ip_id(tables, seen)], minlength=len(channels.channels))
    enough = np.where(numbered == total, 1, _FEW_WITHOUT_IP_ID)
    found: dict[Channel, Channel] = {}
    for at in np.argsort(counts, kind="stable"):  # what shares most is the last to be written
        one, other = divmod(int(pairs[at]), len(channels.channels))
        was, became = channels.channels[one], channels.channels[other]
        same_packets = 2 * counts[at] > total[other] and counts[at] >= enough[other]
        if was.protocol == became.protocol and same_packets:
            found[became] = was
    return found


def _have_ip_id(tables: Sequence[PacketTable], keyed: "_Keyed") -> NDArray[np.bool_]:
    found = np.zeros(len(keyed.row), dtype=np.bool_)
    for at in np.unique(keyed.table).tolist():
        of_table = keyed.table == at
        found[of_table] = tables[at].ip_id[keyed.row[of_table]] != 0
    return found


def _pairs(
    tables: Sequence[PacketTable], channels: Channels, was: "_Keyed", became: "_Keyed", altered: frozenset[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two channels that show the same packets, as one number (the one before times the number of channels, plus the other), and how many
    they share."""
    begin = np.searchsorted(became.key, was.key, side="left")
    many = np.searchsorted(became.key, was.key, side="right") - begin
    many[many > _MOST_ALIKE] = 0
    within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    left, right = np.repeat(np.arange(len(many)), many), np.repeat(begin, many) + within
    differs = was.channel[left] != became.channel[right]
    left, right = left[differs], right[differs]
    same = _same(tables, channels, (was.table[left], was.row[left]), (became.table[right], became.row[right]), altered)
    codes = was.channel[left[same]].astype(np.int64) * max(len(channels.channels), 1) + became.channel[right[same]]
    pairs, counts = np.unique(codes, return_counts=True)
    return pairs, counts.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Keyed:
    """Rows of several tables: a hash of what survives translation, the channel, and where the row is. Hashes may clash."""

    key: U64
    channel: I32
    table: U16
    row: I32


def _survivors(
    tables: Sequence[PacketTable], channels: Channels, at: int, rows: NDArray[Any], altered: frozenset[str]
) -> tuple[NDArray[Any], ...]:
    """What is the same in one packet at every tap, where its server's end, or both ends, may be translated."""
    table = tables[at]
    parts = (channels.row_forward[at], table.ip_id, table.payload_bytes, table.seq, table.digest)
    ends = (channels.row_client[at],) if "client" not in altered else ()
    return tuple(part[rows] for part in (*ends, *parts))


def fingerprints(tables: Sequence[PacketTable], channels: Channels, at: int, rows: I32, altered: frozenset[str] = _SERVER) -> U64:
    """For rows of a table a hash of what is the same in one packet at every tap, also behind a translation. Hashes may clash."""
    key = np.zeros(len(rows), dtype=np.uint64)
    for part in _survivors(tables, channels, at, rows, altered):
        key ^= part.astype(np.uint64)
        key *= _ODD
        key ^= key >> _HALF
    return key


def _keyed(tables: Sequence[PacketTable], channels: Channels, chosen: Sequence[int], altered: frozenset[str]) -> _Keyed:
    """The chosen tables' rows that belong to a channel; where no end stays as it is, only those that have an IP ID or a payload."""
    parts = [_Keyed(key=np.zeros(0, np.uint64), channel=np.zeros(0, np.int32), table=np.zeros(0, np.uint16), row=np.zeros(0, np.int32))]
    for at in chosen:
        telling = (tables[at].ip_id != 0) | (tables[at].digest != 0) | (altered != _BOTH_ENDS)
        rows = np.flatnonzero((channels.row_channel[at] >= 0) & telling).astype(np.int32)
        key = fingerprints(tables, channels, at, rows, altered)
        channel = channels.row_channel[at][rows]
        parts.append(_Keyed(key=key, channel=channel, table=np.full(len(rows), at, dtype=np.uint16), row=rows))
    return _Keyed(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _Keyed.__slots__})


def _distinct(keyed: _Keyed, channels: int) -> _Keyed:
    """One row for each key and channel, in order of the keys, whose lowest bits are given up for the channel's number."""
    low = np.uint64((1 << channels.bit_length()) - 1)
    codes = (keyed.key & ~low) | keyed.channel.astype(np.uint64)
    order = np.argsort(codes)
    codes = codes[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = codes[1:] != codes[:-1]
    kept = order[new]
    return _Keyed(key=codes[new] & ~low, channel=keyed.channel[kept], table=keyed.table[kept], row=keyed.row[kept])


Place = tuple[NDArray[Any], NDArray[Any]]
"""Numbers of tables, and rows in them."""


def _same(tables: Sequence[PacketTable], channels: Channels, left: Place, right: Place, altered: frozenset[str]) -> NDArray[np.bool_]:
    """Whether what survives translation is the same in two rows: exactly, for packets can be made whose hashes clash."""
    sides = []
    for numbers, rows in (left, right):
        columns = [np.zeros(len(rows), dtype=np.uint64) for _ in range(5 if "client" in altered else 6)]
        for at in np.unique(numbers).tolist():
            mine = np.flatnonzero(numbers == at)
            for column, part in zip(columns, _survivors(tables, channels, at, rows[mine], altered), strict=True):
                column[mine] = part.astype(np.uint64)
        sides.append(columns)
    same = np.ones(len(left[1]), dtype=np.bool_)
    for one, other in zip(*sides, strict=True):
        same &= one == other
    return same
