"""pod-mtu, and underlay-mtu where a node knows it: packets that are refused for their size."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.pod import mtu as refused
from kubectl_vxtrace.model.facts import KernelDrop, NodeFacts, RouteException
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import icmp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC, NIC_A, POD_A, POD_B, SERVER, TAPS, VX, A, B

DF, SMALL = 0x4000, Fate(count=20)
COUNTER = "Ip.FragFails"
MTUS = {POD_A: 1500, POD_B: 1500, VX: 1410, NIC: 1460}


def said(node: str, *, failed: int | None = 0, mtus: Mapping[str, int] = MTUS, learned: int | None = None) -> NodeFacts:
    """A node with these MTUs, that refused `failed` packets (None: it was not asked), and learned an MTU for the way to the other pod."""
    found = facts(node, counters=None if failed is None else {COUNTER: failed})
    links = tuple(replace(link, mtu_bytes=mtus.get(link.name)) for link in found.links)
    peer = SERVER if node == A else CLIENT
    exceptions = () if learned is None else (RouteException(destination=peer, mtu_bytes=learned),)
    return replace(found, links=links, exceptions=exceptions)


def world(fate: Fate, *, failed: int | None, mtus: Mapping[str, int] = MTUS, learned: int | None = None) -> World:
    """Requests of which some have that fate, and looks at the client's node between which its counter grew by `failed`."""
    first = said(A, failed=None if failed is None else 0, mtus=mtus, learned=learned)
    last = said(A, failed=failed, mtus=mtus, learned=learned)
    return replace(HEALTHY, requests=(SMALL, fate), before=(first, said(B)), after=(last, said(B)))


def big(from_: int, size: int, *, count: int = 4, fragment: int = DF) -> Fate:
    return replace(lost(count, from_, from_ + 1), wire_bytes=size + 14, fragment=fragment)


def found(case: World) -> list[Finding]:
    """What this check says, before other explanations are weighed against it."""
    return asked(case.case(), refused)


def answered(case: World, hop: int, source: str = NIC_A) -> World:
    """With an ICMP error on the size of the last packet at that hop."""
    return replace(case, extra={hop: (icmp(source, 4, case.seen()[hop][19 + 1]),)})


def test_packets_larger_than_the_vxlan_device_are_counted_by_the_node() -> None:
    (finding,) = diagnose(world(big(1, 1500), failed=4).case())
    assert (finding.cause, finding.confidence, finding.leg, finding.packets) == ("pod-mtu", Confidence.CERTAIN, Leg(from_=1, to=2), 4)
    assert {EvidenceKind.CONFIG, EvidenceKind.COUNTER} <= {proof.kind for proof in finding.evidence}
    assert "of 1500 bytes do not fit into ada-ec-1/vxlan.calico, which takes 1410" in finding.summary
    assert finding.remediation is not None
    assert "at most 1410" in finding.remediation


def test_the_icmp_error_alone_makes_it_likely() -> None:
    (finding,) = diagnose(answered(world(big(1, 1500), failed=None), 1).case())
    assert (finding.cause, finding.confidence) == ("pod-mtu", Confidence.LIKELY)
    assert any("ICMP 3/4 from 10.128.0.72 (too big), seen at ada-ec-1/cali9d8b6a7d855" in proof.text for proof in finding.evidence)


def test_configuration_alone_makes_it_possible() -> None:
    (finding,) = found(world(big(1, 1500), failed=None))
    assert finding.confidence is Confidence.POSSIBLE
    assert finding.not_ruled_out


def test_super_packets_count_only_with_the_nodes_own_word() -> None:
    super_packets = big(1, 20_000)
    assert not found(world(super_packets, failed=4))
    (finding,) = found(answered(world(super_packets, failed=4), 1))
    assert finding.confidence is Confidence.CERTAIN


