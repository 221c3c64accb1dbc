"""What captures saw, grouped: who asked whom, at which tap and how often. Packets are handled as columns throughout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.address import IPV4_MAPPED_PREFIX
from kubectl_vxtrace.model.packets import I32, I64, U8, PacketTable, address_text
from kubectl_vxtrace.model.protocol import ECHO_TYPES, FRAGMENT_OFFSET, TCP_ACK, TCP_SYN, IpProtocol

Bools = NDArray[np.bool_]
# A column of whatever integers.
Column = NDArray[Any]

PROTOCOL_NAMES: Final = {
    IpProtocol.TCP.value: "TCP",
    IpProtocol.UDP.value: "UDP",
    IpProtocol.ICMP.value: "ICMP",
    IpProtocol.ICMPV6.value: "ICMP",
}
_SYN_ACK: Final = TCP_SYN | TCP_ACK
# Below: needs a privilege to listen on (RFC 6335, system ports). From the second on: Linux' ip_local_port_range, where clients sit.
_SYSTEM_PORTS: Final = 1024
_EPHEMERAL_PORTS: Final = 32768
_MAPPED: Final = np.frombuffer(IPV4_MAPPED_PREFIX, dtype=np.uint8)
# Multicast and broadcast begin at 224.0.0.0 (RFC 5771); IPv6 multicast at ff00:: (RFC 4291, 2.7).
_MULTICAST, _MULTICAST_6 = 224, 0xFF


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Channel:
    """A client and what it asks: `server` and `port` as they stand in the packets. `port` is None for ICMP."""

    protocol: str
    client: str
    server: str
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Channels:
    """All channels over all tables, and each table's rows by channel.

    channels: c distinct ones. row_channel: for each table its rows' channel, -1 for none (ARP, multicast, errors, later fragments).
    row_forward: whether the client sent the row. row_client: a number for each client's protocol, address and port.
    """

    channels: tuple[Channel, ...]
    row_channel: tuple[I32, ...]
    row_forward: tuple[Bools, ...]
    row_client: tuple[I32, ...]

    def counts(self, table: int, rows: Bools | None = None) -> I64:
        """Frames of each channel in a table, of the chosen `rows` only."""
        of_channel = self.row_channel[table]
        chosen = of_channel[rows] if rows is not None else of_channel
        return np.bincount(chosen[chosen >= 0], minlength=len(self.channels)).astype(np.int64)


def find_channels(tables: Sequence[PacketTable]) -> Channels:
    """Group the conversations of all tables into channels.

    Who the client is, is said by a SYN or an echo request; else the end with an ephemeral port is, where the other's is a system port (one
    socket may ask two DNS servers), else the one with fewer partners at one tap, else the one with the higher class of port (system,
    registered, ephemeral), else the one that was seen sending first.
    """
    sizes = [len(table.conversations) for table in tables]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    protocol = _joined([table.conversations.protocol for table in tables], np.uint8)
    source = _joined([table.conversations.source.reshape(-1, 16) for table in tables], np.uint8).reshape(-1, 16)
    destination = _joined([table.conversations.destination.reshape(-1, 16) for table in tables], np.uint8).reshape(-1, 16)
    source_port = _joined([table.conversations.source_port for table in tables], np.uint16)
    destination_port = _joined([table.conversations.destination_port for table in tables], np.uint16)
    evidence = [_sender_is_client(table) for table in tables]
    usable = np.isin(protocol, list(PROTOCOL_NAMES)) & ((source_port != 0) | (destination_port != 0))
    usable |= is_icmp(protocol) & (_joined(evidence, np.int64) != 0)
    usable &= is_unicast(source) & is_unicast(destination)
    ends = numbered(_packed(np.tile(protocol, 2), np.vstack([source, destination]), np.concatenate([source_port, destination_port])))
    sender, receiver = ends[: len(protocol)], ends[len(protocol) :]
    forward = _forward(sender, receiver, source_port, destination_port, evidence, _first_ns(tables), starts)
    client = np.where(forward[:, None], source, destination)
    server = np.where(forward[:, None], destination, source)
    port = np.where(forward, destination_port, source_port)
    port = np.where(is_icmp(protocol), 0, port).astype(np.uint16)
    packed = _packed(protocol, np.hstack([client, server]), port)
    first, channel = unique_rows(packed[usable])
    numbers = np.full(len(protocol), -1, dtype=np.int64)
    numbers[usable] = channel
    rows = np.flatnonzero(usable)[first]
    channels = tuple(_channel(int(protocol[row]), client[row], server[row], int(port[row])) for row in rows)
    client_end = np.where(forward, sender, receiver)
    return Channels(
        channels=channels,
        row_channel=tuple(_of_rows(table, numbers[starts[at] : starts[at + 1]], -1) for at, table in enumerate(tables)),
        row_forward=tuple(_of_rows(table, forward[starts[at] : starts[at + 1]], 0) != 0 for at, table in enumerate(tables)),
        row_client=tuple(_of_rows(table, client_end[starts[at] : starts[at + 1]], -1) for at, table in enumerate(tables)),
    )


def is_mapped(addresses: U8) -> Bools:
    """Which rows of 16-byte addresses are IPv4."""
    mapped: Bools = np.all(addresses[:, :12] == _MAPPED, axis=1)
    return mapped


def is_unicast(addresses: U8) -> Bools:
    """Which rows of 16-byte addresses are those of hosts, of either IP version; no multicast, no broadcast."""
    unicast: Bools = np.where(is_mapped(addresses), addresses[:, 12] < _MULTICAST, addresses[:, 0] != _MULTICAST_6)
    return unicast


def is_icmp(protocol: Column) -> Bools:
    """Which numbers of protocols are ICMP of either IP version."""
    found: Bools = np.isin(protocol, list(ECHO_TYPES))
    return found


def as_bytes(numbers: Column) -> U8:
    """Each row of a matrix of 64-bit integers as bytes."""
    return np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), 8 * numbers.shape[1])


def _channel(protocol: int, client: U8, server: U8, port: int) -> Channel:
    name = PROTOCOL_NAMES[protocol]
    return Channel(protocol=name, client=address_text(client), server=address_text(server), port=port if name != "ICMP" else None)


def _joined(columns: Sequence[Column], kind: type[np.generic]) -> Column:
    """The columns of all tables one after the other."""
    return np.concatenate(columns).astype(kind, copy=False) if columns else np.zeros(0, dtype=kind)


def _packed(protocol: Column, addresses: Column, port: Column) -> U8:
    """Protocol, addresses and port of each row as bytes that compare equal exactly if these do."""
    ports = np.ascontiguousarray(port, dtype=">u2").view(np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(np.hstack([protocol.astype(np.uint8).reshape(-1, 1), addresses.astype(np.uint8), ports]))


def unique_rows(packed: U8) -> tuple[I64, I64]:
    """For rows of bytes: where each distinct row first stands, and each row's number among the distinct ones."""
    if len(packed) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return first.astype(np.int64), inverse.reshape(-1).astype(np.int64)


