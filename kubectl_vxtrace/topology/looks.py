"""What kind of tap a capture looks like, by its packets alone: encapsulated or not, whose addresses, and how often they were forwarded."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from kubectl_vxtrace.topology.channels import Bools, as_bytes, is_unicast, unique_rows

INITIAL_TTLS: Final = (64, 128, 255)
"""Of common systems (Linux and BSD, Windows, network gear): a pod's own packets still have them at its interface."""

Rows = NDArray[np.int64]
"""Row numbers of a table, ascending."""

ENCAPSULATED: Final = "encapsulated"
"""What the packets at a NIC are called among a capture's layers."""

_NEARLY_ALL: Final = 0.9
_TELLING: Final = 100_000
"""As many packets at the beginning of a capture tell whether copies are among them, which lie near to one another."""

# No pod has such an address: loopback (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3), link-local (RFC 3927; RFC 4291, 2.5.6).
_NO_PODS: Final = tuple(map(ip_network, ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10")))


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


def first_sent_ns(table: PacketTable, address: str) -> int:
    """When the first packet from an address was seen, else when the first of all was."""
    own = np.array([address_text(source) == address for source in table.conversations.source], dtype=np.bool_)
    sent = np.append(own, False)[table.conversation]
    return int(table.time_ns[sent].min() if sent.any() else table.time_ns.min())


def is_mixed(table: PacketTable) -> bool:
    """Whether a capture holds most of its encapsulated packets bare as well: it was merged of captures of several interfaces."""
    there, tunnel = table.conversation[:_TELLING] >= 0, table.tunnel[:_TELLING]
    wrapped, bare = np.flatnonzero(there & (tunnel >= 0)), np.flatnonzero(there & (tunnel < 0))
    number = _identities(table, np.concatenate([wrapped, bare]))
    twice = np.isin(number[: len(wrapped)], number[len(wrapped) :])
    return 2 * int(np.count_nonzero(twice)) > len(wrapped)


def is_doubled(table: PacketTable) -> bool:
    """Whether a capture holds most of its packets more than once: it was merged of captures of several nodes."""
    rows = np.flatnonzero(table.conversation[:_TELLING] >= 0)
    return 2 * len(np.unique(_identities(table, rows))) < 1.5 * len(rows)


def _identities(table: PacketTable, rows: Rows) -> Rows:
    """A number for each row, the same for copies of one packet."""
    same = (table.conversation, table.ip_id, table.seq, table.payload_bytes, table.digest)
    return unique_rows(as_bytes(np.stack([column[rows].astype(np.uint64) for column in same], axis=1)))[1]


def layers_of(table: PacketTable) -> dict[str, Rows]:
    """The rows of a capture of all interfaces that names none, by what they must have been seen at: a NIC, a VXLAN device, each pod.

    Encapsulated ones at a NIC, those that were routed once at a VXLAN device, a pod's own with a fresh TTL and those to it that were routed
    twice at that pod's interface; whose addresses are pods' is what the first two say. What fits nowhere is left out.
    """
    there = (table.kind == Kind.IP) & (table.conversation >= 0)
    rows = np.flatnonzero(there)
    rows = rows[_unicast(table)[table.conversation[rows]]]
    wrapped = (table.tunnel[rows] >= 0) | (table.encapsulation[rows] != 0)
    once = ~wrapped & np.isin(table.ttl[rows], np.array(INITIAL_TTLS) - 1)
    fresh, twice = (~wrapped & np.isin(table.ttl[rows], np.array(INITIAL_TTLS) - count) for count in (0, 2))
    of, conversation = table.conversations, table.conversation[rows]
    addresses, number = unique_rows(np.ascontiguousarray(np.vstack([of.source, of.destination])))
    source, destination = number[: len(of)][conversation], number[len(of) :][conversation]
    pods = np.unique(np.concatenate([source[wrapped | once], destination[wrapped | once]]))
    local = np.where(fresh, source, np.where(twice, destination, -1))
    layers = {ENCAPSULATED: rows[wrapped], "routed once": rows[once]}
    ends = np.vstack([of.source, of.destination])[addresses]
    for pod in np.intersect1d(pods, local).tolist():
        layers[f"pod {address_text(ends[pod])}"] = rows[local == pod]
    return {name: chosen for name, chosen in layers.items() if len(chosen)}


def _unicast(table: PacketTable) -> Bools:
    """For each conversation whether both ends are hosts."""
    return is_unicast(table.conversations.source) & is_unicast(table.conversations.destination)


def _at_pod(table: PacketTable, rows: Rows) -> Looks | None:
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
        address = address_text(np.vstack([of.source, of.destination])[addresses[best]])
        pod = not any(ip_address(address) in none for none in _NO_PODS)
        if pod and share[best] >= _NEARLY_ALL * len(rows) and np.count_nonzero(judged) >= _NEARLY_ALL * len(judged):
            return Looks(look=Look.POD, address=address)
    return None


def _forwarded(table: PacketTable, rows: Rows) -> Looks | None:
    once = np.count_nonzero(np.isin(table.ttl[rows], np.array(INITIAL_TTLS) - 1))
    return Looks(look=Look.FORWARDED) if once >= _NEARLY_ALL * len(rows) else None
