"""Which packets passed from one tap to another."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.evidence.segment_packets import (
    packets_of_loss,
    passed_meanwhile,
    passing_destinations,
    segment_packets,
)
from kubectl_vxtrace.diagnosis.losses import Segment, SegmentKind, losses_of
from kubectl_vxtrace.model.path import Hop, Role
from tests.diagnosis.build import HEALTHY, Fate, lost
from tests.diagnosis.places import NIC_B, SERVER, TAPS

WIRE = Segment(kind=SegmentKind.WIRE, start=Hop(hop=3, role=Role.UNDERLAY, tap=TAPS[2]), end=Hop(hop=4, role=Role.UNDERLAY, tap=TAPS[3]))
MIXED = replace(HEALTHY, requests=(lost(3, 3, 4), lost(2, 2, 3), lost(4, 4, 5), Fate(count=5)), replies=(Fate(count=7),))


def test_packets_that_were_lost_before_are_not_counted_and_those_lost_behind_have_passed() -> None:
    packets = segment_packets(MIXED.case(), WIRE)
    assert (len(packets), int(packets.lost.sum())) == (12, 3)
    assert (packets.outer_port == 50000).all()
    assert (packets.protocol == 17).all()


def test_the_way_back_is_another_stretch() -> None:
    back = replace(WIRE, start=WIRE.end or WIRE.start, end=WIRE.start)
    packets = segment_packets(MIXED.case(), back)
    assert (len(packets), int(packets.lost.sum())) == (7, 0)


def test_the_packets_of_one_trouble_are_those_of_its_path() -> None:
    case = MIXED.case()
    found = {loss.leg.from_: packets_of_loss(case, loss) for loss in losses_of(case)}
    assert {leg: (len(packets), int(packets.lost.sum())) for leg, packets in found.items()} == {2: (14, 2), 3: (12, 3), 4: (9, 4)}


def test_a_blind_tap_that_saw_a_packet_which_a_later_one_did_not() -> None:
    """Hop 4 is no witness and yet saw three packets: the leg begins at hop 3, the packets vanished behind hop 4."""
    fate = Fate(count=3, reach=4, leg=(3, 5), outcome=lost(1, 3, 5).outcome)
    case = replace(HEALTHY, requests=(fate, Fate(count=5)), replies=(), blind={4: "cut short"}).case()
    behind = Segment(
        kind=SegmentKind.DECAPSULATE, start=Hop(hop=4, role=Role.UNDERLAY, tap=TAPS[3]), end=Hop(hop=5, role=Role.VXLAN, tap=TAPS[4])
    )
    assert int(segment_packets(case, WIRE).lost.sum()) == 0
    assert int(segment_packets(case, behind).lost.sum()) == 3


def test_destinations_of_what_passes() -> None:
    assert passing_destinations(MIXED.case(), WIRE) == {NIC_B}
    assert passing_destinations(replace(HEALTHY, requests=(lost(3, 3, 4),)).case(), WIRE) == frozenset()


def test_nothing_crosses_where_no_capture_is() -> None:
    case = replace(MIXED.case(), tables={})
    assert len(segment_packets(case, WIRE)) == 0
    assert passing_destinations(case, WIRE) == frozenset()


@pytest.mark.parametrize(
    ("fates", "meanwhile"),
    [
        pytest.param((lost(3, 5, 6), Fate(count=4), lost(3, 5, 6)), True, id="between the lost ones"),
        pytest.param((Fate(count=4), lost(6, 5, 6)), False, id="before: the table may have changed"),
        pytest.param((lost(6, 5, 6), Fate(count=4)), False, id="after: the table may have been mended"),
        pytest.param((lost(3, 5, 6), lost(4, 3, 4), lost(3, 5, 6)), False, id="others were lost before that"),
    ],
)
def test_the_same_entries_were_used_meanwhile(fates: tuple[Fate, ...], meanwhile: bool) -> None:
    case = replace(HEALTHY, requests=fates, replies=()).case()
    loss = next(loss for loss in losses_of(case) if loss.leg.from_ == 5)
    assert passed_meanwhile(case, loss) is meanwhile


def test_a_table_that_worked_meanwhile_is_no_evidence() -> None:
    """The route of the receiver leads elsewhere, and yet packets to the same pod passed between those that were lost."""
    astray = tuple(
        replace(look, lookups=tuple(replace(lookup, device="lo") if lookup.destination == SERVER else lookup for lookup in look.lookups))
        for look in HEALTHY.after
    )
    for fates, cause in (((lost(3, 5, 6), Fate(count=4), lost(3, 5, 6)), "unknown"), ((lost(10, 5, 6),), "pod-route-missing")):
        case = replace(HEALTHY, requests=fates, replies=(), before=astray, after=astray).case()
        assert diagnose(case)[0].cause == cause