def numbered(packed: U8) -> I64:
    """Each row's number among the distinct rows of bytes."""
    return unique_rows(packed)[1]


def _of_rows(table: PacketTable, values: Column, absent: int) -> I32:
    """The value of each row's conversation, `absent` for rows without one, whose -1 is the place behind the last one."""
    found: I32 = np.append(values, absent).astype(np.int32)[table.conversation]
    return found


def _sender_is_client(table: PacketTable) -> I64:
    """For each conversation: frames that prove its sender the client, less those that prove it the server."""
    has = (table.conversation >= 0) & (table.fragment & FRAGMENT_OFFSET == 0)
    protocol = np.zeros(len(table), dtype=np.uint8)
    protocol[has] = table.conversations.protocol[table.conversation[has]]
    tcp, syn = has & (protocol == IpProtocol.TCP), table.flags & _SYN_ACK
    opens, answers = tcp & (syn == TCP_SYN), tcp & (syn == _SYN_ACK)
    for version, (request, reply) in ECHO_TYPES.items():
        opens |= has & (protocol == version) & (table.flags >> 8 == request)
        answers |= has & (protocol == version) & (table.flags >> 8 == reply)
    size = len(table.conversations)
    return np.bincount(table.conversation[opens], minlength=size) - np.bincount(table.conversation[answers], minlength=size)


def _first_ns(tables: Sequence[PacketTable]) -> I64:
    """For each conversation of all tables the time of its first frame."""
    found: list[I64] = []
    for table in tables:
        first = np.full(len(table.conversations), np.iinfo(np.int64).max, dtype=np.int64)
        has = table.conversation >= 0
        np.minimum.at(first, table.conversation[has], table.time_ns[has])
        found.append(first)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _forward(
    sender: I64,
    receiver: I64,
    source_port: Column,
    destination_port: Column,
    evidence: Sequence[I64],
    first_ns: I64,
    starts: I64,
) -> Bools:
    """For each conversation whether its sender is the client; the same for both directions and at every tap."""
    if len(sender) == 0:
        return np.zeros(0, dtype=np.bool_)
    low, high = np.minimum(sender, receiver), np.maximum(sender, receiver)
    _, index, pair = np.unique(low * (int(high.max()) + 1) + high, return_index=True, return_inverse=True)
    sends_low = sender == low
    votes = np.zeros(len(index), dtype=np.int64)
    np.add.at(votes, pair, np.where(sends_low, 1, -1) * np.concatenate(evidence))
    table = np.searchsorted(starts, np.arange(len(sender)), side="right")
    partners = _partners(table, low, high)
    rank_of = np.zeros(len(partners), dtype=np.int64)
    rank_of[sender], rank_of[receiver] = _port_class(source_port), _port_class(destination_port)
    order = np.lexsort((first_ns, table, pair))
    earliest = order[np.searchsorted(pair[order], np.arange(len(index)))]
    began = np.where(sends_low[earliest], 1, -1)
    one, two = low[index], high[index]
    decided = votes
    rank = rank_of[one] - rank_of[two]
    far_apart = np.where(np.abs(rank) > 1, rank, 0)
    for further in (far_apart, partners[two] - partners[one], rank, began):
        decided = np.where(decided == 0, further, decided)
    low_is_client = decided > 0
    forward: Bools = low_is_client[pair] == sends_low
    return forward


def _partners(table: I64, low: I64, high: I64) -> I64:
    """For each end the most partners that it has at one tap. Over several taps a client of a Service has two: before and after DNAT."""
    size = int(high.max()) + 1
    pairs = np.unique((table * size + low) * size + high)
    tables_low, highs = np.divmod(pairs, size)
    tables, lows = np.divmod(tables_low, size)
    ends, counts = np.unique(np.concatenate([tables * size + lows, tables * size + highs]), return_counts=True)
    found = np.zeros(size, dtype=np.int64)
    np.maximum.at(found, ends % size, counts)
    return found


def _port_class(port: Column) -> I64:
    return np.searchsorted(np.array([_SYSTEM_PORTS, _EPHEMERAL_PORTS]), port, side="right").astype(np.int64)
