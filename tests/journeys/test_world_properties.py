"""Whatever worlds are made of: what is said of their packets does not contradict the truth, nor what was said in another order."""

import os
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from tests.journeys.oracle import VANISHED, contradictions, lonely_copy, owner_unknown
from tests.journeys.worlds import blinded, record, run, tables
from tests.wire.emit import emit
from tests.wire.places import SECOND, UNDERLAY, TapName, way
from tests.wire.strategies import worlds
from tests.wire.world import World

# The same worlds each time, unless somebody looks for new ones: VXTRACE_WORLDS=5000 says how many.
SEARCHED = os.environ.get("VXTRACE_WORLDS")
EXAMPLES = int(SEARCHED or "60")
ANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=SEARCHED is None)
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
@given(world=worlds(), ahead_s=st.tuples(*[st.integers(-9_000, 9_000)] * 3))
def test_clocks_that_put_hops_in_another_order_do_not_matter(world: World, ahead_s: tuple[int, ...]) -> None:
    """What is said of packets is the same whichever node's clock is ahead."""
    clocks = {node: world.clock(node) for node in UNDERLAY}
    offsets_ns = [clock.offset_ns + seconds * SECOND for clock, seconds in zip(clocks.values(), ahead_s, strict=True)]
    moved = {node: replace(clock, offset_ns=ahead) for (node, clock), ahead in zip(clocks.items(), offsets_ns, strict=True)}
    assert journeys(run(replace(world, clocks=moved)).case) == journeys(run(world).case)


@FEWER
@given(world=worlds(perfect=True), data=st.data())
def test_further_blind_hops_only_widen_the_leg_of_a_loss(world: World, data: st.DataObject) -> None:
    """Each loss stays a loss between witnesses around the same place, or becomes undetermined; none appears but of what was undetermined
    (a hop that saw super-packets may leave open what those behind it alone would tell). A backend that only it named is not known."""
    before, after = run(world), run(blinded(world, data.draw(st.lists(st.sampled_from(_taps(world)), min_size=1, max_size=3))))
    found = contradictions(after)
    note(repr(found))
    assert found == []
    if any(lonely_copy(after, fate) or owner_unknown(after, fate) for fate in after.emitted.fates):
        return  # what the network made two of was one packet to the blind hop; or it alone told whose the packet is
    unknown_backend = {flow.id for flow in after.case.flows if flow.server is None}
    known, unknown = counts(before.case), undetermined(before.case)
    for path, wider in counts(after.case).items():
        of = [one for one in known if one == path or (path[0] in unknown_backend and one[1] == path[1])]
        for (start, end), lost in wider.items():
            legs = [(leg, value) for one in of for leg, value in known[one].items()]
            inside = sum(value for (first, last), value in legs if first >= start and (last or 99) <= (end or 99))
            assert lost <= inside + sum(unknown[one] for one in of)


@FEWER
@given(world=worlds(), data=st.data())
def test_further_blind_hops_among_flawed_captures(world: World, data: st.DataObject) -> None:
    """Whichever captures are missing, up to all of them."""
    found = contradictions(run(blinded(world, data.draw(st.sets(st.sampled_from(_taps(world)), min_size=1)))))
    note(repr(found))
    assert found == []


def _taps(world: World) -> list[TapName]:
    """All taps of its flows."""
    return sorted(
        {stop.tap for flow in world.flows for reply in (False, True) for stop in way(flow.server, reply=reply, shape=world.shape)}
    )


def said(case: Case) -> list[object]:
    """Everything that is said of packets, comparable."""
    hops = [tuple((hop.packets, hop.frames, hop.control, hop.witness, hop.reason) for hop in traced.hops) for traced in case.paths]
    return [journeys(case), hops, [traced.legs for traced in case.paths], case.clocks, case.flows]


def journeys(case: Case) -> list[object]:
    """What became of each packet, comparable."""
    return [
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
        for one in (traced.journeys for traced in case.paths)
    ]


def undetermined(case: Case) -> dict[tuple[int, str], int]:
    """Packets per path of which nothing is said."""
    return {
        (table.path.flow, table.path.direction.value): int(table.weight_packets[table.outcome == OutcomeCode.UNDETERMINED].sum())
        for table in (traced.journeys for traced in case.paths)
    }


def counts(case: Case) -> dict[tuple[int, str], dict[tuple[int, int], int]]:
    """Per path what was lost on which leg."""
    found = {}
    for table in (traced.journeys for traced in case.paths):
        lost = np.flatnonzero(np.isin(table.outcome, VANISHED))
        legs: dict[tuple[int, int], int] = {}
        for row in lost.tolist():
            leg = int(table.lost_from[row]), int(table.lost_to[row])
            legs[leg] = legs.get(leg, 0) + int(table.weight_packets[row])
        found[table.path.flow, table.path.direction.value] = legs
    return found
