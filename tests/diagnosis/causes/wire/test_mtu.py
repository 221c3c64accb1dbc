"""underlay-mtu: only large packets die between the nodes."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.wire import mtu
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.report import Confidence, Finding, Leg, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import Frame, icmp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, NIC_A, A, B

LARGE = replace(lost(4, 3, 4), wire_bytes=1460)
SMALL = Fate(count=20)
HOLE = replace(HEALTHY, requests=(SMALL, LARGE))


def narrow(node: str, mtu_bytes: int) -> NodeFacts:
    """A healthy node but for its NIC's MTU."""
    said = facts(node)
    return replace(said, links=tuple(replace(link, mtu_bytes=mtu_bytes) if link.name == NIC else link for link in said.links))


def driven(node: str, driver: str) -> NodeFacts:
    """A node whose NIC has this driver and offloads the segmentation of tunnels."""
    ethtool = {f"{NIC}.driver": driver, f"{NIC}.tx-udp_tnl-segmentation": "on"}
    return replace(facts(node), ethtool=ethtool)


def errors(world: World) -> list[Finding]:
    return [finding for finding in diagnose(world.case()) if finding.severity is Severity.ERROR]


def named(world: World) -> list[Finding]:
    """What this check says, before other explanations are weighed against it."""
    return asked(world.case(), mtu)


def test_all_that_are_lost_are_larger_than_all_that_pass() -> None:
    (finding,) = errors(HOLE)
    assert (finding.cause, finding.confidence, finding.leg, finding.packets) == ("underlay-mtu", Confidence.CERTAIN, Leg(from_=3, to=4), 4)
    assert "in frames of 1460 bytes and more" in finding.summary
    assert "the largest frame that passes has 132" in finding.summary
    assert finding.remediation is not None
    assert "ping -M do -s 1418 10.128.0.95 (an IP packet of 1446 bytes)" in finding.remediation
    assert "68 is safe by this trace (118 bytes crossed)" in finding.remediation


def test_small_packets_of_another_flow_that_arrive_tell_the_size_as_well() -> None:
    other = HOLE.seen()[4][0]
    (finding,) = errors(replace(HEALTHY, requests=(LARGE,), replies=(), extra={4: (other,) * 20}))
    assert finding.cause == "underlay-mtu"
    assert any("of 20 that passed the largest has 132" in proof.text for proof in finding.evidence)


def test_the_reply_direction_has_its_own_finding() -> None:
    (finding,) = errors(replace(HEALTHY, replies=(SMALL, LARGE)))
    assert (finding.cause, finding.direction, finding.confidence) == ("underlay-mtu", "reply", Confidence.CERTAIN)


@pytest.mark.parametrize(
    ("world", "confidence", "doubt"),
    [
        pytest.param(replace(HOLE, requests=(SMALL, replace(LARGE, count=3))), Confidence.CERTAIN, None, id="three of 23"),
        pytest.param(replace(HOLE, requests=(SMALL, replace(LARGE, count=2))), Confidence.POSSIBLE, "an accident", id="two of 22"),
        pytest.param(replace(HOLE, requests=(Fate(count=2), LARGE)), Confidence.LIKELY, "an accident", id="few that pass"),
        pytest.param(replace(HOLE, requests=(SMALL, replace(LARGE, count=1))), Confidence.POSSIBLE, "an accident", id="one of 21"),
        pytest.param(
            replace(HOLE, requests=(SMALL, replace(LARGE, outer_port=50001))), Confidence.LIKELY, "a broken path of several", id="own port"
        ),
        pytest.param(replace(HOLE, before=(), after=()), Confidence.LIKELY, "whose driver is not known", id="no driver known"),
        pytest.param(
            replace(HOLE, before=(driven(A, "vmxnet3"), facts(B)), after=(driven(A, "vmxnet3"), facts(B))),
            Confidence.LIKELY,
            "a hypervisor",
            id="VMware",
        ),
    ],
)
def test_what_fits_as_well_lessens_the_confidence(world: World, confidence: Confidence, doubt: str | None) -> None:
    (finding,) = named(world)
    assert finding.confidence is confidence
    assert any(doubt in open_ for open_ in finding.not_ruled_out) if doubt is not None else not finding.not_ruled_out


