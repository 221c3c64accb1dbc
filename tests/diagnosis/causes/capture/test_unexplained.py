"""unknown: what is said of a loss that no check explains."""

from dataclasses import replace

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.build import HEALTHY, A, B, facts, lost


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
