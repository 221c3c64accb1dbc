"""The kernel's word beside lost packets: where it fits them, and the near misses where it must not be taken for theirs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import match_kernel_drops
from kubectl_vxtrace.diagnosis.losses import losses_of
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import ClockBound, EvidenceKind, OffsetBound
from tests.diagnosis.build import SECOND_NS, START_NS, A, B, World, lost

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
    assert texts == [f"the kernel of {A} dropped one for NETFILTER_DROP in nft_do_chain within 11 ms of each of 20 packets being seen last"]


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
