"""The kernel's own word on packets that were lost, as far as it can be said to speak of these.

A drop that the kernel names carries no address, length or network namespace (see KernelDrop). It is taken for that of lost packets only
where nearly each of them has one right after it was last seen, on the node where it was, for a reason that the leg can have, and where
so many would hardly coincide by chance with what else this kernel drops. Nodes that share a kernel see each other's drops: the word
explains a loss, and never places it.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.drop_reasons import DropReason, drop_reason
from kubectl_vxtrace.diagnosis.evidence.answers import answers_from_elsewhere
from kubectl_vxtrace.diagnosis.evidence.lost_packets import rows_at
from kubectl_vxtrace.diagnosis.losses import Loss, SegmentKind
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.kernel_drops import fitting_drops
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Evidence, EvidenceKind

# On the wire, a node can drop only behind the sender's tap or before the receiver's: drivers, XDP, the CPU's backlog.
_WIRE = frozenset({"XDP", "CPU_BACKLOG", "FULL_RING", "NOMEM", "DEV_READY", "HDR_TRUNC"})

_NOBODY = frozenset({"NO_SOCKET"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDropMatch:
    """Drops that the kernel of `node` named, and that fit `packets` of the `lost` packets: each within `within_ns` of its last sighting."""

    node: str
    reason: str
    location: str
    packets: int
    lost: int
    within_ns: int

    @property
    def meaning(self) -> DropReason | None:
        """What the reason means; None for one that the table does not know."""
        return drop_reason(self.reason, self.location)

    @property
    def text(self) -> str:
        """The kernel's word with what it means: `OTHERHOST in ip_rcv_core: its destination MAC address is not ...`."""
        where = f" in {self.location}" if self.location else ""
        return f"{self.reason}{where}: {self.meaning.meaning if self.meaning is not None else 'a reason that is not known here'}"

    @property
    def evidence(self) -> Evidence:
        """The drops as a proof."""
        where = f" in {self.location}" if self.location else ""
        of = f"each of {self.lost} packets" if self.packets == self.lost else f"{self.packets} of {self.lost} packets"
        milliseconds = math.ceil(self.within_ns / 1_000_000)
        text = f"the kernel of {self.node} dropped one for {self.reason}{where} within {milliseconds} ms of {of} being seen last"
        if self.meaning is not None:
            text += f": {self.meaning.meaning}"
        return Evidence(kind=EvidenceKind.KERNEL, text=text)


def match_kernel_drops(
    case: Case, loss: Loss, *, hop: Hop | None = None, reasons: Collection[str] | None = None
) -> tuple[KernelDropMatch, ...]:
    """The kernels' drops that fit the loss's packets, the best fit first; usually none or one.

    Args:
        case: the trace.
        loss: the lost packets.
        hop: where they were seen last; by default where the leg begins.
        reasons: only these; by default all that the leg can have.
    """
    hop = hop or loss.start
    table = case.tables.get(hop.tap)
    rows = rows_at(loss, hop)
    if table is None or not len(rows):
        return ()
    seen = np.sort(table.time_ns[rows])
    # Where the server answers from another port, it is the client that has no socket for these answers.
    foreign = _NOBODY if answers_from_elsewhere(case, loss) is not None else frozenset()
    matches = [
        KernelDropMatch(node=node, reason=fit.reason, location=fit.location, packets=fit.packets, lost=len(seen), within_ns=fit.within_ns)
        for node, ahead_ns, unsure_ns in _clocks(case, loss, hop)
        for fit in fitting_drops(
            _drops_of(case, node, loss, reasons, foreign), seen + ahead_ns, case.recording.duration_s, unsure_ns=unsure_ns
        )
    ]
    return tuple(sorted(matches, key=lambda match: (-match.packets, match.within_ns)))


def kernel_word(case: Case, loss: Loss) -> KernelDropMatch | None:
    """The kernel's own word on why the packets of a loss were dropped: of the drops that fit them the best fit, None where none does.

    A reason that healthy nodes give as well, or that admits no loss, is no word on a few packets.
    """
    return next((match for match in match_kernel_drops(case, loss) if _tells(match)), None)


def _tells(match: KernelDropMatch) -> bool:
    if match.meaning is None:
        return True
    return match.meaning.is_loss and (match.packets >= judgement.FEW_PACKETS or not match.meaning.is_usual)


def _clocks(case: Case, loss: Loss, hop: Hop) -> Iterator[tuple[str, int, int]]:
    """Nodes whose kernels may have dropped the packets: how far each clock is ahead of that at the hop, and the doubt of it (ns)."""
    yield hop.tap.node, 0, 0
    for segment in loss.segments:
        if segment.kind is not SegmentKind.WIRE or segment.end is None:
            continue
        for bound in case.clocks:
            low, high = bound.offset_ns.low, bound.offset_ns.high
            if low is None or high is None:
                continue
            if (bound.reference, bound.node) == (hop.tap.node, segment.end.tap.node):
                yield bound.node, (low + high) // 2, (high - low) // 2
            elif (bound.node, bound.reference) == (hop.tap.node, segment.end.tap.node):
                yield bound.reference, -((low + high) // 2), (high - low) // 2


def kernel_drop_evidence(case: Case, loss: Loss, hop: Hop, reasons: Collection[str]) -> tuple[Evidence, ...]:
    """A proof where the kernel of the hop's node named drops for one of `reasons` that fit the packets seen there, the best fit."""
    return tuple(match.evidence for match in match_kernel_drops(case, loss, hop=hop, reasons=reasons)[:1])


def kernel_drop_on(case: Case, loss: Loss, node: str, reasons: Collection[str]) -> tuple[Evidence, ...]:
    """A proof where the kernel of `node` named drops for one of `reasons` that fit the loss's packets, seen last where its leg begins."""
    matches = (match for match in match_kernel_drops(case, loss, reasons=reasons) if match.node == node)
    return tuple(match.evidence for match in matches)[:1]


def _drops_of(case: Case, node: str, loss: Loss, reasons: Collection[str] | None, foreign: Collection[str]) -> Iterator[KernelDrop]:
    """The node's drops that the leg can have, without those for reasons that are known to speak of other packets."""
    kinds = {segment.kind for segment in loss.segments}
    for drop in case.recording.kernel_drops:
        if drop.node == node and drop.reason not in foreign and (drop.reason in reasons if reasons is not None else _can_be(drop, kinds)):
            yield drop


def _can_be(drop: KernelDrop, kinds: Collection[SegmentKind]) -> bool:
    """Whether packets can be dropped so on segments of these kinds. Of sockets they meet the VXLAN device's, and the one they are for."""
    if kinds == {SegmentKind.WIRE}:
        return drop.reason in _WIRE
    if SegmentKind.DELIVER in kinds or SegmentKind.DECAPSULATE in kinds:
        return True
    return not drop.is_of_socket
