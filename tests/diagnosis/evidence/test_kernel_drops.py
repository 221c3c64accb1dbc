"""The kernel's word beside lost packets: where it fits them, and the near misses where it must not be taken for theirs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import match_kernel_drops
from kubectl_vxtrace.diagnosis.losses import losses_of
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import ClockBound, Confidence, EvidenceKind, Finding, OffsetBound
from tests.diagnosis.build import Fate, World, lost
from tests.diagnosis.places import CLIENT, POD_A, SECOND_NS, START_NS, VX, A, B

_MS = 1_000_000
# The frames of a capture in build.py are a fifth of a second apart.
_EACH_NS = SECOND_NS // 5


def _drops(
    times: Sequence[int], *, node: str = A, reason: str = "NETFILTER_DROP", location: str = "nft_do_chain", uncertainty_ns: int = _MS
) -> tuple[KernelDrop, ...]:
    return tuple(
        KernelDrop(node=node, time_ns=time_ns, reason=reason, location=location, uncertainty_ns=uncertainty_ns, ethertype=2048)
        for time_ns in times
    )


def _case(count: int, drops: Sequence[KernelDrop], *, reach: int = 1) -> Case:
    """`count` requests that got to hop `reach` and no further, and what the kernels said."""
    case = World(requests=(lost(count, reach, reach + 1),), replies=None).case()
    return replace(case, recording=replace(case.recording, duration_s=15.0, kernel_drops=tuple(drops)))


def _after(count: int, late_ns: int = 2 * _MS) -> list[int]:
    return [START_NS + number * _EACH_NS + late_ns for number in range(count)]


def _said(case: Case) -> list[tuple[str, str, int, int]]:
    (loss,) = losses_of(case)
    return [(word.node, word.reason, word.packets, word.lost) for word in match_kernel_drops(case, loss)]


def test_a_drop_right_after_each_packet_is_its_own() -> None:
    case = _case(20, _drops(_after(20)))
    assert _said(case) == [(A, "NETFILTER_DROP", 20, 20)]
    finding = diagnose(case)[0]
    texts = [proof.text for proof in finding.evidence if proof.kind is EvidenceKind.KERNEL]
    said = f"the kernel of {A} dropped one for NETFILTER_DROP in nft_do_chain within 11 ms of each of 20 packets being seen last"
    assert texts == [
        f"{said}: a packet filter rule or a chain's policy dropped or rejected it, on the node or in a pod's own network namespace"
    ]


def test_single_packets_suffice_where_the_kernel_drops_nothing_else() -> None:
    assert _said(_case(1, _drops(_after(1)))) == [(A, "NETFILTER_DROP", 1, 1)]


@pytest.mark.parametrize(
    "drops",
    [
        pytest.param((), id="nothing"),
        pytest.param(_drops(_after(20), node=B), id="another node"),
        pytest.param(_drops([time_ns - 60 * _MS for time_ns in _after(20)]), id="before the packets"),
        pytest.param(_drops(_after(20, late_ns=60 * _MS)), id="too late"),
        pytest.param(_drops(_after(15)), id="not enough"),
        pytest.param(_drops(_after(20)[:1] * 40), id="all at one packet"),
        pytest.param(_drops(_after(20), reason="NO_SOCKET", location="ping_rcv"), id="a socket's, of a packet that was to be forwarded"),
        pytest.param(_drops(range(START_NS, START_NS + 15 * SECOND_NS, 4 * _MS)), id="a node that always drops something"),
    ],
)
def test_what_is_no_word_on_these_packets(drops: tuple[KernelDrop, ...]) -> None:
    assert _said(_case(20, drops)) == []


def test_a_single_packet_may_coincide_with_what_a_busy_kernel_drops() -> None:
    others = [START_NS + 5 * SECOND_NS + number * 300 * _MS for number in range(20)]
    assert _said(_case(1, _drops([*_after(1), *others]))) == []
    assert _said(_case(20, _drops([*_after(20), *(others[-1] + number * 100 * _MS for number in range(5))]))) != []


def test_a_rule_on_a_node_says_nothing_of_the_wire() -> None:
    """Two nodes of a test machine share a kernel, which logs a drop on the wire between them for both."""
    assert _said(_case(20, _drops(_after(20)), reach=3)) == []
    assert _said(_case(20, _drops(_after(20), reason="FULL_RING", location="veth_xmit"), reach=3)) == [(A, "FULL_RING", 20, 20)]


def test_the_receivers_clock_is_taken_into_account() -> None:
    drops = _drops(_after(20, late_ns=SECOND_NS), node=B, reason="XDP", location="do_xdp_generic")
    case = _case(20, drops, reach=3)
    bound = ClockBound(reference=A, node=B, offset_ns=OffsetBound(low=SECOND_NS - _MS, high=SECOND_NS + _MS), samples=9)
    assert _said(case) == []
    assert _said(replace(case, clocks=(bound,))) == [(B, "XDP", 20, 20)]
    turned = ClockBound(reference=B, node=A, offset_ns=OffsetBound(low=-SECOND_NS - _MS, high=-SECOND_NS + _MS), samples=9)
    assert _said(replace(case, clocks=(turned,))) == [(B, "XDP", 20, 20)]
    unbounded = replace(bound, offset_ns=OffsetBound(low=SECOND_NS - _MS, high=None))
    assert _said(replace(case, clocks=(unbounded,))) == []


def _unexplained(count: int, drops: Sequence[KernelDrop]) -> Finding:
    """What is said where no check names a cause: requests that came to the first hop and no further."""
    finding = diagnose(_case(count, drops))[0]
    assert finding.cause == "unknown"
    return finding


@pytest.mark.parametrize(
    ("reason", "location", "words", "look"),
    [
        ("OTHERHOST", "ip_rcv_core", "its destination MAC address is not the one", f"ip -s -s link show dev {POD_A}"),
        ("NOT_SPECIFIED", "nf_queue", "NFQUEUE", "iptables-save -c | grep NFQUEUE"),
        ("IP_LOCAL_SOURCE", "ip_route_input_slow", "its source is an address of this very node", f"ip route get {CLIENT}"),
        ("NEIGH_FAILED", "arp_error_report", "did not answer", f"ip -s neigh show dev {VX}"),
        ("BRAND_NEW", "somewhere_else", "BRAND_NEW in somewhere_else", None),
    ],
)
def test_the_kernels_word_is_what_is_said_where_no_check_knows_better(reason: str, location: str, words: str, look: str | None) -> None:
    finding = _unexplained(20, _drops(_after(20), reason=reason, location=location))
    assert words in finding.summary
    assert reason in finding.summary
    assert location in finding.summary
    assert "nothing that was read" not in finding.summary
    assert look is None or look in (finding.remediation or "")


@pytest.mark.parametrize(
    ("count", "reason", "location"),
    [
        pytest.param(20, "DUP_FRAG", "ip_frag_queue", id="no loss"),
        pytest.param(20, "NOT_SPECIFIED", "somewhere", id="no word"),
        pytest.param(2, "OTHERHOST", "ip_rcv_core", id="two that a healthy node has as well"),
    ],
)
def test_what_tells_nothing_is_not_taken_for_a_word(count: int, reason: str, location: str) -> None:
    finding = _unexplained(count, _drops(_after(count), reason=reason, location=location))
    assert "nothing that was read" in finding.summary


def test_a_cause_that_follows_from_the_word_alone_is_named() -> None:
    finding = diagnose(_case(20, _drops(_after(20), reason="IP_INADDRERRORS", location="ip_forward")))[0]
    assert (finding.cause, finding.confidence) == ("ip-forward-off", Confidence.LIKELY)
    assert f"net.ipv4.conf.{POD_A}.forwarding" in (finding.remediation or "")


@pytest.mark.parametrize(("end", "marked"), [(2, True), (None, True)])
def test_what_the_kernel_admits_is_dropped(end: int | None, marked: bool) -> None:
    case = World(requests=(lost(20, 1, end),), replies=None).case()
    words = _drops(_after(20), reason="OTHERHOST", location="ip_rcv_core")
    case = replace(case, recording=replace(case.recording, duration_s=15.0, kernel_drops=words))
    assert [mask.all() for mask in dropped_packets(case, diagnose(case))] == [marked]


def test_what_came_to_the_server_is_not_dropped_for_its_answer_may_have_been() -> None:
    case = World(requests=(Fate(count=20),), replies=()).case()
    words = _drops(_after(20), node=B, reason="NETFILTER_DROP")
    case = replace(case, recording=replace(case.recording, duration_s=15.0, kernel_drops=words))
    assert [mask.any() for mask in dropped_packets(case, diagnose(case))] == [False, False]
