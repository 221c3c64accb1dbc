"""Whether captures with pseudonyms say the same as those that they were made of."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.address import IPV4_MAPPED_PREFIX
from kubectl_vxtrace.model.packets import PacketTable

_RESOLVED = (
    "tap",
    "digest",
    "parts",
    "conversation",
    "tunnel",
    "ethernet",
    "conversations",
    "tunnels",
    "ethernets",
    "icmp_quotes",
    "neighbours",
)
_COLUMNS = tuple(name for name in PacketTable.__slots__ if name not in _RESOLVED)
_MACS = ("source", "destination", "mac", "inner_source_mac", "inner_destination_mac")


class Pseudonyms(Protocol):
    """What addresses become; see anonymize.Pseudonyms."""

    def ipv4(self, address: int) -> int:
        """Of 32 bits."""

    def ipv6(self, address: int) -> int:
        """Of 128 bits."""

    def mac(self, address: int) -> int:
        """Of 48 bits."""


def difference(before: Sequence[PacketTable], after: Sequence[PacketTable], pseudonyms: Pseudonyms) -> str | None:
    """What would be read otherwise, apart from the addresses' pseudonyms; None where it is all the same."""
    for one, two in zip(before, after, strict=True):
        for name in _COLUMNS:
            if not equal(getattr(one, name), getattr(two, name)):
                return f"{name} would be read otherwise"
        for name, old, new in _addressed(one, two):
            if not _same(old, new, pseudonyms):
                return f"{name} would be read otherwise"
    return _digests(before, after)


def _digests(before: Sequence[PacketTable], after: Sequence[PacketTable]) -> str | None:
    none = np.zeros(0, np.uint64)
    old = np.concatenate([none, *(table.digest for table in before)])
    new = np.concatenate([none, *(table.digest for table in after)])
    pairs = len(np.unique(np.stack([old, new], axis=1), axis=0))
    if not np.array_equal(old == 0, new == 0) or pairs != len(np.unique(old)) or pairs != len(np.unique(new)):
        return "payloads could not be told apart as before"
    return None


def _addressed(one: PacketTable, two: PacketTable) -> list[tuple[str, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """Columns with addresses in them, by name, each row resolved."""
    tables = []
    for name, small, column in (
        ("conversation", "conversations", "conversation"),
        ("tunnel", "tunnels", "tunnel"),
        ("ethernet", "ethernets", "ethernet"),
    ):
        tables.append((name, _resolved(one, small, getattr(one, column)), _resolved(two, small, getattr(two, column))))
    tables.append(("icmp_quotes", _fields(one.icmp_quotes, _NUMBERS), _fields(two.icmp_quotes, _NUMBERS)))
    for name in ("conversation", "inner_conversation"):
        quoted = [_resolved(each, "conversations", getattr(each.icmp_quotes, name)) for each in (one, two)]
        tables.append(("icmp_quotes", quoted[0], quoted[1]))
    tables.append(("neighbours", _fields(one.neighbours), _fields(two.neighbours)))
    return tables


_NUMBERS = ("row", "ip_id", "inner_ip_id")


def _fields(small: Any, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    return {name: getattr(small, name) for name in (names or small.__slots__)}


def _resolved(table: PacketTable, small: str, number: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The rows of a small table that a column names; a row of the column without one is missing."""
    there = np.flatnonzero(number >= 0)
    return {"row of the table": there, **{name: column[number[there]] for name, column in _fields(getattr(table, small)).items()}}


def _same(old: dict[str, NDArray[Any]], new: dict[str, NDArray[Any]], pseudonyms: Pseudonyms) -> bool:
    for name, column in old.items():
        if column.ndim == 2:
            column = _changed(column.view("V16").reshape(-1), lambda raw: _address(pseudonyms, raw), 16).reshape(-1, 16)
        elif column.dtype == np.uint64 and name in _MACS:
            bytes_ = column.astype(">u8").view("V8")
            column = (
                _changed(bytes_, lambda raw: pseudonyms.mac(int.from_bytes(raw)).to_bytes(8), 8).view(">u8").astype(np.uint64).reshape(-1)
            )
        if not np.array_equal(column, new[name]):
            return False
    return True


def _changed(column: NDArray[Any], change: Callable[[bytes], bytes], width: int) -> NDArray[np.uint8]:
    values, number = np.unique(column, return_inverse=True)
    made = np.frombuffer(b"".join(change(value.tobytes()) for value in values), np.uint8).reshape(-1, width)
    return np.ascontiguousarray(made[number.reshape(-1)])


def _address(pseudonyms: Pseudonyms, packed: bytes) -> bytes:
    """What becomes of a PacketTable's address of 16 bytes."""
    if packed.startswith(IPV4_MAPPED_PREFIX):
        return IPV4_MAPPED_PREFIX + pseudonyms.ipv4(int.from_bytes(packed[len(IPV4_MAPPED_PREFIX) :])).to_bytes(4)
    return pseudonyms.ipv6(int.from_bytes(packed)).to_bytes(16)


def equal(one: Any, two: Any) -> bool:
    """Whether two columns, small tables or plain values are the same."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, two)
    if hasattr(one, "__slots__") and any(isinstance(getattr(one, name), np.ndarray) for name in one.__slots__):
        return all(equal(getattr(one, name), getattr(two, name)) for name in one.__slots__)
    return bool(one == two)
