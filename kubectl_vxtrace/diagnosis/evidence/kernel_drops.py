"""The kernel's own word on packets that were lost, as far as it can be said to speak of these.

A drop that the kernel names carries no address, length or network namespace (see KernelDrop). It is taken for that of lost packets only
where nearly each of them has one right after it was last seen, on the node where it was, for a reason that the leg can have, and where
so many would hardly coincide by chance with what else this kernel drops. Nodes that share a kernel see each other's drops: the word
explains a loss, and never places it.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence.lost_packets import rows_at
from kubectl_vxtrace.diagnosis.losses import Place, Trouble
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Hop
from kubectl_vxtrace.model.report import Evidence, EvidenceKind, Finding, Leg, Severity

# From a tap to the drop a packet takes microseconds; a loaded node takes its time. What waits before it is dropped (for a neighbour, for
# further fragments) waits seconds, in which too much happens to tell whose drop it is.
_WITHIN_NS = 10_000_000
# Where most packets had a drop of their own; and the most that chance may do.
_SHARE = 0.9
_CHANCE = 0.002
# On the wire, a node can drop only behind the sender's tap or before the receiver's: drivers, XDP, the CPU's backlog.
_WIRE = frozenset({"XDP", "CPU_BACKLOG", "FULL_RING", "NOMEM", "DEV_READY", "HDR_TRUNC"})
# Reasons of sockets, which a forwarded packet never meets; that of a VXLAN device it does, when it is taken out of UDP.
_SOCKETS = ("TCP_", "SOCKET_", "UNIX_", "NO_SOCKET", "UDP_CSUM", "ICMP_CSUM", "PROTO_MEM")
_Where = tuple[int | None, Direction | None, Leg | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the kernel of `node` said of `packets` of the `lost` packets: each within `within_ns` of its last sighting."""

    node: str
    reason: str
    location: str
    packets: int
    lost: int
    within_ns: int

    @property
    def evidence(self) -> Evidence:
        """The word as a proof."""
        where = f" in {self.location}" if self.location else ""
        of = f"each of {self.lost} packets" if self.packets == self.lost else f"{self.packets} of {self.lost} packets"
        milliseconds = math.ceil(self.within_ns / 1_000_000)
        text = f"the kernel of {self.node} dropped one for {self.reason}{where} within {milliseconds} ms of {of} being seen last"
        return Evidence(kind=EvidenceKind.KERNEL, text=text)


def words(case: Case, trouble: Trouble, *, hop: Hop | None = None, reasons: Collection[str] | None = None) -> tuple[Word, ...]:
    """What the kernel says of the trouble's packets, the best fit first; usually nothing or one.

    Args:
        case: the trace.
        trouble: the lost packets.
        hop: where they were seen last; by default where the leg begins.
        reasons: only these; by default all that the leg can have.
    """
    hop = hop or trouble.start
    table = case.tables.get(hop.tap)
    rows = rows_at(trouble, hop)
    if table is None or not len(rows):
        return ()
    seen = np.sort(table.time_ns[rows])
    found = []
    for node, ahead_ns, unsure_ns in _clocks(case, trouble, hop):
        for drops in _groups(case, node, trouble, reasons):
            word = _fit(case, drops, seen + ahead_ns, unsure_ns)
            found += [word] if word is not None else []
    return tuple(sorted(found, key=lambda word: (-word.packets, word.within_ns)))


