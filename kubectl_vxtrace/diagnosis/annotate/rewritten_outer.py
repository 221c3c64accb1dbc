"""That outer addresses were rewritten on the way between two nodes, where packets died after that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.diagnosis.causes.host.forwarding import RP_FILTER
from kubectl_vxtrace.diagnosis.causes.host.rule_verdict import CALICO_UNKNOWN_VTEP, HOST_FIREWALL
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import U8, address_text
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Evidence, EvidenceKind, Finding, LossPlace, Severity

_BY_SOURCE = frozenset(cause.slug for cause in (CALICO_UNKNOWN_VTEP, HOST_FIREWALL, RP_FILTER, UNKNOWN))
"""Causes of packets that may be refused for where they come from."""


def with_rewritten_outer(case: Case, findings: Sequence[Finding], losses: Iterable[Loss]) -> tuple[Finding, ...]:
    """`findings`, those about packets that died between the receiver's NIC and its VXLAN device with what became of their outer addresses
    on the way there.

    Where a cause may be that the receiver refuses the source, it refuses what the wire made of it: that comes before any setting of the
    nodes. Of a destination that was rewritten nothing is to be mended: without it nothing would have come (1:1 NAT of a cloud).
    """
    by_place = {loss.place: loss for loss in losses}
    return tuple(_with_rewriting(case, finding, by_place) for finding in findings)


def _with_rewriting(case: Case, finding: Finding, losses: Mapping[LossPlace, Loss]) -> Finding:
    loss = losses.get(finding.place)
    if loss is None or finding.severity is not Severity.ERROR or loss.start.role is not Role.UNDERLAY:
        return finding
    wire = next((pair for pair in pairwise(loss.path.hops[: loss.leg.from_]) if pair[1] is loss.start), None)
    if wire is None or wire[0].role is not Role.UNDERLAY or wire[0].tap.node == wire[1].tap.node:
        return finding
    changes = _changes(case, loss, *wire)
    if not changes:
        return finding
    sender, receiver = wire
    what = " and the ".join(f"outer {end} was rewritten ({was} left, {came} came)" for end, was, came in changes)
    text = f"the {what} on the way from {place_text(sender)} to {place_text(receiver)}: NAT between the nodes"
    rows = loss.traced.journeys.row[loss.rows, receiver.hop - 1]
    proof = Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, receiver.tap, rows[rows >= 0]))
    finding = replace(finding, evidence=(*finding.evidence, proof))
    source = next(((was, came) for end, was, came in changes if end == "source"), None)
    if source is None or loss.arrived or finding.cause not in _BY_SOURCE:
        return finding
    nodes = f"{sender.tap.node} and {receiver.tap.node}"
    return replace(
        finding,
        summary=f"{finding.summary}; on the way the {what}",
        remediation=(
            f"First find what rewrites the outer source {source[0]} to {source[1]} between {nodes} (SNAT or masquerading of a "
            f"router, a firewall or a cloud), and let it leave VXLAN alone. Only if that is meant: {finding.remediation}"
        ),
    )


def _changes(case: Case, loss: Loss, sender: Hop, receiver: Hop) -> list[tuple[str, str, str]]:
    """`source` or `destination`, what it was and what it became, where it did so for all packets that both NICs saw encapsulated."""
    tables = case.tables.get(sender.tap), case.tables.get(receiver.tap)
    if tables[0] is None or tables[1] is None:
        return []
    rows = loss.traced.journeys.row[loss.rows][:, [sender.hop - 1, receiver.hop - 1]]
    rows = rows[(rows >= 0).all(axis=1)]
    left, came = tables[0].tunnel[rows[:, 0]], tables[1].tunnel[rows[:, 1]]
    both = (left >= 0) & (came >= 0)
    left, came = left[both], came[both]
    ends = {
        "source": (tables[0].tunnels.source[left], tables[1].tunnels.source[came]),
        "destination": (tables[0].tunnels.destination[left], tables[1].tunnels.destination[came]),
    }
    return [(end, _texts(was), _texts(now)) for end, (was, now) in ends.items() if len(was) and bool((was != now).any(axis=1).all())]


def _texts(raw: U8) -> str:
    return ", ".join(address_text(address) for address in np.unique(raw, axis=0))
