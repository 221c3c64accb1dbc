"""Clocks that are off, drift and step: no loss is made up, none is missed, and latencies are true or not claimed."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import LegTally
from tests.journeys.oracle import contradictions
from tests.journeys.worlds import Run, run
from tests.wire.options import B_NODE, texts
from tests.wire.places import CLIENT_NODE, EPOCH, FIRST, SECOND, way
from tests.wire.traffic import MS, answers, datagrams
from tests.wire.world import Capture, Clock, Flow, World

LONG_S, SHORT_S = 600, 10
HOUR_NS = 3_600 * SECOND
CROSSING_NS = 120_000
"""What a packet takes from node to node; elsewhere it is a few microseconds."""


def _asked(seconds: int, clocks: dict[str, Clock], *, retries: bool = False, crossing_ns: int = CROSSING_NS) -> World:
    """Questions all the time, of which some vanish on the wire and some behind the VXLAN device; answers, of which some vanish.

    `retries`: every tenth question is asked again half a second later in the very same packet, as resolvers do.
    """
    gap_ns = SECOND // 4 if seconds < LONG_S else 2 * SECOND
    count = seconds * SECOND // gap_ns
    fates = [{3: 3, 7: 5}.get(index % 11) for index in range(count)]
    payloads, idents = texts(count), [number % 65536 for number in range(1, count + 1)]
    for index in range(2, count, 10) if retries else ():
        payloads[index], idents[index] = payloads[index - 2], idents[index - 2]
    requests = datagrams(payloads, gap_ns=gap_ns, fates=fates, ids=iter(idents))
    replies = answers(requests, payload=lambda index: b"answer %05d" % index, fates=(None, None, 4, None, None))
    stops = {stop.tap for reply in (False, True) for stop in way(FIRST, reply=reply)}
    return World(
        flows=(Flow(),),
        packets=(*requests, *replies),
        clocks=clocks,
        captures={tap: Capture(end_ns=EPOCH + seconds * SECOND + 2 * SECOND) for tap in stops},
        delays_ns=(4_000, 3_000, crossing_ns, 5_000, 6_000, 4_000, 3_000),
    )


def _legs(found: Run) -> list[tuple[Sequence[str], LegTally]]:
    """Each leg with the nodes of its ends."""
    return [
        ([traced.path.hops[leg.from_ - 1].tap.node, traced.path.hops[(leg.to or leg.from_) - 1].tap.node], leg)
        for traced in found.case.paths
        for leg in traced.legs
    ]


@pytest.mark.parametrize(
    "clocks",
    [
        {B_NODE: Clock(drift_ppm=50)},
        {B_NODE: Clock(offset_ns=-HOUR_NS, drift_ppm=-50)},
        {CLIENT_NODE: Clock(offset_ns=5 * HOUR_NS, drift_ppm=30), B_NODE: Clock(drift_ppm=-20)},
    ],
    ids=["fast", "slow and an hour behind", "both"],
)
@pytest.mark.parametrize("retries", [False, True])
def test_drift_over_ten_minutes(clocks: dict[str, Clock], retries: bool) -> None:
    """30 ms in all; three of four packets take 6 ms across, the others 2 ms, which is what bounds the clocks."""
    world = _asked(LONG_S, clocks, retries=retries, crossing_ns=2 * MS)
    packets = tuple(replace(packet, jitter_ns=(0, 0, 4 * MS)) if index % 4 else packet for index, packet in enumerate(world.packets))
    found = run(replace(world, packets=packets))
    assert contradictions(found) == []
    (bound,) = [one for one in found.case.clocks if one.node == B_NODE]
    assert not bound.stepped
    for nodes, leg in _legs(found):
        assert leg.latency_ns is not None
        if len(set(nodes)) == 1:
            assert leg.latency_ns.uncertainty == 0
        else:
            assert 2 * MS <= leg.latency_ns.uncertainty < 6 * MS
            for said, true in ((leg.latency_ns.min, 2 * MS), (leg.latency_ns.median, 6 * MS), (leg.latency_ns.max, 6 * MS)):
                assert abs(said - true) <= leg.latency_ns.uncertainty


@pytest.mark.parametrize("node", [B_NODE, CLIENT_NODE])
@pytest.mark.parametrize("step_ns", [2 * SECOND, -2 * SECOND])
@pytest.mark.parametrize("retries", [False, True])
def test_a_step_in_the_middle(node: str, step_ns: int, retries: bool) -> None:
    clocks = {node: Clock(offset_ns=7_000_000, step_at_ns=EPOCH + SHORT_S * SECOND // 2 + 60_000, step_ns=step_ns)}
    found = run(_asked(SHORT_S, clocks, retries=retries))
    assert contradictions(found) == []
    (bound,) = [one for one in found.case.clocks if one.node == B_NODE]
    assert (bound.stepped, bound.offset_ns.low, bound.offset_ns.high) == (True, None, None)
    assert [leg.latency_ns for nodes, leg in _legs(found) if set(nodes) == {CLIENT_NODE, B_NODE}] == [None] * 2
    # both sides of the step are in the window: a packet of each half second but the last
    counted = sorted(
        time
        for table in (traced.journeys for traced in found.case.paths)
        if table.path.direction is Direction.REQUEST
        for time in table.time_ns.tolist()
    )
    assert len(counted) >= (SHORT_S - 2) * 4
    assert max(abs(later - earlier) for earlier, later in pairwise(counted)) <= SECOND + abs(step_ns)


@pytest.mark.parametrize("offset_ns", [5 * HOUR_NS, -5 * HOUR_NS])
def test_hours_of_offset(offset_ns: int) -> None:
    found = run(_asked(SHORT_S, {B_NODE: Clock(offset_ns=offset_ns)}, retries=True))
    assert contradictions(found) == []
    (bound,) = [one for one in found.case.clocks if one.node == B_NODE]
    assert bound.offset_ns.low is not None
    assert bound.offset_ns.high is not None
    assert bound.offset_ns.low <= offset_ns <= bound.offset_ns.high <= bound.offset_ns.low + 1_000_000
    for path in (traced.path for traced in found.case.paths):
        nodes = [hop.tap.node for hop in path.hops]
        assert nodes == sorted(nodes, reverse=path.direction is Direction.REPLY)


def test_a_latency_finer_than_the_clocks_is_not_claimed() -> None:
    """Requests take 10 us across and replies a millisecond: for all that can be known each took half of both."""
    world = _asked(SHORT_S, {}, crossing_ns=10_000)
    packets = tuple(replace(packet, jitter_ns=(0, 0, 990_000)) if packet.reply else packet for packet in world.packets)
    found = run(replace(world, packets=packets))
    assert contradictions(found) == []
    across = [leg for nodes, leg in _legs(found) if len(set(nodes)) > 1]
    assert len(across) == 2
    for leg in across:
        assert leg.latency_ns is None or leg.latency_ns.median >= leg.latency_ns.uncertainty > 400_000