def _clocks(case: Case, trouble: Trouble, hop: Hop) -> Iterator[tuple[str, int, int]]:
    """Nodes whose kernels may have dropped the packets: how far each clock is ahead of that at the hop, and the doubt of it (ns)."""
    yield hop.tap.node, 0, 0
    for stretch in trouble.stretches:
        if stretch.place is not Place.WIRE or stretch.end is None:
            continue
        for bound in case.clocks:
            low, high = bound.offset_ns.low, bound.offset_ns.high
            if low is None or high is None:
                continue
            if (bound.reference, bound.node) == (hop.tap.node, stretch.end.tap.node):
                yield bound.node, (low + high) // 2, (high - low) // 2
            elif (bound.node, bound.reference) == (hop.tap.node, stretch.end.tap.node):
                yield bound.reference, -((low + high) // 2), (high - low) // 2


def with_words(case: Case, findings: Sequence[Finding], troubles: Iterable[Trouble]) -> tuple[Finding, ...]:
    """`findings`, those about a loss that the kernel speaks of with its word as a further proof."""
    if not case.recording.kernel_drops:
        return tuple(findings)
    lost: dict[_Where, Trouble] = {(trouble.flow.id, trouble.path.direction, trouble.leg): trouble for trouble in troubles}
    return tuple(_with_word(case, finding, lost) for finding in findings)


def _with_word(case: Case, finding: Finding, lost: Mapping[_Where, Trouble]) -> Finding:
    has_one = any(proof.kind is EvidenceKind.KERNEL for proof in finding.evidence)
    trouble = lost.get((finding.flow, finding.direction, finding.leg))
    if trouble is None or has_one or finding.severity is not Severity.ERROR:
        return finding
    best = next(iter(words(case, trouble)), None)
    return finding if best is None else replace(finding, evidence=(*finding.evidence, best.evidence))


def _groups(case: Case, node: str, trouble: Trouble, reasons: Collection[str] | None) -> Iterator[list[KernelDrop]]:
    """The node's drops that the leg can have, by reason and location."""
    places = {stretch.place for stretch in trouble.stretches}
    groups: dict[tuple[str, str], list[KernelDrop]] = {}
    for drop in case.recording.kernel_drops:
        if drop.node == node and (drop.reason in reasons if reasons is not None else _can_be(drop.reason, places)):
            groups.setdefault((drop.reason, drop.location), []).append(drop)
    yield from groups.values()


def _can_be(reason: str, places: Collection[Place]) -> bool:
    if places == {Place.WIRE}:
        return reason in _WIRE
    if Place.DELIVER in places or Place.DECAPSULATE in places:
        return True
    return not reason.startswith(_SOCKETS)


def _fit(case: Case, drops: Sequence[KernelDrop], seen: NDArray[np.int64], unsure_ns: int) -> Word | None:
    """The word of drops of one kind, if they fit packets seen last at these times (sorted), which are unsure themselves."""
    first = drops[0]
    slack = max(drop.uncertainty_ns for drop in drops) + unsure_ns
    times = np.sort(np.array([drop.time_ns for drop in drops], dtype=np.int64))
    lows = np.searchsorted(times, seen - slack, side="left")
    highs = np.searchsorted(times, seen + _WITHIN_NS + slack, side="right")
    inside = np.zeros(len(times) + 1, dtype=np.int64)
    np.add.at(inside, lows, 1)
    np.add.at(inside, highs, -1)
    own = int(np.count_nonzero(np.cumsum(inside)[:-1]))
    packets = min(int(np.count_nonzero(highs > lows)), own)
    if packets < math.ceil(_SHARE * len(seen)) or _by_chance(case, len(seen), packets, len(times) - own, _WITHIN_NS + 2 * slack) > _CHANCE:
        return None
    return Word(
        node=first.node, reason=first.reason, location=first.location, packets=packets, lost=len(seen), within_ns=_WITHIN_NS + slack
    )


def _by_chance(case: Case, lost: int, packets: int, others: int, window_ns: int) -> float:
    """How probable it is that `packets` of `lost` windows hold one of drops that come as often as the `others`, which lie in none."""
    elsewhere_ns = max(case.recording.duration_s * 1e9 - lost * window_ns, window_ns)
    one = 1.0 - math.exp(-(others + 0.5) / elsewhere_ns * window_ns)
    ways = math.lgamma(lost + 1) - math.lgamma(packets + 1) - math.lgamma(lost - packets + 1)
    return math.exp(min(ways + packets * math.log(one), 0.0))
