"""Conversations compared: which of a table's conversations answer which."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64, Conversations, PacketTable


def answering(table: PacketTable, rows: I32) -> I64:
    """Numbers of the conversations of `table` that are the reverse of those in which `rows` are, present in any frame or not."""
    asked = np.unique(table.conversation[rows])
    reverse = conversation_keys(table.conversations, reverse=True)[asked[asked >= 0]]
    return np.flatnonzero(np.isin(conversation_keys(table.conversations), reverse)).astype(np.int64)


def answered(table: PacketTable, rows: I32) -> NDArray[np.bool_]:
    """For each of `rows` whether the table holds any frame of the reverse of its conversation."""
    conversation = table.conversation[rows]
    seen = np.unique(table.conversation[table.conversation >= 0])
    reverse = conversation_keys(table.conversations, reverse=True)[np.maximum(conversation, 0)]
    return np.asarray((conversation >= 0) & np.isin(reverse, conversation_keys(table.conversations)[seen]))


def conversation_keys(conversations: Conversations, *, reverse: bool = False) -> NDArray[np.void]:
    """One comparable value for each conversation, or for its reverse."""
    ends = [conversations.source, conversations.destination]
    ports = [conversations.source_port, conversations.destination_port]
    if reverse:
        ends.reverse()
        ports.reverse()
    columns = [conversations.protocol[:, None], *ends]
    columns += [port.astype(">u2").view(np.uint8).reshape(-1, 2) for port in ports]
    raw = np.ascontiguousarray(np.concatenate(columns, axis=1))
    return raw.view(np.dtype((np.void, raw.shape[1]))).reshape(-1)
