"""Each law of followed packets notices what breaks it: where a case is made, which is where all of them are asserted."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_SYN
from kubectl_vxtrace.model.recording import CaptureStatus
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.places import TAPS

SYN, SYN_ACK = (TCP_SYN, 99, 0, 0), (TCP_SYN | TCP_ACK, 7, 100, 0)
LATER_NS = 1_000_000


def with_replies_later(world: World) -> Case:
    """The case of a world whose replies go to a port that asked nothing, and come to the client later than any request."""
    case = replace(world, replies=tuple(replace(fate, port=50_000) for fate in world.replies or ())).case()
    table, requests = case.tables[TAPS[0]], len(case.paths[0].journeys)
    later_ns = np.where(np.arange(len(table)) < requests, 0, LATER_NS)
    return replace(case, tables={**case.tables, TAPS[0]: replace(table, time_ns=table.time_ns + later_ns)})


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(replace(HEALTHY, requests=(lost(1, 3, 4),), replies=(Fate(),)), id="a datagram"),
        pytest.param(
            replace(HEALTHY, protocol="TCP", requests=(replace(lost(1, 3, 4), segment=SYN),), replies=(Fate(segment=SYN_ACK),)),
            id="a connection",
        ),
    ],
)
def test_what_was_answered_is_not_lost(world: World) -> None:
    requests, replies = (case := with_replies_later(world)).paths
    answers = replace(replies, journeys=replace(replies.journeys, client_port=requests.journeys.client_port))
    with pytest.raises(AssertionError, match="lost, and answered"):
        replace(case, paths=(requests, answers))


def test_a_capture_that_is_not_whole_is_no_witness() -> None:
    case = HEALTHY.case()
    captures = (replace(case.recording.captures[0], status=CaptureStatus.PARTIAL), *case.recording.captures[1:])
    with pytest.raises(AssertionError, match="its capture is not whole"):
        replace(case, recording=replace(case.recording, captures=captures))


def test_what_was_seen_behind_is_not_lost_before() -> None:
    case = replace(HEALTHY, replies=()).case()
    requests, replies = case.paths
    journeys = replace(
        requests.journeys,
        outcome=np.full(24, OutcomeCode.LOST, dtype=np.uint8),
        lost_from=np.full(24, 2, dtype=np.int32),
        lost_to=np.full(24, 3, dtype=np.int32),
    )
    with pytest.raises(AssertionError, match="before hops that saw them"):
        replace(case, paths=(replace(requests, journeys=journeys), replies))
