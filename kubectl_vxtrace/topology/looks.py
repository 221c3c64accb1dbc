"""What kind of tap a capture looks like, by its packets alone: encapsulated or not, whose addresses, and how often they were forwarded."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from kubectl_vxtrace.topology.channels import is_mapped, unique_rows

INITIAL_TTLS: Final = (64, 128, 255)
"""Of common systems (Linux and BSD, Windows, network gear): a pod's own packets still have them at its interface."""

_NEARLY_ALL: Final = 0.9
_MULTICAST: Final = 224
# No pod has such an address: loopback (RFC 1122, 3.2.1.3), link-local (RFC 3927).
_NO_PODS: Final = ((127,), (169, 254))


class Look(StrEnum):
    """What the packets of a tap have in common.

    ENCAPSULATED: a NIC. POD: one address talks, as it does at its own interface. FORWARDED: packets were routed once, as at a VXLAN device,
    or at a NIC that sees them bare. EMPTY: no IP packet. OTHER: anything else.
    """

    ENCAPSULATED = "encapsulated"
    POD = "pod"
    FORWARDED = "forwarded"
    EMPTY = "empty"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a capture looks like; `encapsulated`: it has such packets, if not mostly, or of another kind than VXLAN; `address`: the one that
    talks, of POD."""

    look: Look
    encapsulated: bool = False
    address: str | None = None


def looks_of(table: PacketTable) -> Looks:
    """What the capture whose packets are in `table` looks like."""
    rows = np.flatnonzero((table.kind == Kind.IP) & (table.conversation >= 0))
    tunnelled = int(np.count_nonzero(table.tunnel[rows] >= 0))
    if not len(rows):
        return Looks(look=Look.EMPTY)
    if 2 * tunnelled > len(rows):
        return Looks(look=Look.ENCAPSULATED, encapsulated=True)
    found = Looks(look=Look.OTHER)
    rows = rows[_unicast(table)[table.conversation[rows]]]
    if len(rows):
        found = _at_pod(table, rows) or _forwarded(table, rows) or found
    others = bool((table.encapsulation[rows] != 0).any())
    return Looks(look=found.look, encapsulated=tunnelled > 0 or others, address=found.address)


def _unicast(table: PacketTable) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each conversation whether both ends are IPv4 hosts'."""
    of = table.conversations
    mapped: np.ndarray[tuple[int], np.dtype[np.bool_]] = is_mapped(of.source) & is_mapped(of.destination)
    return mapped & (of.source[:, 12] < _MULTICAST) & (of.destination[:, 12] < _MULTICAST)


def _at_pod(table: PacketTable, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Looks | None:
    """One address in nearly every packet, that sent its own with a fresh TTL; one that sent nothing gets packets that were routed twice."""
    of, conversation = table.conversations, table.conversation[rows]
    addresses, number = unique_rows(np.ascontiguousarray(np.vstack([of.source, of.destination])))
    source, destination = number[: len(of)][conversation], number[len(of) :][conversation]
    share = np.bincount(np.concatenate([source, destination]), minlength=len(addresses))
    ttl = table.ttl[rows]
    fresh, twice = np.isin(ttl, INITIAL_TTLS), np.isin(ttl, np.array(INITIAL_TTLS) - 2)
    for best in np.argsort(-share, kind="stable")[:2].tolist():
        own = source == best
        judged = fresh[own] if own.any() else twice[destination == best]
        raw = np.vstack([of.source, of.destination])[addresses[best]]
        pod = not any(bytes(raw[12 : 12 + len(none)]) == bytes(none) for none in _NO_PODS)
        if pod and share[best] >= _NEARLY_ALL * len(rows) and np.count_nonzero(judged) >= _NEARLY_ALL * len(judged):
            return Looks(look=Look.POD, address=address_text(raw))
    return None


def _forwarded(table: PacketTable, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Looks | None:
    once = np.count_nonzero(np.isin(table.ttl[rows], np.array(INITIAL_TTLS) - 1))
    return Looks(look=Look.FORWARDED) if once >= _NEARLY_ALL * len(rows) else None
