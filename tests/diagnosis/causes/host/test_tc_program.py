"""tc-program, and what looks like it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.host import tc_program
from kubectl_vxtrace.model.datapath import TcFilter
from kubectl_vxtrace.model.facts import BpfProgram, KernelDrop, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Finding
from tests.diagnosis.asked import asked
from tests.diagnosis.build import World, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, POD_B, SECOND_NS, START_NS, VX, A, B

LEFTOVER = TcFilter(device=VX, direction="ingress", kind="bpf", name="1,6 0 0 2", direct=True)
FLOWER = TcFilter(device=VX, direction="ingress", kind="flower", actions=("drop",), dropped=40)
BEHIND = TcFilter(device=POD_B, direction="egress", kind="bpf", name="cal_to_wep", direct=True)
CILIUM = BpfProgram(device=VX, hook="tcx/ingress", name="cil_from_overlay")


def case(
    *, filters: Sequence[TcFilter] = (), programs: Sequence[BpfProgram] = (), reason: str | None = None, node: str = B, growth: int = 0
) -> Case:
    """20 requests that came to the receiver's VXLAN device and not to the pod; `reason` is the kernel's of `node`, 2 ms after each."""

    def look(name: str, *, later: bool) -> NodeFacts:
        made = facts(name, later=later)
        if name != B:
            return made
        counted = tuple(
            each if each.dropped is None else replace(each, dropped=each.dropped + (growth if later else 0)) for each in filters
        )
        return replace(made, tc_filters=counted, bpf_programs=tuple(programs))

    before, after = (tuple(look(name, later=later) for name in (A, B)) for later in (False, True))
    made = World(requests=(lost(20, 5, 6),), replies=None, before=before, after=after).case()
    words = tuple(
        KernelDrop(
            node=node, time_ns=START_NS + number * SECOND_NS // 5 + 2_000_000, reason=reason or "", location="__netif_receive_skb_core"
        )
        for number in range(20 if reason is not None else 0)
    )
    return replace(made, recording=replace(made.recording, kernel_drops=words, duration_s=15.0))


def named(found: Case) -> list[tuple[str, Confidence]]:
    return [(finding.cause, finding.confidence) for finding in asked(found, tc_program)]


def only(found: Case) -> Finding:
    (finding,) = asked(found, tc_program)
    return finding


@pytest.mark.parametrize(
    ("found", "confidence"),
    [
        pytest.param(case(filters=(LEFTOVER,), reason="TC_INGRESS"), Confidence.CERTAIN, id="named, and the kernel says so"),
        pytest.param(case(filters=(FLOWER,), growth=20), Confidence.LIKELY, id="the filter counts them"),
        pytest.param(case(filters=(BEHIND,), reason="TC_EGRESS"), Confidence.CERTAIN, id="at egress of the next device"),
        pytest.param(case(programs=(CILIUM,), reason="TC_INGRESS"), Confidence.CERTAIN, id="at tcx"),
        pytest.param(case(reason="TC_INGRESS"), Confidence.LIKELY, id="nothing lists it, and the kernel says so"),
        pytest.param(case(filters=(LEFTOVER,), reason="TC_CHAIN_NOTFOUND"), Confidence.CERTAIN, id="a chain that does not exist"),
    ],
)
def test_a_filter_that_drops(found: Case, confidence: Confidence) -> None:
    assert named(found) == [("tc-program", confidence)]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(case(filters=(LEFTOVER,)), id="a program alone is no finding"),
        pytest.param(case(filters=(FLOWER,), growth=19), id="too few drops"),
        pytest.param(case(filters=(LEFTOVER,), reason="NETFILTER_DROP"), id="a rule dropped them"),
        pytest.param(case(filters=(LEFTOVER,), reason="TC_INGRESS", node=A), id="another node"),
        pytest.param(case(filters=(replace(LEFTOVER, device=NIC),)), id="a device before"),
    ],
)
def test_what_looks_like_it(found: Case) -> None:
    assert named(found) == []


def test_the_reason_says_on_which_side_it_was() -> None:
    finding = only(case(filters=(LEFTOVER,), reason="TC_EGRESS"))
    assert finding.summary == f"a filter or program at tc egress of {B}/{POD_B} dropped 20 requests"
    assert finding.confidence is Confidence.LIKELY


def test_the_summary_names_device_hook_and_program_and_the_remedy_how_to_see_and_remove_it() -> None:
    finding = only(case(filters=(LEFTOVER,), reason="TC_INGRESS"))
    assert finding.summary == f"bpf filter 1,6 0 0 2 at tc ingress of {B}/{VX} dropped 20 requests"
    assert f"tc -s filter show dev {VX} ingress" in (finding.remediation or "")
    assert f"tc qdisc del dev {VX} clsact" in (finding.remediation or "")


def of_network(backend: str, found: Case) -> Case:
    return replace(found, recording=replace(found.recording, overlay=replace(found.recording.overlay, backend=backend)))


@pytest.mark.parametrize(
    ("backend", "found"),
    [
        ("cilium-vxlan", case(programs=(CILIUM,), reason="TC_INGRESS")),
        ("calico-vxlan", case(filters=(BEHIND,), reason="TC_EGRESS")),
    ],
)
def test_the_program_of_the_clusters_own_agent_is_never_taken_away(backend: str, found: Case) -> None:
    finding = only(of_network(backend, found))
    assert " del " not in (finding.remediation or "")
    assert "detach" not in (finding.remediation or "")
    assert any(doubt.startswith("network-policy-drop") for doubt in finding.not_ruled_out)


def test_what_another_network_left_behind_is_no_agents() -> None:
    finding = only(of_network("calico-vxlan", case(programs=(CILIUM,), reason="TC_INGRESS")))
    assert "detach" in (finding.remediation or "")
    assert finding.not_ruled_out == ()


def test_no_cause_of_a_later_stage_is_said_beside_it() -> None:
    """The route of the receiver looks wrong; the packets never came as far as that."""
    found = case(filters=(LEFTOVER,), reason="TC_INGRESS")
    astray = tuple(
        replace(look, lookups=tuple(replace(lookup, device="cilium_host", gateway=None) for lookup in look.lookups))
        for look in found.recording.after
    )
    found = replace(found, recording=replace(found.recording, before=astray, after=astray))
    assert [finding.cause for finding in diagnose(found)] == ["tc-program"]
