"""The report's list of packets."""

import pytest

from kubectl_vxtrace.diagnosis.report.sections import packet_lines
from kubectl_vxtrace.model.journeys import ShownJourney
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.protocol import rfc3339
from kubectl_vxtrace.model.report import SightingReport, Verdict
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.places import START_NS

POD, NIC = Tap(node="node-a", interface="veth1"), Tap(node="node-a", interface="eth0")
TABLES = {tap: table(tap, [Frame(source="10.244.1.2", destination="10.244.2.2")] * 3) for tap in (POD, NIC)}


def _journey(outcome: Verdict, *sightings: tuple[int, Tap, int]) -> ShownJourney:
    return ShownJourney(flow=4, direction=Direction.REQUEST, path=0, row=0, outcome=outcome, client_port=41234, sightings=sightings)


def test_a_line_says_at_which_frames_of_which_hops_a_packet_was_seen() -> None:
    picked = (_journey(Verdict.DELIVERED, (1, POD, 0), (3, NIC, 2)), _journey(Verdict.LOST, (1, POD, 1)))
    first, second = packet_lines(picked, TABLES, ["DNS A? shop", "DNS AAAA? shop"])
    assert (first.id, first.flow, first.client_port, first.summary, first.outcome) == (1, 4, 41234, "DNS A? shop", Verdict.DELIVERED)
    assert first.sightings == (
        SightingReport(hop=1, time=rfc3339(START_NS), frame=1),
        SightingReport(hop=3, time=rfc3339(START_NS + 400_000_000), frame=3),
    )
    assert (second.id, second.outcome, second.dissection) == (2, Verdict.LOST, None)
    assert [sighting.frame for sighting in second.sightings] == [2]


def test_every_packet_has_a_summary() -> None:
    with pytest.raises(ValueError, match="shorter"):
        packet_lines((_journey(Verdict.LOST, (1, POD, 1)),), TABLES, [])
