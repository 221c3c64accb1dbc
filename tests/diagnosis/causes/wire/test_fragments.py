"""outer-fragments-dropped."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.wire import fragments as reassembly
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.report import Confidence, Finding, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import Frame
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC_A, NIC_B, A, B

FIRST_ID, SMALL = 900, Fate(count=20)
# The first fragment of an outer packet that carries 1352 bytes in UDP: 1400 bytes of IP, the rest comes in the second.
TRAIN = replace(lost(4, 3, 4), wire_bytes=1414, segment=(0, 0, 0, 1352), outer_id=FIRST_ID)
BROKEN = replace(HEALTHY, requests=(SMALL, TRAIN))


def pieces(count: int, *, first: bool = False, outer_id: int = FIRST_ID) -> tuple[Frame, ...]:
    """Fragments of the lost packets as the receiver's NIC sees them: first ones, or later ones, which have no UDP header."""
    if first:
        head = next(frame for frame in BROKEN.seen()[3] if frame.outer_id)
        return tuple(replace(head, outer_id=outer_id + number) for number in range(count))
    tail = Frame(source=NIC_A, destination=NIC_B, fragment=0x00AC, wire_bytes=62, payload_bytes=28)
    return tuple(replace(tail, ip_id=outer_id + number) for number in range(count))


def found(case: World) -> list[Finding]:
    """What this check says, before other explanations are weighed against it."""
    return asked(case.case(), reassembly)


@pytest.mark.parametrize("first", [True, False], ids=["first ones arrive", "none arrives"])
def test_fragments_leave_and_do_not_arrive(first: bool) -> None:
    case = replace(BROKEN, extra={4: pieces(4, first=True)} if first else {})
    (finding,) = diagnose(replace(case, after=(facts(A, counters={"Ip.FragCreates": 8}), facts(B)), before=_before(A)).case())
    assert (finding.cause, finding.confidence, finding.packets) == ("outer-fragments-dropped", Confidence.CERTAIN, 4)
    assert finding.leg == Leg(from_=3, to=4)
    seen = f"at ada-ec-2/ens4 the first fragment of {4 if first else 0} and a later one of 0 of them was seen"
    assert any(seen in proof.text for proof in finding.evidence)
    assert any("Ip.FragCreates of ada-ec-1 by 8" in proof.text for proof in finding.evidence)


def _before(node: str) -> tuple[NodeFacts, ...]:
    zero = {"Ip.FragCreates": 0, "Ip.ReasmFails": 0}
    return tuple(facts(name, counters=zero if name == node else None) for name in (A, B))


@pytest.mark.parametrize(
    ("case", "confidence", "doubt"),
    [
        pytest.param(replace(BROKEN, requests=(SMALL, replace(TRAIN, count=2))), Confidence.LIKELY, "only 2 of them", id="few"),
        pytest.param(replace(BROKEN, requests=(SMALL, TRAIN, lost(1, 3, 4))), Confidence.POSSIBLE, "1 whole packets", id="others die"),
        pytest.param(
            replace(BROKEN, requests=(SMALL, TRAIN, replace(TRAIN, count=5, reach=6, leg=None, outer_id=950))),
            Confidence.POSSIBLE,
            "5 fragmented packets arrived whole",
            id="others arrive whole",
        ),
        pytest.param(
            replace(BROKEN, requests=(TRAIN,), replies=()), Confidence.LIKELY, "a block of the VXLAN port", id="nothing at all arrives"
        ),
        pytest.param(replace(BROKEN, extra={4: pieces(4)}), Confidence.LIKELY, "an MTU on the way", id="only the short ones arrive"),
    ],
)
def test_what_fits_as_well_lessens_the_confidence(case: World, confidence: Confidence, doubt: str) -> None:
    (finding,) = found(case)
    assert finding.confidence is confidence
    assert any(doubt in open_ for open_ in finding.not_ruled_out)


def test_pieces_of_other_packets_are_not_theirs() -> None:
    (finding,) = found(replace(BROKEN, extra={4: pieces(4, outer_id=7)}))
    assert any("a later one of 0 of them" in proof.text for proof in finding.evidence)


def test_the_reply_direction_has_its_own_finding() -> None:
    (finding,) = found(replace(HEALTHY, replies=(SMALL, TRAIN)))
    assert (finding.direction, finding.packets) == ("reply", 4)


def _inside(failed: int) -> World:
    case = replace(HEALTHY, requests=(SMALL, replace(TRAIN, reach=4, leg=(4, 5))), before=_before(B))
    return replace(case, after=(facts(A), facts(B, counters={"Ip.ReasmFails": failed})))


def test_the_receiver_does_not_put_them_together() -> None:
    (finding,) = found(_inside(4))
    assert (finding.cause, finding.confidence, finding.leg) == ("outer-fragments-dropped", Confidence.LIKELY, Leg(from_=4, to=5))
    (finding,) = found(_inside(3))
    assert finding.confidence is Confidence.POSSIBLE
    assert not found(_inside(0))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(HEALTHY, id="healthy"),
        pytest.param(replace(BROKEN, requests=(SMALL, replace(TRAIN, reach=6, leg=None))), id="all arrive whole"),
        pytest.param(replace(HEALTHY, requests=(SMALL, replace(lost(4, 3, 4), wire_bytes=1460))), id="large ones that left in one piece"),
        pytest.param(replace(BROKEN, requests=(SMALL, replace(TRAIN, reach=5, leg=(5, 6)))), id="lost behind the tunnel"),
        pytest.param(
            replace(_inside(4), requests=(SMALL, replace(TRAIN, reach=4, leg=(4, 5)), lost(1, 4, 5))), id="a whole one is lost too"
        ),
    ],
)
def test_look_alikes(case: World) -> None:
    assert not found(case)


def test_an_inner_packet_in_fragments_is_no_outer_one() -> None:
    inner = replace(lost(4, 3, 4), wire_bytes=1460, segment=(0, 0, 0, 2000), fragment=0x2000 | 100)
    assert not found(replace(HEALTHY, requests=(SMALL, inner)))
