"""conntrack-invalid: what makes a packet invalid, and when that is the fault itself."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import ConntrackEntry, Rule
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import CLIENT, NIC, POD_A, SERVER, SERVICE, A, B

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


KEPT, LOOSE = "net.netfilter.nf_conntrack_tcp_timeout_established", "net.netfilter.nf_conntrack_tcp_loose"
ENTRY = ConntrackEntry(
    protocol="TCP", original_source=CLIENT, original_source_port=40000, original_destination=SERVICE, reply_source=SERVER,
    reply_destination=CLIENT,
)  # fmt: skip


def rested(
    *, rest_s: float | None = 4.0, kept: str | None = "2", loose: str | None = "0", flags: int = 0x18, absent: bool = False, **facts: object
) -> World:
    """One connection of which a packet passed, and of which four are lost on the client's node after it rested; None: none passed."""
    first = 0 if rest_s is None else round(rest_s * 5)  # packets of a world are 0.2 s apart
    fates = (Fate(count=1, port=40000), *(Fate(count=1, port=41000 + n) for n in range(first - 1))) if first else ()
    made = world(*fates, *(replace(gone(4, (1, 2), 40000), segment=(flags, 1, 1, 60)),), node=A, growth=4)
    sysctls = {name: value for name, value in ((KEPT, kept), (LOOSE, loose)) if value is not None}
    more = {"absent": {"conntrack": "not installed"}} if absent else {}
    before, after = (tuple(replace(look, sysctls=sysctls, **facts, **more) for look in looks) for looks in (made.before, made.after))  # type: ignore[arg-type]
    return replace(made, before=before, after=after)


@pytest.mark.parametrize(
    ("made", "confidence"),
    [
        pytest.param(rested(), Confidence.CERTAIN, id="longer than the time-out"),
        pytest.param(rested(kept=None), Confidence.LIKELY, id="the time-out was not read"),
        pytest.param(rested(rest_s=None), Confidence.LIKELY, id="since before the captures"),
        pytest.param(rested(kept=None, loose=None), Confidence.LIKELY, id="no setting was read"),
    ],
)
def test_an_idle_connection_that_the_node_has_forgotten(made: World, confidence: Confidence) -> None:
    found = error(made)
    assert (found.cause, found.confidence) == ("conntrack-invalid", confidence)
    assert "has forgotten their connections" in found.summary
    assert "keepalives more often" in (found.remediation or "")
    assert "be_liberal" not in (found.remediation or "")


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(rested(rest_s=1.0), id="shorter than the time-out"),
        pytest.param(rested(rest_s=0.4, kept=None), id="no pause"),
        pytest.param(rested(loose="1"), id="any packet makes a new entry"),
        pytest.param(rested(conntrack=(ENTRY,)), id="the entry is there"),
        pytest.param(rested(absent=True), id="the entries were not read"),
        pytest.param(rested(flags=0x02), id="a handshake"),
        pytest.param(rested(rest_s=None, loose=None), id="since before the captures, no setting was read"),
    ],
)
def test_what_is_no_forgotten_connection(made: World) -> None:
    found = error(made)
    assert (found.cause, "forgotten" in found.summary) == ("conntrack-invalid", False)
    assert "be_liberal" in (found.remediation or "")
