"""Replies that came to the last tap before a node's own socket and that its packet filter took: they died in the node.

TCP says of itself what it got, and that is judged with the journeys. Of a datagram nothing tells it but the rule that took it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.diagnosis.evidence.lost_packets import minimum_counter_growth
from kubectl_vxtrace.diagnosis.losses import Loss, delivered_into_node
from kubectl_vxtrace.diagnosis.rules.droppers import Dropper, all_droppers, droppers_on, fit_on
from kubectl_vxtrace.diagnosis.rules.fit import Fit, unread
from kubectl_vxtrace.diagnosis.rules.traits import traits
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.report import LegTally


def with_deaths_in_nodes(case: Case) -> Case:
    """`case`, in which replies that a rule of the client's own node took behind the last tap are lost there.

    The rule must name an address or port of theirs, ask for nothing that the captures do not show, and have counted at least as many
    packets as all such replies together.
    """
    arrived = [loss for traced in case.paths if (loss := delivered_into_node(case, traced)) is not None]
    nodes = {loss.start.tap.node: all_droppers(case, loss.start.tap.node) for loss in arrived}
    taken = {id(loss.traced): loss for loss in arrived if _is_taken(case, loss, arrived, nodes[loss.start.tap.node])}
    if not taken:
        return case
    return replace(case, paths=tuple(_lost(traced, taken[id(traced)]) if id(traced) in taken else traced for traced in case.paths))


def _is_taken(case: Case, loss: Loss, arrived: Sequence[Loss], droppers: Sequence[Dropper]) -> bool:
    segment = loss.segments[0]
    for dropper in droppers_on(segment, droppers):
        if not dropper.growth.exact or dropper.growth.packets is None or unread(dropper.rule.text):
            continue
        if fit_on(segment, dropper.rule, traits(case, loss, segment)) is not Fit.NAMES:
            continue
        there = [other for other in arrived if other.start.tap.node == loss.start.tap.node]
        claims = [other for other in there if fit_on(segment, dropper.rule, traits(case, other, other.segments[0])) is not Fit.EXCLUDES]
        if dropper.growth.packets >= sum(minimum_counter_growth(other) for other in claims):
            return True
    return False


def _lost(traced: TracedPath, loss: Loss) -> TracedPath:
    """The path with the loss's packets lost behind its last hop."""
    journeys = traced.journeys
    outcome, lost_from = journeys.outcome.copy(), journeys.lost_from.copy()
    outcome[loss.rows], lost_from[loss.rows] = OutcomeCode.LOST, loss.leg.from_
    for column in (outcome, lost_from):
        column.flags.writeable = False
    sent = int(np.sum(journeys.weight_packets[journeys.row[:, -1] >= 0]))
    leg = LegTally(from_=loss.leg.from_, to=None, sent=sent, arrived=sent - loss.packets, lost=loss.packets, undetermined=0)
    return replace(traced, journeys=replace(journeys, outcome=outcome, lost_from=lost_from), legs=(*traced.legs, leg))
