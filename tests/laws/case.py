"""The laws that packets can be held to as soon as they are followed."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_SYN
from kubectl_vxtrace.model.recording import CaptureStatus

GONE = (OutcomeCode.LOST, OutcomeCode.DROPPED)


def breaches(case: Case) -> list[str]:
    """Every law that the case breaks, in words."""
    return [*_answered_means_arrived(case), *_blind_taps_do_not_testify(case), *_lost_is_not_seen_behind(case)]


def _answered_means_arrived(case: Case) -> Iterator[str]:
    """No request is lost whose own answer was seen: of a port that asked once, something that came back later at the same tap; of ICMP the
    same identifier and sequence; of TCP what acknowledges the SYN."""
    for requests in case.paths:
        replies = case.traced(requests.flow.id, Direction.REPLY)
        if requests.path.direction is Direction.REPLY or replies is None:
            continue
        lost = np.flatnonzero(np.isin(requests.journeys.outcome, GONE))
        answered = [row for row in lost.tolist() if _has_answer(case, requests, replies, row)]
        if answered:
            ports = requests.journeys.client_port[answered].tolist()
            yield f"flow {requests.flow.id}: {len(answered)} requests of ports {ports} are lost, and answered"


def _has_answer(case: Case, requests: TracedPath, replies: TracedPath, row: int) -> bool:
    """Whether an answer to this request, and to no other, was seen at the first tap that saw the request."""
    hops = np.flatnonzero(requests.journeys.row[row] >= 0)
    tap = requests.path.hops[hops[0]].tap
    table, index = case.tables.get(tap), next((index for index, hop in enumerate(replies.path.hops) if hop.tap == tap), None)
    if table is None or index is None:
        return False
    port = requests.journeys.client_port[row]
    frame, asked, answers = requests.journeys.row[row, hops[0]], _frames_of(requests, port, hops[0]), _frames_of(replies, port, index)
    answers = answers[table.time_ns[answers] > table.time_ns[frame]]
    match requests.flow.protocol:
        case "ICMP":
            asked, answers = asked[table.seq[asked] == table.seq[frame]], answers[table.seq[answers] == table.seq[frame]]
        case "TCP":
            flags = TCP_SYN | TCP_ACK
            asked = asked[table.flags[asked] & flags == TCP_SYN]
            answers = answers[(table.flags[answers] & flags == flags) & (table.ack[answers] == (int(table.seq[frame]) + 1) % 2**32)]
            if frame not in asked:
                return False
    return len(asked) == 1 and bool(len(answers)) and bool(requests.journeys.weight_packets[row] == 1)


def _frames_of(traced: TracedPath, port: int, hop: int) -> NDArray[np.int32]:
    """What a hop, counted from 0, saw of a client port."""
    frames = traced.journeys.row[traced.journeys.client_port == port, hop]
    return np.asarray(frames[frames >= 0])


def _blind_taps_do_not_testify(case: Case) -> Iterator[str]:
    """No hop is a witness whose capture failed or lost packets."""
    captures = {capture.task.tap: capture for capture in case.recording.captures}
    for traced in case.paths:
        for hop, count in zip(traced.path.hops, traced.hops, strict=False):
            capture = captures.get(hop.tap)
            if capture is None or not (count.expected and count.witness):
                continue
            if capture.status in (CaptureStatus.FAILED, CaptureStatus.PARTIAL) or capture.dropped_by_kernel:
                yield f"flow {traced.flow.id}, {traced.path.direction}: hop {hop.hop} testifies, and its capture is not whole"


def _lost_is_not_seen_behind(case: Case) -> Iterator[str]:
    """A packet that is lost on a leg was seen nowhere behind it."""
    for traced in case.paths:
        journeys = traced.journeys
        behind = _behind(journeys.lost_to, len(traced.path.hops)) & (journeys.row >= 0)
        wrong = behind.any(axis=1) & np.isin(journeys.outcome, GONE)
        if wrong.any():
            yield f"flow {traced.flow.id}, {traced.path.direction}: {int(wrong.sum())} packets are lost before hops that saw them"


def _behind(lost_to: NDArray[np.int32], hops: int) -> NDArray[np.bool_]:
    """Shape (n, hops): the hops from the one on where each packet is missing; none where nothing names that."""
    return np.asarray((lost_to[:, None] > 0) & (np.arange(1, hops + 1)[None, :] >= lost_to[:, None]))
