"""What holds for the findings of a case together: order, one error for each loss, warnings, infos."""

from dataclasses import replace

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Role, Tap
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, HopCount, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, lost, with_paths
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import A, B

DROP = rule("INPUT", "-p udp --dport 4789 -j DROP", 0)


def test_a_healthy_case_has_no_findings() -> None:
    assert diagnose(HEALTHY.case()) == ()


def test_each_loss_has_one_error_and_the_surest_comes_first() -> None:
    before, after = ruled(B, (DROP, 5))
    world = replace(HEALTHY, requests=(lost(20, 3, 4), lost(5, 4, 5), Fate(count=3)), replies=(), before=before, after=after)
    findings = diagnose(world.case())
    assert [(found.cause, found.leg, found.packets) for found in findings] == [
        ("host-firewall", Leg(from_=4, to=5), 5),
        ("underlay-loss", Leg(from_=3, to=4), 20),
    ]


def test_a_blind_hop_is_a_warning_once_for_both_directions() -> None:
    findings = diagnose(replace(HEALTHY, blind={4: "the kernel dropped 9 packets"}).case())
    assert [(found.cause, found.severity, found.flow) for found in findings] == [("capture-blind", Severity.WARNING, None)]
    assert "the kernel dropped 9 packets" in findings[0].summary


def test_files_without_closing_numbers_make_nothing_certain() -> None:
    findings = diagnose(replace(HEALTHY, blind={4: "the file ends inside a record"}, status=CaptureStatus.PRESUMED).case())
    assert findings
    assert all(found.confidence is not Confidence.CERTAIN for found in findings)


def test_an_unexpected_sighting_alone_is_an_info() -> None:
    case = HEALTHY.case()
    odd = HopCount(hop=7, role=Role.UNDERLAY, node="ada-ec-3", interface="ens4", expected=False, packets=3, frames=3, tuple="a > b:53")
    hops = ((*case.paths[0].hops, odd), case.paths[1].hops)
    (found,) = diagnose(with_paths(case, hops=hops))
    assert (found.cause, found.severity, found.packets, found.leg) == ("unknown", Severity.INFO, 3, None)
    assert "ada-ec-3/ens4 as a > b:53" in found.summary


ODD = HopCount(hop=7, role=Role.UNDERLAY, node="ada-ec-3", interface="ens4", expected=False, packets=3, frames=3, tuple="a > b:53")


def test_an_unexpected_sighting_is_evidence_of_what_is_wrong_with_its_packets() -> None:
    case = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=()).case()
    (found,) = diagnose(with_paths(case, hops=((*case.paths[0].hops, ODD), case.paths[1].hops)))
    assert found.severity is Severity.ERROR
    text = "seen where the path does not lead: 3 packets at ada-ec-3/ens4 as a > b:53"
    assert [proof.kind for proof in found.evidence if proof.text == text] == [EvidenceKind.PACKETS]


def test_an_unexpected_sighting_of_the_other_direction_stays_a_note() -> None:
    case = replace(HEALTHY, requests=(lost(4, 3, 4), Fate(count=20))).case()
    error, note = diagnose(with_paths(case, hops=(case.paths[0].hops, (*case.paths[1].hops, ODD))))
    assert (error.direction, error.severity) == (Direction.REQUEST, Severity.ERROR)
    assert (note.direction, note.severity, note.cause) == (Direction.REPLY, Severity.INFO, "unknown")


def test_a_place_that_the_finding_names_already_is_not_named_again() -> None:
    case = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=()).case()
    odd = replace(ODD, node="ada-ec-1", interface="ens4")  # where they were seen last
    assert diagnose(with_paths(case, hops=((*case.paths[0].hops, odd), case.paths[1].hops))) == diagnose(case)


def bridged(*, losing: bool = False, role: Role = Role.BRIDGE) -> Case:
    """A path between two pods of one node, whose bridge saw one of its packets."""
    world = replace(HEALTHY, hops=2, requests=(Fate(count=9, reach=2),), replies=None)
    made = replace(world, requests=(lost(1, 1, 2), *world.requests)) if losing else world
    case = made.case()
    taps = [replace(hop, tap=Tap(node=A, interface=name)) for hop, name in zip(case.paths[0].path.hops, ("veth1", "veth2"), strict=True)]
    path = replace(case.paths[0].path, hops=tuple(taps))
    odd = HopCount(hop=3, role=role, node=A, interface="cni0", expected=False, packets=1, frames=1, tuple="a > b:53")
    return with_paths(case, path=(path,), hops=((*case.paths[0].hops, odd),))


def test_a_packet_that_a_bridge_hands_up_between_two_of_its_ports_is_no_finding() -> None:
    assert diagnose(bridged()) == ()
    assert [found.severity for found in diagnose(bridged(role=Role.UNDERLAY))] == [Severity.INFO]
    assert [found.severity for found in diagnose(bridged(losing=True))] == [Severity.ERROR]


def test_a_device_that_was_down_is_cited_with_its_reason() -> None:
    world = replace(HEALTHY, requests=(lost(24, 4, 5),), replies=(), zero={5: "vxlan.calico was down"}, before=(), after=())
    (found,) = diagnose(world.case())
    assert any("vxlan.calico was down" in proof.text for proof in found.evidence)


def test_a_packet_seen_at_a_blind_hop_is_lost_behind_it() -> None:
    """Hop 4 is no witness for absence, yet its sightings stand: a rule of the node before it is not to blame."""
    before, after = ruled(A, (rule("OUTPUT", "-p udp --dport 4789 -j DROP", 0, hook="output"), 24))
    fate = Fate(count=24, reach=4, leg=(2, 5), outcome=lost(1, 2, 5).outcome)
    world = replace(HEALTHY, requests=(fate,), replies=(), before=before, after=after, blind={3: "failed", 4: "failed"})
    error = next(found for found in diagnose(world.case()) if found.severity is Severity.ERROR)
    assert error.cause == "unknown"


def test_directions_are_judged_each_for_itself() -> None:
    world = replace(HEALTHY, requests=(Fate(count=24),), replies=(lost(4, 1, 2), Fate(count=20)))
    (found,) = diagnose(world.case())
    assert (found.direction, found.leg, found.packets) == (Direction.REPLY, Leg(from_=1, to=2), 4)