def test_segments_that_tcp_sends_again_tell_of_the_super_packets() -> None:
    case = world(big(1, 1500), failed=8)
    (finding,) = found(replace(case, protocol="TCP", requests=(SMALL, big(1, 6000), big(1, 1500))))
    assert (finding.cause, finding.confidence, finding.packets) == ("pod-mtu", Confidence.CERTAIN, 8)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(world(big(1, 1500), failed=0), id="the node refused none"),
        pytest.param(world(big(1, 1500), failed=3), id="the node refused fewer"),
        pytest.param(world(big(1, 1410), failed=4), id="they fit exactly"),
        pytest.param(world(big(1, 1500, fragment=0), failed=None), id="they may be fragmented"),
        pytest.param(world(big(1, 1500), failed=4, mtus=MTUS | {VX: 1500}), id="the device takes them"),
        pytest.param(world(big(1, 1500), failed=4, mtus={POD_A: 1500}), id="the device's MTU is not known"),
        pytest.param(world(big(5, 1500), failed=4), id="lost behind the tunnel"),
        pytest.param(world(big(3, 1446), failed=4), id="lost between the nodes"),
        pytest.param(HEALTHY, id="healthy"),
    ],
)
def test_look_alikes(case: World) -> None:
    assert not found(case)


def test_one_small_packet_among_the_lost_speaks_against_it() -> None:
    case = world(big(1, 1500), failed=5)
    assert not found(replace(case, requests=(*case.requests, lost(1, 1, 2))))


def test_another_nodes_counter_does_not_count() -> None:
    case = world(big(1, 1500), failed=0)
    assert not found(replace(case, before=(said(A), said(B)), after=(said(A), said(B, failed=4))))


def test_an_mtu_that_the_node_learned_is_the_underlays() -> None:
    (finding,) = diagnose(world(big(1, 1400), failed=4, learned=1350).case())
    assert (finding.cause, finding.confidence, finding.leg) == ("underlay-mtu", Confidence.CERTAIN, Leg(from_=1, to=2))
    assert any("ada-ec-1 has learned an MTU of 1350" in proof.text for proof in finding.evidence)
    assert not found(world(big(1, 1400), failed=4, learned=1400))


def test_an_mtu_learned_for_another_address_says_nothing() -> None:
    case = world(big(1, 1400), failed=4)
    other = (RouteException(destination="10.244.9.9", mtu_bytes=1350),)
    assert not found(replace(case, before=tuple(replace(one, exceptions=other) for one in case.before), after=case.after))


def test_a_nic_whose_mtu_leaves_no_room_for_the_encapsulation() -> None:
    narrow = MTUS | {NIC: 1400}
    (finding,) = diagnose(world(big(2, 1400), failed=4, mtus=narrow).case())
    assert (finding.cause, finding.confidence, finding.leg) == ("underlay-mtu", Confidence.CERTAIN, Leg(from_=2, to=3))
    assert any("MTU of ada-ec-1/ens4: 1400, of which VXLAN takes 50" in proof.text for proof in finding.evidence)
    assert not found(world(big(2, 1350), failed=4, mtus=narrow))
    assert not found(world(big(2, 1400), failed=0, mtus=narrow))


def test_the_reply_direction_is_refused_by_the_servers_node() -> None:
    case = replace(HEALTHY, replies=(SMALL, big(1, 1500)), before=(said(A), said(B)), after=(said(A), said(B, failed=4)))
    (finding,) = diagnose(case.case())
    assert (finding.cause, finding.direction, finding.leg) == ("pod-mtu", "reply", Leg(from_=1, to=2))


def test_the_kernels_word_on_the_size_is_taken_and_not_that_on_its_icmp_errors() -> None:
    case = world(big(1, 1500), failed=4).case()
    times = case.tables[TAPS[0]].time_ns[SMALL.count : SMALL.count + 4]
    drops = tuple(
        KernelDrop(node=A, time_ns=int(time) + 50_000, reason=reason, location=where)
        for time in times
        for reason, where in (("NETFILTER_DROP", "nft_do_chain"), ("PKT_TOO_BIG", "ip_forward"))
    )
    (finding,) = diagnose(replace(case, recording=replace(case.recording, kernel_drops=drops)))
    (word,) = (proof.text for proof in finding.evidence if proof.kind is EvidenceKind.KERNEL)
    assert "PKT_TOO_BIG in ip_forward" in word
