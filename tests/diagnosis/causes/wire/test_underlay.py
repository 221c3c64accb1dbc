"""underlay-udp-blocked and underlay-loss."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.wire import underlay
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, FrameRef, Leg, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost, of_flow, with_paths
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, A, B

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


def beside(world: World, count: int, *, wire_bytes: int = 132) -> World:
    """With VXLAN frames of other flows between the same nodes, which the receiver saw."""
    other = replace(world.frame(Direction.REQUEST, 3, 41111, Fate()), destination="10.244.56.131", wire_bytes=wire_bytes)
    return replace(world, extra={4: (other,) * count})


def with_mtu(look: NodeFacts, mtu_bytes: int = 1460) -> NodeFacts:
    return replace(look, links=tuple(replace(link, mtu_bytes=mtu_bytes) if link.name == NIC else link for link in look.links))


LARGE = Fate(count=24, reach=3, leg=(3, 4), outcome=OutcomeCode.LOST, wire_bytes=1474)
KNOWN = replace(BLOCKED, requests=(LARGE,), before=(facts(A), with_mtu(facts(B))), after=(facts(A), with_mtu(facts(B, later=True))))


@pytest.mark.parametrize(
    ("world", "selective", "mtu"),
    [
        pytest.param(beside(BLOCKED, 40), True, False, id="small, beside others"),
        pytest.param(beside(KNOWN, 40, wire_bytes=1474), True, False, id="large, beside others as large"),
        pytest.param(beside(KNOWN, 40), False, True, id="larger than what passes"),
        pytest.param(beside(KNOWN, 40, wire_bytes=9000), False, True, id="beside what came merged"),
        pytest.param(beside(replace(BLOCKED, requests=(LARGE,)), 40, wire_bytes=1474), False, True, id="what came merged is not known"),
        pytest.param(beside(BLOCKED, 2), False, False, id="beside two"),
        pytest.param(beside(replace(BLOCKED, requests=(lost(2, 3, 4),)), 40), False, False, id="two of them"),
        pytest.param(replace(BLOCKED, requests=(lost(12, 3, 4), Fate(count=12))), False, False, id="some of a flow"),
    ],
)
def test_a_flow_that_is_lost_as_a_whole_beside_others_is_picked_out(world: World, selective: bool, mtu: bool) -> None:
    found = asked(world.case(), underlay)[0]
    assert found.cause == "underlay-loss"
    assert ("other VXLAN packets from ada-ec-1 to ada-ec-2 passed meanwhile: something on the way" in found.summary) == selective
    assert ("what tells these packets from the others" in (found.remediation or "")) == selective
    assert ("sizes of lost packets with the MTU" in (found.remediation or "")) == mtu


def test_one_outer_source_port_may_be_a_path_of_its_own() -> None:
    (found,) = diagnose(beside(BLOCKED, 40).case())
    assert any("they have 1 outer source port only" in doubt for doubt in found.not_ruled_out)


def test_packets_sent_to_a_foreign_address_are_not_the_wires_fault() -> None:
    (finding,) = diagnose(replace(BLOCKED, outer_destination="10.128.0.200").case())
    assert (finding.cause, finding.leg) == ("fdb-wrong-destination", Leg(from_=3, to=4))
    assert not any("underlay-udp-blocked" in doubt for doubt in finding.not_ruled_out)


def test_a_blind_receiver_names_no_cause_of_the_wire_with_certainty() -> None:
    world = replace(BLOCKED, requests=(lost(24, 3, 5),), blind={4: "the capture ended by itself"})
    error = diagnose(world.case())[0]
    assert error.leg == Leg(from_=3, to=5)
    assert error.confidence is not Confidence.CERTAIN


def spread(lost_ports: dict[int, int], passing: dict[int, int], *, mixed: dict[int, tuple[int, int]] | None = None) -> World:
    """Requests by the outer source port that they have: how many are lost, how many pass; `mixed` ports have both."""
    fates = [replace(lost(count, 3, 4), outer_port=port) for port, count in lost_ports.items()]
    fates += [Fate(count=count, outer_port=port) for port, count in passing.items()]
    for port, (gone, through) in (mixed or {}).items():
        fates += [replace(lost(gone, 3, 4), outer_port=port), Fate(count=through, outer_port=port)]
    return replace(HEALTHY, requests=tuple(fates))


def test_outer_source_ports_that_are_lost_as_a_whole_are_a_path_of_several() -> None:
    (finding,) = diagnose(spread({50001: 3, 50002: 5, 50005: 1}, {50003: 6, 50004: 4, 50006: 2}).case())
    assert (finding.cause, finding.confidence, finding.packets) == ("underlay-path-subset", Confidence.LIKELY, 9)
    assert "3 of 6 outer source ports lost every packet, the others none" in finding.summary
    assert any("port 50001, 50002 was lost, every one with 50003, 50004 passed" in proof.text for proof in finding.evidence)


def test_what_passes_may_be_single_packets_of_ports_of_their_own() -> None:
    (finding,) = diagnose(spread({50001: 7, 50002: 7, 50009: 1}, dict.fromkeys(range(51000, 51009), 1)).case())
    assert (finding.cause, finding.confidence, finding.packets) == ("underlay-path-subset", Confidence.LIKELY, 15)
    assert any("every one with 51000, 51001, 51002" in proof.text for proof in finding.evidence)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(spread({50001: 9}, {50003: 6, 50004: 4}), id="one port only"),
        pytest.param(spread({50001: 7, 50002: 7}, {50003: 1, 50004: 1}), id="too few that pass"),
        pytest.param(spread({50001: 2, 50002: 2}, {50003: 6}), id="too few packets with each"),
        pytest.param(spread({50001: 3, 50002: 3}, {50003: 6}, mixed={50005: (2, 4)}), id="a port with both kinds"),
        pytest.param(spread({50000 + number: 1 for number in range(9)}, {50100: 6}), id="every port has one packet"),
    ],
)
def test_what_is_no_path_of_several(world: World) -> None:
    (finding,) = diagnose(world.case())
    assert (finding.cause, finding.confidence) == ("underlay-loss", Confidence.LIKELY)


def with_second_flow(world: World, second: World) -> Case:
    """Two flows between the same NICs, the second to another port of the server."""
    one, other = world.case(), replace(second, extra=world.seen()).case()
    flow = replace(other.flows[0], id=2)
    return replace(
        one,
        tables=other.tables,
        paths=(*one.paths, *(of_flow(traced, flow) for traced in other.paths)),
    )


def test_flows_that_are_lost_as_a_whole_may_be_about_the_flow() -> None:
    case = with_second_flow(spread({50001: 4, 50002: 4}, {}), spread({}, {50003: 6}))
    (finding,) = diagnose(case)
    assert (finding.cause, finding.confidence) == ("underlay-path-subset", Confidence.POSSIBLE)
    assert any(doubt.startswith("something about the flows") for doubt in finding.not_ruled_out)


def test_larger_packets_that_are_lost_as_a_whole_may_be_about_their_size() -> None:
    made = spread({50001: 4, 50002: 4}, {50003: 6})
    larger = tuple(replace(fate, wire_bytes=400) if fate.leg is not None else fate for fate in made.requests)
    (finding,) = diagnose(replace(made, requests=larger).case())
    assert (finding.cause, finding.confidence) == ("underlay-path-subset", Confidence.POSSIBLE)
    assert any(doubt.startswith("a limit on the size") for doubt in finding.not_ruled_out)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param((facts(A), facts(B, nic={"rx.dropped": 1})), id="the receiver's counter"),
        pytest.param((facts(A, nic={"tx.dropped": 1}), facts(B)), id="the sender's counter"),
        pytest.param((facts(A),), id="the receiver was not read again"),
    ],
)
def test_a_partial_loss_that_the_nics_may_have_made(after: tuple[NodeFacts, ...]) -> None:
    (finding,) = diagnose(replace(HEALTHY, requests=(lost(4, 3, 4), Fate(count=20)), after=after).case())
    assert (finding.cause, finding.confidence) == ("underlay-loss", Confidence.POSSIBLE)


def test_what_a_nic_that_is_down_does_not_receive_is_not_the_wires_loss() -> None:
    down = tuple(replace(link, up=False) if link.name == NIC else link for link in facts(B).links)
    looks = tuple(replace(one, links=down) if one.node == B else one for one in HEALTHY.after)
    assert asked(replace(BLOCKED, before=looks, after=looks).case(), underlay) == []


@pytest.mark.parametrize("driver", ["vmxnet3", None])
def test_a_hypervisor_that_may_take_vxlan_for_its_own_is_not_ruled_out(driver: str | None) -> None:
    said = {} if driver is None else {f"{NIC}.driver": driver}
    looks = tuple(replace(one, ethtool=said) for one in HEALTHY.after)
    found = asked(replace(BLOCKED, after=looks, before=tuple(replace(one, ethtool=said) for one in HEALTHY.before)).case(), underlay)
    assert [(finding.cause, finding.confidence) for finding in found] == [("underlay-udp-blocked", Confidence.LIKELY)]
    assert any("virtual NIC" in doubt or "vmxnet3" in doubt for doubt in found[0].not_ruled_out)


def test_a_receiver_that_saw_nothing_at_all_is_a_suspect_too() -> None:
    case = BLOCKED.case()
    hops = tuple(replace(count, control=0) if count.hop == 4 else count for count in case.paths[0].hops)
    (found,) = diagnose(with_paths(case, hops=[hops, case.paths[1].hops]))
    assert (found.cause, found.confidence) == ("underlay-udp-blocked", Confidence.LIKELY)
    assert any("ada-ec-2/ens4 saw no packet of anybody" in doubt for doubt in found.not_ruled_out)
