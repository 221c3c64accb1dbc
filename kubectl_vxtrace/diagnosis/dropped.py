"""Which packets are `dropped`, and which only `lost`."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.arbitrate import is_admitted, is_kernels_word
from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind, losses_of
from kubectl_vxtrace.diagnosis.rules.onward import with_onward
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.report import Confidence, Finding, LegTally


def dropped_packets(case: Case, findings: Sequence[Finding]) -> tuple[NDArray[np.bool_], ...]:
    """For each path of `case` a mask over its packets: True for those that are `dropped`.

    A packet is dropped if it vanished between two witnesses, or behind the last tap of an end in its node's network, and the error finding
    about that flow, direction and leg is admitted (see `is_admitted`). An ICMP error that answered it changes nothing: a counter comes
    first. Where nothing names the next hop, only the kernel's own word does, and what an error answered stays rejected. What came to the
    server and was not answered did not vanish: what the kernel dropped there may have been the answer. Not so where a counter before the
    socket of a server in its node's network accounts for the requests.
    """
    admitted = {finding.place: finding for finding in findings if is_admitted(finding)}
    masks = tuple(np.zeros(len(traced.journeys), dtype=np.bool_) for traced in case.paths)
    for loss in with_onward(case, losses_of(case)):
        if loss.place in admitted and (loss.kind is LossKind.VANISHED or _died_before_socket(loss, admitted[loss.place])):
            masks[case.paths.index(loss.traced)][_admitted_rows(loss, admitted[loss.place])] = True
    return masks


def _admitted_rows(loss: Loss, finding: Finding) -> I32:
    """Which packets of a loss an admission makes `dropped`."""
    if loss.leg.to is not None or loss.died_in_node or loss.kind is LossKind.SILENT:
        return loss.rows
    unanswered = loss.traced.journeys.outcome[loss.rows] != OutcomeCode.REJECTED
    return np.asarray(loss.rows[unanswered & is_kernels_word(finding)], dtype=np.int32)


def _died_before_socket(loss: Loss, finding: Finding) -> bool:
    """Whether requests that nobody answered were counted where the node takes packets for itself: its rules there see no answer.

    Where the node sends them on, their answers pass the same rules: only one that is certain to have taken the requests counts.
    """
    if loss.onward is not None and finding.confidence is not Confidence.CERTAIN:
        return False
    return loss.kind is LossKind.SILENT and loss.path.ends_in_node(loss.flow) and CAUSES[finding.cause].admitted


def with_dropped(case: Case, findings: Sequence[Finding]) -> Case:
    """`case` with the outcome DROPPED on every packet that a finding accounts for. Applying it twice changes nothing."""
    masks = dropped_packets(case, findings)
    paths = zip(case.paths, masks, strict=True)
    return replace(case, paths=tuple(_marked(traced, mask) for traced, mask in paths))


def _marked(traced: TracedPath, mask: NDArray[np.bool_]) -> TracedPath:
    if not mask.any():
        return traced
    journeys, last = traced.journeys, np.int32(len(traced.path.hops))
    into_node = mask & (journeys.outcome == OutcomeCode.DELIVERED)
    outcome = np.where(mask, np.uint8(OutcomeCode.DROPPED), journeys.outcome)
    lost_from = np.where(into_node, last, journeys.lost_from)
    for column in (outcome, lost_from):
        column.flags.writeable = False
    legs = traced.legs
    if into_node.any():
        sent = int(journeys.weight_packets[journeys.row[:, -1] >= 0].sum())
        lost = int(journeys.weight_packets[into_node].sum())
        legs = (*legs, LegTally(from_=int(last), to=None, sent=sent, arrived=sent - lost, lost=lost))
    return replace(traced, journeys=replace(journeys, outcome=outcome, lost_from=lost_from), legs=legs)
