"""Which of two taps is nearer to the client: where its requests pass first and its answers last.

The time between a request and its answer is taken on one clock, and is longer the nearer to the client it is measured. Where nothing is
answered, packets that one tap saw and the other did not have passed the former first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64, U64, PacketTable
from kubectl_vxtrace.model.protocol import TCP_FIN, TCP_SYN, IpProtocol
from kubectl_vxtrace.topology.channels import Bools, Channels, is_icmp
from kubectl_vxtrace.topology.translations import fingerprints

_LEAST_SAMPLES: Final = 3
_LEAST_SHARE: Final = 0.8
"""So many exchanges, or lost packets, and so many of them of one mind, make an order; fewer may be a reordering, or the edges of files."""

Signs = NDArray[np.int8]
"""For each channel 1, -1, or 0 where it does not count."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exchanges:
    """Requests and answers at one tap, ordered by key, which is the same at every tap: the channel, and the time between the two."""

    key: U64
    channel: I32
    gap_ns: I64


def exchanges_of(table: PacketTable, channels: Channels, at: int) -> Exchanges:
    """The exchanges in table number `at` of those that `channels` were found in."""
    rows = np.flatnonzero(channels.row_channel[at] >= 0)
    forward = channels.row_forward[at][rows]
    tag, asks = _tags(table, rows, forward)
    key = channels.row_client[at][rows].astype(np.uint64) << np.uint64(32) | tag
    asked, first = np.unique(key[forward & asks], return_index=True)
    request = rows[forward & asks][first]
    answered, first = np.unique(key[~forward], return_index=True)
    answer = rows[~forward][first]
    both, one, other = np.intersect1d(asked, answered, assume_unique=True, return_indices=True)
    gap_ns = table.time_ns[answer[other]] - table.time_ns[request[one]]
    kept = gap_ns >= 0
    return Exchanges(key=both[kept], channel=channels.row_channel[at][request[one]][kept], gap_ns=gap_ns[kept])


def nearer(one: Exchanges, other: Exchanges, signs: Signs) -> int:
    """1 if the first tap is nearer to the clients of channels with sign 1 than the other, and farther from those of sign -1; -1 if the
    other is; 0 if nothing tells."""
    _, left, right = np.intersect1d(one.key, other.key, assume_unique=True, return_indices=True)
    return _decided(np.sign(one.gap_ns[left] - other.gap_ns[right]) * signs[one.channel[left]])


def lost_behind(tables: Sequence[PacketTable], channels: Channels, one: int, other: int, senders: Sequence[Bools]) -> int:
    """1 if packets of the chosen senders are missing at table `other` that table `one` saw, and none the other way; -1, 0 likewise.

    Args:
        senders: for both tables which rows they sent.
    """
    seen = [_distinct(tables, channels, at, chosen) for at, chosen in zip((one, other), senders, strict=True)]
    only = [len(np.setdiff1d(mine, others, assume_unique=True)) for mine, others in (seen, seen[::-1])]
    return _decided(np.repeat([1, -1], only))


def same_packets(tables: Sequence[PacketTable], channels: Channels, one: int, other: int) -> bool:
    """Whether two tables hold exactly the same packets, and any."""
    seen = [_distinct(tables, channels, at, np.ones(len(tables[at]), np.bool_)) for at in (one, other)]
    return len(seen[0]) > 0 and np.array_equal(seen[0], seen[1])


def _distinct(tables: Sequence[PacketTable], channels: Channels, at: int, chosen: Bools) -> U64:
    rows = np.flatnonzero(chosen & (channels.row_channel[at] >= 0)).astype(np.int32)
    return np.unique(fingerprints(tables, channels, at, rows))


def _tags(table: PacketTable, rows: NDArray[np.int64], forward: Bools) -> tuple[U64, Bools]:
    """What an answer has in common with its request, of one client's end; and which rows can be requests.

    TCP: the acknowledgement number (RFC 9293, 3.4), of what is more than an acknowledgement itself. ICMP echo: the sequence number. Other
    protocols: nothing, so that the first request and the first answer make one exchange.
    """
    protocol = table.conversations.protocol[table.conversation[rows]]
    tcp, icmp = protocol == IpProtocol.TCP, is_icmp(protocol)
    payload = table.payload_bytes[rows].astype(np.int64)
    opens = np.where(table.flags[rows] & (TCP_SYN | TCP_FIN), 1, 0)
    expected = table.seq[rows].astype(np.int64) + payload + opens
    acknowledged = np.where(forward, expected, table.ack[rows].astype(np.int64))
    tag = np.where(tcp, acknowledged, np.where(icmp, table.seq[rows], 0)) & 0xFFFFFFFF
    return tag.astype(np.uint64), ~tcp | (payload + opens > 0)


def _decided(signs: NDArray[np.signedinteger]) -> int:
    votes = signs[signs != 0]
    total = int(votes.sum())
    enough = len(votes) >= _LEAST_SAMPLES and abs(total) >= (2 * _LEAST_SHARE - 1) * len(votes)
    return int(np.sign(total)) if enough else 0
