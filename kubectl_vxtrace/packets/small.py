"""The small tables of a PacketTable, from the keys that were numbered."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import NO_NOTICES, U8, U64, Conversations, Ethernets, Neighbours, Notices, Tunnels
from kubectl_vxtrace.packets.intern import Key
from kubectl_vxtrace.packets.links import ethernet_addresses
from kubectl_vxtrace.packets.neighbours import Messages

Array = TypeVar("Array", bound=NDArray[Any])


def conversations(key: Key) -> Conversations:
    """From the columns of Columns.conversation."""
    ports = key[4]
    return Conversations(
        protocol=fixed((ports & np.uint64(0xFF)).astype(np.uint8)),
        source=_address(key[0], key[1]),
        destination=_address(key[2], key[3]),
        source_port=fixed(((ports >> np.uint64(24)) & np.uint64(0xFFFF)).astype(np.uint16)),
        destination_port=fixed(((ports >> np.uint64(8)) & np.uint64(0xFFFF)).astype(np.uint16)),
    )


def tunnels(key: Key) -> Tunnels:
    """From the columns of Columns.tunnel."""
    encapsulation = key[4]
    return Tunnels(
        source=_address(key[0], key[1]),
        destination=_address(key[2], key[3]),
        source_port=fixed((encapsulation >> np.uint64(40)).astype(np.uint16)),
        port=fixed(((encapsulation >> np.uint64(24)) & np.uint64(0xFFFF)).astype(np.uint16)),
        vni=fixed((encapsulation & np.uint64(0xFFFFFF)).astype(np.uint32)),
        inner_source_mac=fixed(key[5].copy()),
        inner_destination_mac=fixed(key[6].copy()),
    )


def ethernets(key: Key) -> Ethernets:
    """From the columns of Columns.ethernet."""
    source, destination = ethernet_addresses(key)
    return Ethernets(source=fixed(source), destination=fixed(destination))


def neighbours(parts: Sequence[Messages]) -> Neighbours:
    """All messages of a file; `row` of each part is the row in the table."""
    none = np.empty(0, np.uint64)
    return Neighbours(
        row=fixed(np.concatenate([none, *(part.row for part in parts)]).astype(np.int32)),
        address=_address(
            np.concatenate([none, *(part.address_high for part in parts)]), np.concatenate([none, *(part.address for part in parts)])
        ),
        answer=fixed(np.concatenate([none, *(part.answer for part in parts)]).astype(np.bool_)),
        mac=fixed(np.concatenate([none, *(part.mac for part in parts)])),
    )


def notices(parts: Sequence[Notices]) -> Notices:
    """All notices of a file; `row` of each part is the row in the table."""
    names = Notices.__slots__
    return Notices(**{name: fixed(np.concatenate([getattr(part, name) for part in (NO_NOTICES, *parts)])) for name in names})


def _address(high: U64, low: U64) -> U8:
    halves = np.stack([high, low], axis=1).astype(">u8")
    return fixed(halves.view(np.uint8).reshape(-1, 16))


def fixed(array: Array) -> Array:
    """The same array, read-only from now on."""
    array.flags.writeable = False
    return array
