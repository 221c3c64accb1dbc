"""Which of several explanations of one loss stands, and what becomes of the others."""

import pytest

from kubectl_vxtrace.diagnosis.arbitrate import arbitrate, comes_later, rests_on_table
from kubectl_vxtrace.diagnosis.drop_reasons import drop_reason
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Leg, Severity


def finding(cause: str, confidence: Confidence, *kinds: EvidenceKind) -> Finding:
    """An error about the same loss, with one proof of each kind."""
    return Finding(
        cause=cause,
        confidence=confidence,
        severity=Severity.ERROR,
        packets=24,
        summary=f"so says {cause}",
        flow=1,
        direction=Direction.REQUEST,
        leg=Leg(from_=3, to=4),
        evidence=tuple(Evidence(kind=kind, text=f"{kind} of {cause}") for kind in kinds),
    )


def doubts(*found: Finding) -> list[tuple[str, Severity, tuple[str, ...]]]:
    return [(one.cause, one.severity, one.not_ruled_out) for one in arbitrate(found)]


@pytest.mark.parametrize(
    ("first", "second", "open_"),
    [
        pytest.param(Confidence.POSSIBLE, Confidence.POSSIBLE, True, id="both possible"),
        pytest.param(Confidence.LIKELY, Confidence.LIKELY, True, id="both likely"),
        pytest.param(Confidence.CERTAIN, Confidence.LIKELY, True, id="certain and likely"),
        pytest.param(Confidence.LIKELY, Confidence.POSSIBLE, False, id="likely and possible"),
        pytest.param(Confidence.CERTAIN, Confidence.POSSIBLE, False, id="certain and possible"),
    ],
)
def test_a_weaker_explanation_is_left_open_unless_the_first_is_surer_than_possible(
    first: Confidence, second: Confidence, open_: bool
) -> None:
    rival = finding("qdisc-drop", second)
    said = doubts(finding("underlay-loss", first), rival)
    assert said == [("underlay-loss", Severity.ERROR, ("qdisc-drop: so says qdisc-drop",) if open_ else ())]


def test_what_a_counter_admits_stands_before_what_is_surer() -> None:
    said = doubts(finding("underlay-udp-blocked", Confidence.CERTAIN), finding("xdp-drop", Confidence.LIKELY, EvidenceKind.COUNTER))
    assert [cause for cause, _, _ in said] == ["xdp-drop"]


def test_a_counter_of_a_merely_possible_cause_admits_nothing() -> None:
    said = doubts(finding("underlay-udp-blocked", Confidence.CERTAIN), finding("xdp-drop", Confidence.POSSIBLE, EvidenceKind.COUNTER))
    assert [cause for cause, _, _ in said] == ["underlay-udp-blocked"]


@pytest.mark.parametrize(
    ("best", "severities"),
    [
        pytest.param(EvidenceKind.COUNTER, [Severity.ERROR], id="a counter admits the other"),
        pytest.param(EvidenceKind.PACKETS, [Severity.ERROR, Severity.WARNING], id="nothing does"),
    ],
)
def test_a_circumstance_does_no_harm_where_something_else_admits_the_packets(best: EvidenceKind, severities: list[Severity]) -> None:
    said = doubts(finding("rp-filter", Confidence.CERTAIN, best), finding("asymmetric-return", Confidence.LIKELY, EvidenceKind.CONFIG))
    assert [severity for _, severity, _ in said] == severities


@pytest.mark.parametrize("confidence", [Confidence.LIKELY, Confidence.POSSIBLE])
def test_a_weaker_explanation_that_rests_on_configuration_will_hurt_later(confidence: Confidence) -> None:
    said = doubts(finding("underlay-loss", Confidence.CERTAIN), finding("vni-mismatch", confidence, EvidenceKind.CONFIG))
    assert said == [("underlay-loss", Severity.ERROR, ()), ("vni-mismatch", Severity.WARNING, ())]


@pytest.mark.parametrize("cause", ["xdp-drop", "vmware-vxlan-clash", "underlay-mtu"])
def test_a_program_a_driver_or_a_size_alone_is_no_mistake_that_will_hurt_later(cause: str) -> None:
    rival = finding(cause, Confidence.POSSIBLE, EvidenceKind.CONFIG)
    assert doubts(finding("underlay-loss", Confidence.LIKELY), rival) == [("underlay-loss", Severity.ERROR, ())]
    said = doubts(finding("underlay-udp-blocked", Confidence.POSSIBLE), rival)
    assert said == [("underlay-udp-blocked", Severity.ERROR, (f"{cause}: so says {cause}",))]


def test_the_same_cause_twice_is_one_finding_with_both_proofs() -> None:
    found = arbitrate(
        [
            finding("vni-mismatch", Confidence.LIKELY, EvidenceKind.CONFIG),
            finding("vni-mismatch", Confidence.CERTAIN, EvidenceKind.COUNTER),
        ]
    )
    assert [(one.cause, one.confidence) for one in found] == [("vni-mismatch", Confidence.CERTAIN)]
    assert [proof.kind for proof in found[0].evidence] == [EvidenceKind.COUNTER, EvidenceKind.CONFIG]


@pytest.mark.parametrize(
    ("cause", "reason", "function", "later"),
    [
        pytest.param("route-missing", "TC_INGRESS", "", True, id="tc comes before the routes"),
        pytest.param("host-firewall", "TC_INGRESS", "", True, id="tc comes before netfilter"),
        pytest.param("neighbour-missing", "IP_RPFILTER", "", True, id="the reverse path comes before the neighbour"),
        pytest.param("route-missing", "NETFILTER_DROP", "", False, id="a rule may stand behind the routes"),
        pytest.param("route-missing", "IP_INNOROUTES", "", False, id="that is what the reason says"),
        pytest.param("route-missing", "NEIGH_FAILED", "", False, id="a wrong route leads to a neighbour that is none"),
        pytest.param("pod-unreachable", "IP_INNOROUTES", "", False, id="an interface that is down takes its routes with it"),
        pytest.param("tc-program", "TC_INGRESS", "", False, id="its own reason"),
        pytest.param("underlay-loss", "TC_INGRESS", "", False, id="a cause with no place in a node"),
    ],
)
def test_what_was_dropped_at_one_stage_never_came_to_a_later_one(cause: str, reason: str, function: str, later: bool) -> None:
    assert comes_later(finding(cause, Confidence.CERTAIN), drop_reason(reason, function)) is later


def test_without_a_word_of_the_kernel_nothing_comes_later() -> None:
    assert not comes_later(finding("route-missing", Confidence.CERTAIN), None)


@pytest.mark.parametrize(
    ("cause", "kinds", "table_alone"),
    [
        ("route-missing", (EvidenceKind.PACKETS, EvidenceKind.CONFIG), True),
        ("route-missing", (EvidenceKind.PACKETS, EvidenceKind.CONFIG, EvidenceKind.COUNTER), False),
        ("route-missing", (EvidenceKind.PACKETS, EvidenceKind.CONFIG, EvidenceKind.PACKETS), False),
        ("underlay-mtu", (EvidenceKind.PACKETS, EvidenceKind.CONFIG), False),
    ],
)
def test_what_rests_on_a_table_alone(cause: str, kinds: tuple[EvidenceKind, ...], table_alone: bool) -> None:
    assert rests_on_table(finding(cause, Confidence.LIKELY, *kinds)) is table_alone
