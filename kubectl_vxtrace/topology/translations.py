"""Which address a Service's was translated to: the same packets, found at another tap with another server."""

from collections.abc import Sequence

import numpy as np

from kubectl_vxtrace.model.packets import I64, U8, PacketTable
from kubectl_vxtrace.topology.channels import Channel, Channels, as_bytes, numbered, unique_rows


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
    before_keys, was_channel = _keyed(tables, channels, before)
    after_keys, became_channel = _keyed(tables, channels, after)
    keys = numbered(np.concatenate([before_keys, after_keys]))
    left, right = keys[: len(was_channel)], keys[len(was_channel) :]
    order = np.argsort(right, kind="stable")
    begin = np.searchsorted(right[order], left, side="left")
    many = np.searchsorted(right[order], left, side="right") - begin
    within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    was = np.repeat(was_channel, many)
    became = became_channel[order[np.repeat(begin, many) + within]]
    differs = was != became
    pairs, counts = np.unique(np.stack([was[differs], became[differs]], axis=1), axis=0, return_counts=True)
    found: dict[Channel, list[Channel]] = {}
    for at in np.argsort(-counts, kind="stable"):
        found.setdefault(channels.channels[pairs[at, 0]], []).append(channels.channels[pairs[at, 1]])
    return {channel: tuple(others) for channel, others in found.items()}


def _keyed(tables: Sequence[PacketTable], channels: Channels, chosen: Sequence[int]) -> tuple[U8, I64]:
    """Of the chosen tables' rows: what survives translation, as bytes, and the channel; each distinct pair once."""
    columns: list[I64] = [np.zeros((0, 7), dtype=np.int64)]
    for at in chosen:
        table, rows = tables[at], channels.row_channel[at] >= 0
        parts = (
            channels.row_client[at],
            channels.row_forward[at],
            table.ip_id,
            table.payload_bytes,
            table.seq,
            table.digest.view(np.int64),
            channels.row_channel[at],
        )
        columns.append(np.stack([part[rows].astype(np.int64) for part in parts], axis=1))
    joined = np.concatenate(columns)
    distinct = joined[unique_rows(as_bytes(joined))[0]]
    return as_bytes(distinct[:, :-1]), distinct[:, -1]
