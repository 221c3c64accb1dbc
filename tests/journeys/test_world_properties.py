"""Whatever worlds are made of: what is said of their packets does not contradict the truth, nor what was said in another order."""

import os
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import Case
from tests.journeys.oracle import VANISHED, contradictions
from tests.journeys.worlds import blinded, record, run, tables
from tests.wire.emit import emit
from tests.wire.places import SECOND, way
from tests.wire.strategies import worlds
from tests.wire.world import Clock, World

EXAMPLES = int(os.environ.get("VXTRACE_WORLDS", "60"))
ANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
FEWER = settings(ANY, max_examples=max(EXAMPLES // 3, 10))


@ANY
@given(world=worlds(perfect=True))
def test_perfect_captures(world: World) -> None:
    """Arrived packets are not lost, lost ones are, on their leg; every packet is counted once."""
    found = contradictions(run(world))
    note(repr(found))
    assert found == []


@ANY
@given(world=worlds())
def test_any_captures(world: World) -> None:
    """The same where captures are blind, late, cut or lossy and clocks differ: what cannot be known is undetermined."""
    found = contradictions(run(world))
    note(repr(found))
    assert found == []


@FEWER
@given(world=worlds(), data=st.data())
def test_the_order_of_files_and_taps_does_not_matter(world: World, data: st.DataObject) -> None:
    emitted = emit(world)
    recording, read = record(emitted), tables(emitted)
    order = data.draw(st.permutations(recording.captures))
    shuffled = {one.task.tap: read[one.task.tap] for one in order if one.task.tap in read}
    assert said(follow(replace(recording, captures=tuple(order)), shuffled)) == said(follow(recording, read))


@FEWER
@given(world=worlds(), rows=st.sampled_from([1, 3, 64]))
def test_how_much_is_read_at_once_does_not_matter(world: World, rows: int) -> None:
    emitted = emit(world)
    recording, read = record(emitted), tables(emitted)
    with patch("kubectl_vxtrace.packets.headers.ROWS", rows), patch("kubectl_vxtrace.packets.source.BUFFER_BYTES", 4096):
        assert said(follow(recording, tables(emitted))) == said(follow(recording, read))


@FEWER
@given(world=worlds(perfect=True), hours=st.integers(-3, 3))
def test_clocks_that_put_hops_in_another_order_do_not_matter(world: World, hours: int) -> None:
    """Counts per leg are the same whichever node's clock is ahead."""
    moved = replace(world, clocks={"ada-ec-2": Clock(offset_ns=hours * 3600 * SECOND), "ada-ec-3": Clock(offset_ns=-hours * SECOND)})
    assert counts(run(moved).case) == counts(run(world).case)


@FEWER
@given(world=worlds(perfect=True), data=st.data())
def test_a_further_blind_hop_only_widens_the_leg_of_a_loss(world: World, data: st.DataObject) -> None:
    """Each loss stays a loss between witnesses around the same place, or becomes undetermined; no other appears."""
    stops = way(world.flows[0].server, shape=world.shape)
    blind = data.draw(st.sampled_from([stop.tap for stop in stops]))
    before, after = run(world), run(blinded(world, [blind]))
    found = contradictions(after)
    note(repr(found))
    assert found == []
    for path, legs in counts(before.case).items():
        wider = counts(after.case).get(path, {})
        for (start, end), lost in wider.items():
            inside = sum(value for (first, last), value in legs.items() if first >= start and (last or 99) <= (end or 99))
            assert lost <= inside


def said(case: Case) -> list[object]:
    """Everything that is said of packets, comparable."""
    journeys = [
        sorted(
            zip(
                map(tuple, one.row.tolist()),
                one.outcome.tolist(),
                one.lost_from.tolist(),
                one.lost_to.tolist(),
                one.weight_packets.tolist(),
                strict=True,
            )
        )
        for one in case.journeys
    ]
    hops = [tuple((hop.packets, hop.frames, hop.control, hop.witness, hop.reason) for hop in hops) for hops in case.hops]
    return [journeys, hops, case.legs, case.clocks, case.flows]


def counts(case: Case) -> dict[tuple[int, str], dict[tuple[int, int], int]]:
    """Per path what was lost on which leg."""
    found = {}
    for table in case.journeys:
        lost = np.flatnonzero(np.isin(table.outcome, VANISHED))
        legs: dict[tuple[int, int], int] = {}
        for row in lost.tolist():
            leg = int(table.lost_from[row]), int(table.lost_to[row])
            legs[leg] = legs.get(leg, 0) + int(table.weight_packets[row])
        found[table.path.flow, table.path.direction.value] = legs
    return found
