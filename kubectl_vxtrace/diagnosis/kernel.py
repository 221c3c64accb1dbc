"""What the kernel itself said of drops, next to the packets that were lost."""

from collections.abc import Iterator, Sequence

import numpy as np

from kubectl_vxtrace.diagnosis.evidence import rows_at
from kubectl_vxtrace.diagnosis.trouble import Trouble
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Evidence, EvidenceKind

# A packet that is dropped is dropped right after its last tap; a loaded node takes its time (softirq, a queue of the socket).
_SOON_NS = 20_000_000


def kernel_words(case: Case, trouble: Trouble, hop: Hop, reasons: Sequence[str]) -> Iterator[Evidence]:
    """A proof where the kernel of the hop's node named a drop for one of `reasons` right after each lost packet was seen there.

    The event names no packet: only if there is one for every packet, by time, does it speak of these. Nodes that share a kernel see
    each other's drops, so that it explains a loss and never places it.
    """
    table = case.tables.get(hop.tap)
    drops = [drop for drop in case.recording.kernel_drops if drop.node == hop.tap.node and drop.reason in reasons]
    rows = rows_at(case, trouble, hop)
    if table is None or not drops or not len(rows):
        return
    times = np.sort(np.array([drop.time_ns for drop in drops], dtype=np.int64))
    slack = max(drop.uncertainty_ns for drop in drops)
    seen = table.time_ns[rows]
    first = np.searchsorted(times, seen - slack, side="left")
    last = np.searchsorted(times, seen + _SOON_NS + slack, side="right")
    matched = int((last > first).sum())
    if matched < len(rows):
        return
    one = drops[0]
    text = (
        f"the kernel of {hop.tap.node} says {one.reason} in {one.location} within {_SOON_NS // 1_000_000} ms of each of {matched} packets"
    )
    yield Evidence(kind=EvidenceKind.KERNEL, text=text)
