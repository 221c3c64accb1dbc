"""Requests beside refused ones that met the same and got no answer: refusals are seen of a few, for a kernel sends only so many."""

import numpy as np

from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, icmp_answers
from kubectl_vxtrace.diagnosis.losses import Kind, Trouble
from kubectl_vxtrace.diagnosis.reverse_flow import answered
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction

# RFC 1812, 4.3.2.8; Linux Documentation/networking/ip-sysctl.rst: one a second to each host after a few, by default.
_SETTINGS = {4: "net.ipv4.icmp_ratelimit", 6: "net.ipv6.icmp.ratelimit"}


def unanswered_beside(case: Case, trouble: Trouble) -> int:
    """How many requests, besides the refused ones of `trouble`, came as far as these and no further, and got no answer of any kind.

    At the server that is what it received; behind a hop where nothing names the next one, what was seen there last. Elsewhere the captures
    tell what became of a packet, and there are none.
    """
    journey, table = trouble.traced.journeys, case.tables.get(trouble.start.tap)
    if trouble.path.direction is not Direction.REQUEST or not trouble.answered or trouble.leg.to is not None or table is None:
        return 0
    wanted = OutcomeCode.DELIVERED if trouble.kind is Kind.REFUSED else OutcomeCode.UNDETERMINED
    last = journey.row.shape[1] - np.argmax(journey.row[:, ::-1] >= 0, axis=1)
    mine = np.flatnonzero((journey.outcome == wanted) & (last == trouble.leg.from_))
    silent = mine[~answered(table, journey.row[mine, trouble.leg.from_ - 1])]
    return int(journey.weight_packets[silent].sum())


def beside_text(case: Case, trouble: Trouble) -> str | None:
    """Those in words; None if there are none."""
    count = unanswered_beside(case, trouble)
    if not count:
        return None
    text = f"{count} more {direction_noun(Direction.REQUEST, count)} got no answer at all"
    if not icmp_answers(case, trouble):
        return text
    setting = _SETTINGS[6 if ":" in trouble.flow.client.address else 4]
    return f"{text}: a kernel sends ICMP errors at a limited rate ({setting})"