def test_super_packets_that_are_lost_are_not_judged() -> None:
    offloading = replace(HOLE, requests=(SMALL, LARGE, replace(LARGE, wire_bytes=9000)))
    looks = (driven(A, "mlx5_core"), facts(B))
    merged = tuple(replace(said, links=tuple(replace(link, mtu_bytes=1500) for link in said.links)) for said in looks)
    (finding,) = named(replace(offloading, before=merged, after=merged))
    assert (finding.confidence, finding.packets) == (Confidence.LIKELY, 8)
    assert any("super-packets were lost" in doubt for doubt in finding.not_ruled_out)
    assert not named(replace(offloading, requests=(SMALL, replace(LARGE, wire_bytes=9000)), before=merged, after=merged))


def test_a_receiver_with_a_smaller_mtu_proves_it_where_nothing_smaller_was_sent() -> None:
    small = (facts(A), narrow(B, 1400))
    blocked = replace(HEALTHY, requests=(replace(LARGE, count=24),), replies=())
    (finding,) = named(replace(blocked, before=small, after=small))
    assert (finding.confidence, finding.severity) == (Confidence.LIKELY, Severity.ERROR)
    assert any("ada-ec-2/ens4: 1400" in proof.text for proof in finding.evidence)
    (finding,) = named(blocked)
    assert finding.confidence is Confidence.POSSIBLE
    assert finding.not_ruled_out == ("a block of the VXLAN port: nothing smaller was sent",)


@pytest.mark.parametrize("mtu_bytes", [100, 1446, 1500])
def test_a_receiver_whose_mtu_does_not_lie_between_proves_nothing(mtu_bytes: int) -> None:
    looks = (facts(A), narrow(B, mtu_bytes))
    one = replace(HOLE, requests=(SMALL, replace(LARGE, count=1)), before=looks, after=looks)
    (finding,) = named(one)
    assert finding.confidence is Confidence.POSSIBLE


def _too_big(world: World, hop: int) -> World:
    """The sender's NIC sees an ICMP error of a router that quotes the first lost packet; at another hop, one of the node itself."""
    quoted = next(frame for frame in world.seen()[hop] if frame.wire_bytes == 1460)
    error = icmp("10.128.0.1", 4, replace(quoted, source=NIC_A if hop == 3 else quoted.source), inner=hop == 3)
    error = replace(error, quotes=replace(quoted, tunnel=None))
    return replace(world, extra={hop: (error,)})


def test_a_router_that_says_too_big_proves_it() -> None:
    one = replace(HOLE, requests=(SMALL, replace(LARGE, count=1)))
    (finding,) = errors(_too_big(one, 3))
    assert finding.confidence is Confidence.CERTAIN
    assert any("1 x ICMP 3/4 from 10.128.0.1 (too big), seen at ada-ec-1/ens4" in proof.text for proof in finding.evidence)


def test_too_big_at_the_pods_interface_says_nothing_of_the_wire() -> None:
    one = replace(HOLE, requests=(SMALL, replace(LARGE, count=1)))
    (finding,) = named(_too_big(one, 1))
    assert finding.confidence is Confidence.POSSIBLE


def _fragmented(count: int, outer_id: int) -> Fate:
    return replace(lost(count, 3, 4), wire_bytes=1414, segment=(0, 0, 0, 1352), outer_id=outer_id)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(HEALTHY, id="healthy"),
        pytest.param(replace(HEALTHY, requests=(SMALL, replace(LARGE, leg=None, reach=6))), id="large ones pass"),
        pytest.param(replace(HOLE, requests=(SMALL, LARGE, Fate(count=1, wire_bytes=1460))), id="one of the same size passes"),
        pytest.param(replace(HOLE, requests=(SMALL, LARGE, replace(lost(1, 3, 4), wire_bytes=132))), id="a small one is lost too"),
        pytest.param(replace(HOLE, requests=(SMALL, replace(LARGE, wire_bytes=400))), id="smaller than what every network carries"),
        pytest.param(replace(HOLE, requests=(SMALL, _fragmented(4, 900))), id="they left in fragments"),
        pytest.param(replace(HOLE, requests=(SMALL, replace(LARGE, reach=4, leg=(4, 5)))), id="lost inside the receiver"),
        pytest.param(replace(HEALTHY, requests=(lost(24, 3, 4),), replies=()), id="nothing passes, all are small"),
    ],
)
def test_look_alikes(world: World) -> None:
    assert not named(world)


def test_a_merged_frame_that_arrives_may_hold_large_packets() -> None:
    merged: Frame = replace(HOLE.seen()[4][0], wire_bytes=20_000)
    assert not named(replace(HOLE, extra={4: (merged,)}))


def test_a_first_fragment_that_arrives_is_a_frame_of_that_size() -> None:
    first: Frame = replace(HOLE.seen()[4][0], wire_bytes=1474, payload_bytes=2000, outer_id=900)
    assert not named(replace(HOLE, extra={4: (first,)}))
