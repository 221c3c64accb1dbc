"""underlay-udp-blocked and underlay-loss."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, FrameRef, Leg, Severity
from tests.diagnosis.build import HEALTHY, A, B, Fate, World, facts, lost

BLOCKED = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=())


def test_total_loss_between_the_nics_is_a_blocked_underlay() -> None:
    (finding,) = diagnose(BLOCKED.case())
    assert (finding.cause, finding.confidence, finding.severity) == ("underlay-udp-blocked", Confidence.CERTAIN, Severity.ERROR)
    assert (finding.flow, finding.direction, finding.leg, finding.packets) == (1, Direction.REQUEST, Leg(from_=3, to=4), 24)
    assert finding.evidence[0].frames == tuple(FrameRef(capture=3, frame=number) for number in range(1, 6))
    assert "handed to ada-ec-1's driver" in finding.summary
    assert any("NIC ring" in doubt for doubt in finding.not_ruled_out)
    assert finding.remediation is not None
    assert "allow UDP 4789 from 10.128.0.72 to 10.128.0.95" in finding.remediation


def test_the_reply_direction_has_its_own_finding() -> None:
    (finding,) = diagnose(replace(HEALTHY, replies=(lost(24, 3, 4),)).case())
    assert (finding.cause, finding.direction, finding.leg) == ("underlay-udp-blocked", Direction.REPLY, Leg(from_=3, to=4))
    assert "handed to ada-ec-2's driver" in finding.summary


@pytest.mark.parametrize(
    ("world", "confidence"),
    [
        pytest.param(replace(BLOCKED, before=(), after=()), Confidence.LIKELY, id="no facts"),
        pytest.param(replace(BLOCKED, before=()), Confidence.LIKELY, id="one look only"),
        pytest.param(replace(BLOCKED, status=CaptureStatus.PRESUMED), Confidence.LIKELY, id="files by hand"),
        pytest.param(replace(BLOCKED, after=(facts(A), facts(B, nic={"rx.missed_errors": 1}))), Confidence.LIKELY, id="receive missed"),
        pytest.param(replace(BLOCKED, after=(facts(A), facts(B, counters={"softnet.dropped": 2}))), Confidence.LIKELY, id="softnet"),
        pytest.param(replace(BLOCKED, after=(facts(A, nic={"tx.errors": 1}), facts(B))), Confidence.LIKELY, id="transmit errors"),
        pytest.param(replace(BLOCKED, after=(facts(A, xdp=True), facts(B))), Confidence.LIKELY, id="XDP at the sender"),
        pytest.param(replace(BLOCKED, requests=(lost(2, 3, 4),)), Confidence.LIKELY, id="two packets"),
        pytest.param(
            replace(BLOCKED, after=(facts(A, nic={"rx.missed_errors": 9}), facts(B, nic={"tx.errors": 9}))),
            Confidence.CERTAIN,
            id="the other way",
        ),
    ],
)
def test_what_lessens_the_confidence(world: World, confidence: Confidence) -> None:
    (finding,) = diagnose(world.case())
    assert (finding.cause, finding.confidence) == ("underlay-udp-blocked", confidence)


@pytest.mark.parametrize(
    ("world", "rival"),
    [
        pytest.param(replace(BLOCKED, after=(facts(A), facts(B, xdp=True))), "xdp-drop", id="XDP at the receiver"),
        pytest.param(replace(BLOCKED, wire_bytes=1460), "underlay-mtu", id="large packets only"),
    ],
)
def test_what_fits_as_well_is_as_possible(world: World, rival: str) -> None:
    findings = diagnose(world.case())
    assert {finding.confidence for finding in findings} == {Confidence.POSSIBLE}
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert [finding.cause for finding in errors] == [rival]
    assert any(doubt.startswith("underlay-udp-blocked: ") for doubt in errors[0].not_ruled_out)


def test_some_lost_packets_are_only_loss() -> None:
    (finding,) = diagnose(replace(HEALTHY, requests=(lost(4, 3, 4), Fate(count=20))).case())
    assert (finding.cause, finding.confidence, finding.packets) == ("underlay-loss", Confidence.LIKELY, 4)


def test_other_vxlan_packets_of_the_same_sender_speak_against_a_block() -> None:
    other = BLOCKED.frame(Direction.REQUEST, 3, 999, Fate())
    (finding,) = diagnose(replace(BLOCKED, extra={4: (other,)}).case())
    assert finding.cause == "underlay-loss"


def test_packets_sent_to_a_foreign_address_are_not_the_wires_fault() -> None:
    (finding,) = diagnose(replace(BLOCKED, outer_destination="10.128.0.200").case())
    assert (finding.cause, finding.leg) == ("fdb-wrong-destination", Leg(from_=3, to=4))
    assert not any("underlay-udp-blocked" in doubt for doubt in finding.not_ruled_out)


def test_a_blind_receiver_names_no_cause_of_the_wire_with_certainty() -> None:
    world = replace(BLOCKED, requests=(lost(24, 3, 5),), blind={4: "the capture ended by itself"})
    error = diagnose(world.case())[0]
    assert error.leg == Leg(from_=3, to=5)
    assert error.confidence is not Confidence.CERTAIN
