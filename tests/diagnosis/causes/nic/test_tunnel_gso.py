"""tunnel-gso-bug."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.nic import tunnel_gso as glued
from kubectl_vxtrace.model.report import Confidence, Finding, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost, sent_to
from tests.diagnosis.places import NIC_B

# A frame of 132 bytes holds 40 bytes of UDP; one that holds another such packet, 82 bytes behind another VXLAN header, has 90 more.
ALONE, TWO = 132, 132 + 8 + 82
WHOLE = Fate(count=4)
GLUED = Fate(count=4, wire_bytes=TWO)
SWALLOWED = replace(lost(4, 2, 3), wire_bytes=82)
BUG = replace(HEALTHY, requests=(WHOLE, GLUED, SWALLOWED))


def found(world: World) -> list[Finding]:
    """What this check says, before other explanations are weighed against it."""
    return asked(world.case(), glued)


def test_frames_that_hold_a_second_packet_explain_those_that_vanish() -> None:
    (finding,) = diagnose(BUG.case())
    assert (finding.cause, finding.confidence, finding.leg, finding.packets) == (
        "tunnel-gso-bug",
        Confidence.CERTAIN,
        Leg(from_=2, to=3),
        4,
    )
    assert any(len(proof.frames) == 4 and "4 frames at ada-ec-1/ens4 are longer" in proof.text for proof in finding.evidence)


@pytest.mark.parametrize(
    ("world", "doubt"),
    [
        pytest.param(replace(BUG, requests=(WHOLE, GLUED, replace(SWALLOWED, count=9))), "no room for all", id="more are lost than fit"),
        pytest.param(
            replace(BUG, requests=(WHOLE, replace(GLUED, count=2), replace(SWALLOWED, count=2))), "an accident: only 2", id="two frames"
        ),
    ],
)
def test_what_does_not_add_up_is_only_possible(world: World, doubt: str) -> None:
    (finding,) = found(world)
    assert finding.confidence is Confidence.POSSIBLE
    assert any(doubt in open_ for open_ in finding.not_ruled_out)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(HEALTHY, id="healthy"),
        pytest.param(replace(HEALTHY, requests=(WHOLE, GLUED)), id="nothing is lost"),
        pytest.param(replace(BUG, requests=(WHOLE, SWALLOWED)), id="no frame is too long"),
        pytest.param(replace(BUG, requests=(WHOLE, replace(GLUED, wire_bytes=ALONE + 18), SWALLOWED)), id="padded frames"),
        pytest.param(
            replace(BUG, requests=(WHOLE, replace(GLUED, wire_bytes=20_000, segment=(0, 0, 0, 19_908)), SWALLOWED)),
            id="a super-packet of one inner packet",
        ),
        pytest.param(
            replace(BUG, protocol="TCP", requests=(WHOLE, replace(GLUED, wire_bytes=ALONE + 52), SWALLOWED)), id="a TCP header with options"
        ),
        pytest.param(replace(BUG, requests=(WHOLE, replace(GLUED, wire_bytes=70_000), SWALLOWED)), id="larger than IPv4 can say"),
        pytest.param(replace(BUG, requests=(WHOLE, GLUED, replace(SWALLOWED, reach=3, leg=(3, 4)))), id="lost between the nodes"),
    ],
)
def test_look_alikes(world: World) -> None:
    assert not found(world)


def test_long_frames_to_another_node_are_not_about_these() -> None:
    case = BUG.case()
    elsewhere = sent_to(case, "10.128.0.99")
    assert not asked(replace(case, paths=elsewhere), glued)
    same = sent_to(case, NIC_B)
    assert asked(replace(case, paths=same), glued)
