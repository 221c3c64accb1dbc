"""conntrack-invalid: what makes a packet invalid, and when that is the fault itself."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import NIC, POD_A, A, B

INVALID = rule("FORWARD", "-m conntrack --ctstate INVALID -j DROP", 0)


def gone(count: int, leg: tuple[int, int], port: int | None = None) -> Fate:
    return replace(lost(count, *leg), port=port)


def world(*fates: Fate, node: str = B, growth: int = 24, dropping: Rule = INVALID, protocol: str = "TCP") -> World:
    before, after = ruled(node, (dropping, growth))
    return replace(HEALTHY, protocol=protocol, requests=fates, replies=None, before=before, after=after)


def error(case_of: World) -> Finding:
    (found,) = (finding for finding in diagnose(case_of.case()) if finding.severity is Severity.ERROR)
    return found


def test_a_datagram_out_of_the_tunnel_is_invalid_only_if_it_is_damaged() -> None:
    made = world(gone(24, (5, 6)), protocol="UDP")
    found = error(made)
    assert (found.cause, found.confidence, found.leg) == ("nic-tunnel-offload", Confidence.LIKELY, Leg(from_=5, to=6))
    assert any(proof.kind is EvidenceKind.COUNTER and "grew by 24" in proof.text for proof in found.evidence)
    assert any("damage on the way" in doubt for doubt in found.not_ruled_out)
    assert "they came from ada-ec-1 damaged" in found.summary
    assert dropped_packets(made.case(), (found,))[0].sum() == 24, "the rule's counter admits them"
    assert found.remediation is not None
    assert f"ethtool -k {NIC}" in found.remediation


@pytest.mark.parametrize(
    ("made", "confidence", "doubt"),
    [
        pytest.param(
            world(gone(24, (1, 2)), node=A, protocol="UDP"), Confidence.LIKELY, "checksum", id="a datagram that comes from its own pod"
        ),
        pytest.param(world(gone(24, (5, 6))), Confidence.CERTAIN, None, id="segments"),
        pytest.param(
            world(gone(24, (5, 6)), dropping=rule("FORWARD", "-m conntrack --ctstate INVALID,NEW -j DROP", 0), protocol="UDP"),
            Confidence.LIKELY,
            "NEW",
            id="the rule takes others as well",
        ),
    ],
)
def test_what_else_may_be_invalid(made: World, confidence: Confidence, doubt: str | None) -> None:
    found = error(made)
    assert (found.cause, found.confidence) == ("conntrack-invalid", confidence)
    assert doubt is None or any(doubt in one for one in found.not_ruled_out)


def test_segments_behind_a_nic_that_checksums_inside_tunnels_may_be_damaged() -> None:
    made = world(gone(24, (5, 6)))
    hardware = {f"{NIC}.driver": "mlx5_core", f"{NIC}.tx-udp_tnl-csum-segmentation": "on"}
    before, after = (tuple(replace(look, ethtool=hardware) for look in looks) for looks in (made.before, made.after))
    found = error(replace(made, before=before, after=after))
    assert (found.cause, found.confidence) == ("conntrack-invalid", Confidence.LIKELY)
    assert any("nic-tunnel-offload" in doubt for doubt in found.not_ruled_out)


def test_what_is_invalid_after_a_loss_elsewhere_is_a_consequence() -> None:
    """The window moved on without what was lost: the loss comes first, though the rule's counter is exact."""
    made = world(gone(6, (3, 4), 40000), gone(4, (5, 6), 40000), Fate(count=20, port=40000), growth=4)
    first, second = (finding for finding in diagnose(made.case()) if finding.severity is Severity.ERROR)
    assert (first.cause, first.leg) == ("underlay-loss", Leg(from_=3, to=4))
    assert (second.cause, second.confidence, second.packets) == ("conntrack-invalid", Confidence.LIKELY, 4)
    assert any("6 packets of the same connections" in doubt and "ada-ec-1/ens4" in doubt for doubt in second.not_ruled_out)


def test_a_loss_of_another_connection_makes_nothing_invalid() -> None:
    made = world(gone(6, (3, 4), 50000), gone(4, (5, 6), 40000), Fate(count=20, port=40000), growth=4)
    found = next(finding for finding in diagnose(made.case()) if finding.cause == "conntrack-invalid")
    assert found.confidence is Confidence.CERTAIN


def test_a_reply_that_was_lost_makes_requests_invalid() -> None:
    answers = (Fate(count=3, reach=3, leg=(3, 4), outcome=OutcomeCode.LOST, port=40000),)
    made = replace(world(gone(4, (5, 6), 40000), Fate(count=20, port=40000), growth=4), replies=answers)
    found = next(finding for finding in diagnose(made.case()) if finding.cause == "conntrack-invalid")
    assert found.confidence is Confidence.LIKELY


def test_other_rules_of_the_same_place_are_as_sure_as_before() -> None:
    other = rule("FORWARD", f"-i {POD_A} -j DROP", 0)
    found = error(world(gone(24, (1, 2)), node=A, dropping=other, protocol="UDP"))
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.CERTAIN)
