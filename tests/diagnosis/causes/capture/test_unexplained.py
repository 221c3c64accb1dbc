"""unknown: what is said of a loss that no check explains, and of frames that could not be followed."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg, Severity
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.frames import Frame
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, SERVER, SERVICE, A, B


def test_an_unexplained_loss_is_unknown_with_its_leg_and_frames() -> None:
    (found,) = diagnose(replace(HEALTHY, requests=(lost(24, 5, 6),), replies=()).case())
    assert (found.cause, found.confidence, found.leg, found.packets) == ("unknown", Confidence.POSSIBLE, Leg(from_=5, to=6), 24)
    assert found.evidence[0].frames
    assert "none of them at hop 6" in found.evidence[1].text
    assert "31 other packets" in found.evidence[1].text


def test_an_unexplained_loss_lists_the_counters_that_grew_and_is_not_admitted() -> None:
    after = (facts(A), facts(B, later=True, counters={"Ip.InDiscards": 24}))
    (found,) = diagnose(replace(HEALTHY, requests=(lost(24, 4, 5),), replies=(), after=after).case())
    assert found.cause == "unknown"
    assert any(proof.kind is EvidenceKind.COUNTER and "Ip.InDiscards by 24" in proof.text for proof in found.evidence)


def test_an_unexplained_loss_says_which_rules_could_not_be_read() -> None:
    """As with --profile netraw, which may not read packet filters."""
    unread = {"iptables": "Permission denied", "nft": "Operation not permitted"}
    looks = [tuple(replace(facts(node, later=later), absent=unread) for node in (A, B)) for later in (False, True)]
    world = replace(HEALTHY, requests=(lost(24, 4, 5),), replies=(), before=looks[0], after=looks[1])
    (found,) = diagnose(world.case())
    [absence] = [proof.text for proof in found.evidence if "not read" in proof.text]
    assert absence == "not read on ada-ec-2: iptables (Permission denied); nft (Operation not permitted)"


def silent(world: World) -> World:
    """`world` without a packet of its flow."""
    return replace(world, requests=(), replies=None)


def test_frames_between_the_ends_that_are_of_no_flow_are_noted_with_each_tap() -> None:
    asked = Frame(source=CLIENT, destination=SERVICE, source_port=40000, destination_port=8080)
    bare = Frame(source=SERVER, destination=CLIENT, source_port=8080, destination_port=40000)
    case = silent(replace(HEALTHY, extra={1: (asked,) * 3, 3: (bare,)})).case()
    (note,) = diagnose(replace(case, paths=()))
    assert (note.cause, note.severity, note.packets) == ("unknown", Severity.INFO, 3)
    assert [(proof.kind, proof.text) for proof in note.evidence] == [
        (EvidenceKind.PACKETS, f"3 x {CLIENT} > {SERVICE} at ada-ec-1/cali9d8b6a7d855"),
        (EvidenceKind.PACKETS, f"1 x {SERVER} > {CLIENT} at ada-ec-1/ens4"),
    ]


@pytest.mark.parametrize(("lasted_ns", "longer"), [(1_200_000_000, True), (5_000_000_000, False)])
def test_a_capture_that_was_too_brief_to_count_is_to_be_longer(lasted_ns: int, longer: bool) -> None:
    asked = Frame(source=CLIENT, destination=SERVICE, source_port=40000, destination_port=8080)
    case = silent(replace(HEALTHY, extra={1: (asked,)})).case()
    captures = tuple(replace(capture, started_ns=0, stopped_ns=lasted_ns) for capture in case.recording.captures)
    (note,) = diagnose(replace(case, paths=(), recording=replace(case.recording, captures=captures)))
    assert (note.remediation is not None and "1.2 s" in note.remediation and "--duration" in note.remediation) == longer


def test_frames_of_others_are_not_noted() -> None:
    other = Frame(source=CLIENT, destination="10.8.8.8", source_port=40000, destination_port=443)
    assert diagnose(replace(silent(replace(HEALTHY, extra={1: (other,)})).case(), paths=())) == ()


def test_nothing_is_noted_where_a_flow_was_followed() -> None:
    assert diagnose(HEALTHY.case()) == ()
