"""The addresses that a trace must know packets by, as small numbers, so that columns of them can be compared and packed."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.address import packed_address, unique
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.node_addresses import sending_addresses
from kubectl_vxtrace.model.packets import I32, I64, U8, U64
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.recording import Recording

UNKNOWN = 0xFFFF


class AddressBook:
    """The addresses that matter to a trace, numbered from 0 in order; anything else is UNKNOWN.

    At most 65,535 are kept (numbers must fit 16 bits to be packed); further ones are UNKNOWN.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        different = dict.fromkeys(packed for text in texts if (packed := packed_address(text)) is not None)
        self._numbers = {packed: number for number, packed in enumerate(list(different)[:UNKNOWN])}
        halves = np.frombuffer(b"".join(self._numbers), dtype=np.uint64).reshape(-1, 2)
        self._high, high = np.unique(halves[:, 0], return_inverse=True)
        self._low, low = np.unique(halves[:, 1], return_inverse=True)
        codes = high * max(len(self._low), 1) + low
        order = np.argsort(codes)
        self._codes = codes[order]
        self._ids = order.astype(np.int32)

    def number(self, text: str | None) -> int:
        """The number of an address, or UNKNOWN."""
        packed = packed_address(text) if text else None
        return UNKNOWN if packed is None else self._numbers.get(packed, UNKNOWN)

    def numbers(self, addresses: U8) -> I32:
        """The numbers of n addresses of 16 bytes, shape (n, 16)."""
        if not len(self._codes) or not len(addresses):
            return np.full(len(addresses), UNKNOWN, dtype=np.int32)
        halves = np.ascontiguousarray(addresses).view(np.uint64).reshape(-1, 2)
        high, has_high = _position(self._high, halves[:, 0])
        low, has_low = _position(self._low, halves[:, 1])
        codes = high * len(self._low) + low
        index = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        is_listed = has_high & has_low & (self._codes[index] == codes)
        return np.where(is_listed, self._ids[index], UNKNOWN).astype(np.int32)


def _position(values: U64, wanted: U64) -> tuple[I64, NDArray[np.bool_]]:
    """Where each wanted number would stand among the sorted values, and whether it does."""
    index = np.minimum(np.searchsorted(values, wanted), len(values) - 1).astype(np.int64)
    return index, values[index] == wanted


def client_addresses(recording: Recording, client: Endpoint) -> tuple[str, ...]:
    """The client's addresses: for one in the host's network also its node's VTEP, which its packets carry into the tunnel, and whatever
    else its node may send with."""
    if not client.host_network or client.node is None:
        return (client.address,)
    of_vteps = [vtep.address for vtep in recording.overlay.vteps if vtep.node == client.node and vtep.address]
    return unique((client.address, *of_vteps, *sending_addresses(client.node, recording.before)))


def address_book(recording: Recording, entries: Iterable[ConntrackEntry]) -> AddressBook:
    """All addresses that flows (also backends that may be meant), VTEPs and the conntrack entries of the clients name."""
    texts: list[str] = []
    services = {flow.service.address for flow in recording.flows if flow.service}
    for flow in recording.flows:
        texts += client_addresses(recording, flow.client)
        texts += [flow.service.address] if flow.service and flow.service.address else []
        texts += [end.address for end in (flow.server, *flow.candidates) if end is not None]
    clients = set(texts)
    for entry in entries:
        if entry.original_source in clients:
            texts.append(entry.reply_destination)
            texts += [entry.reply_source] if entry.original_destination in services else []
    return AddressBook(texts)
