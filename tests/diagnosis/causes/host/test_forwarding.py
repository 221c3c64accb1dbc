"""ip-forward-off, rp-filter."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC, NIC_A, VX, A, B

FORWARD, VX_FORWARD = "net.ipv4.ip_forward", "net.ipv4.conf.vxlan/calico.forwarding"
ALL, VX_FILTER, NIC_FILTER = "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.vxlan/calico.rp_filter", "net.ipv4.conf.ens4.rp_filter"
IN_ADDRESS, FILTERED = "Ip.InAddrErrors", "TcpExt.IPReversePathFilter"
ON = {FORWARD: "1", VX_FORWARD: "1", ALL: "0", VX_FILTER: "0", NIC_FILTER: "0"}


def set_to(
    settings: Mapping[str, str], growth: Mapping[str, int], *lookups: RouteLookup, leg: tuple[int, int] = (5, 6), node: str = B
) -> World:
    """24 requests lost at `leg`; `node` has these settings, growths of counters, and answers in place of its healthy ones."""

    def told(look: NodeFacts, more: Mapping[str, int]) -> NodeFacts:
        kept = tuple(one for one in look.lookups if one.destination not in {lookup.destination for lookup in lookups})
        return replace(
            look, sysctls={**ON, **settings}, lookups=(*lookups, *kept), counters={IN_ADDRESS: 7, FILTERED: 9, **look.counters, **more}
        )

    looks = [
        told(look, more) if name == node else look
        for name in (A, B)
        for look, more in (
            (facts(name), {}),
            (facts(name, later=True), {key: {IN_ADDRESS: 7, FILTERED: 9}[key] + more for key, more in growth.items()}),
        )
    ]
    return replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=tuple(looks[::2]), after=tuple(looks[1::2]))


def best(world: World) -> Finding:
    return next(finding for finding in diagnose(world.case()) if finding.severity is Severity.ERROR)


@pytest.mark.parametrize("setting", [FORWARD, VX_FORWARD])
def test_a_node_that_does_not_forward(setting: str) -> None:
    world = set_to({setting: "0"}, {IN_ADDRESS: 24})
    found = best(world)
    assert (found.cause, found.confidence, found.leg) == ("ip-forward-off", Confidence.CERTAIN, Leg(from_=5, to=6))
    assert {EvidenceKind.CONFIG, EvidenceKind.COUNTER} <= {one.kind for one in found.evidence}
    assert found.remediation is not None
    assert f"sysctl -w {setting}=1" in found.remediation
    assert dropped_packets(world.case(), diagnose(world.case()))[0].sum() == 24


@pytest.mark.parametrize(
    ("world", "cause", "confidence"),
    [
        pytest.param(set_to({}, {IN_ADDRESS: 24}), "unknown", Confidence.POSSIBLE, id="forwarding is on"),
        pytest.param(set_to({FORWARD: "0"}, {}), "unknown", Confidence.POSSIBLE, id="nothing was counted"),
        pytest.param(set_to({FORWARD: "0"}, {IN_ADDRESS: 3}), "ip-forward-off", Confidence.POSSIBLE, id="too little was counted"),
        pytest.param(set_to({FORWARD: "0"}, {IN_ADDRESS: 24}, node=A), "unknown", Confidence.POSSIBLE, id="another node"),
        pytest.param(
            set_to({FORWARD: "0"}, {IN_ADDRESS: 24}, leg=(4, 5)), "unknown", Confidence.POSSIBLE, id="the outer packet is for the node"
        ),
        pytest.param(
            set_to({"net.ipv4.conf.ens4.forwarding": "0"}, {IN_ADDRESS: 24}), "unknown", Confidence.POSSIBLE, id="another interface"
        ),
    ],
)
def test_near_misses_of_forwarding(world: World, cause: str, confidence: Confidence) -> None:
    found = best(world)
    assert (found.cause, found.confidence) == (cause, confidence)


ELSEWHERE = RouteLookup(destination=CLIENT, gateway=NIC_A, device=NIC)
NOWHERE = RouteLookup(destination=CLIENT, error="Network is unreachable")


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(set_to({VX_FILTER: "1"}, {FILTERED: 24}, ELSEWHERE), id="strict on the interface"),
        pytest.param(set_to({ALL: "1"}, {FILTERED: 24}, ELSEWHERE), id="strict for all"),
        pytest.param(set_to({ALL: "2"}, {FILTERED: 24}, NOWHERE), id="loose, and no way back at all"),
    ],
)
def test_the_reverse_path_filter(world: World) -> None:
    found = best(world)
    assert (found.cause, found.confidence, found.packets) == ("rp-filter", Confidence.CERTAIN, 24)
    assert any("the way back" in one.text for one in found.evidence)
    assert dropped_packets(world.case(), diagnose(world.case()))[0].sum() == 24


@pytest.mark.parametrize(
    ("world", "cause", "confidence"),
    [
        pytest.param(set_to({}, {FILTERED: 24}, ELSEWHERE), "unknown", Confidence.POSSIBLE, id="the filter is off"),
        pytest.param(set_to({VX_FILTER: "1"}, {}, ELSEWHERE), "unknown", Confidence.POSSIBLE, id="nothing was counted"),
        pytest.param(set_to({VX_FILTER: "1"}, {FILTERED: 24}), "rp-filter", Confidence.LIKELY, id="the way back is the way they came"),
        pytest.param(set_to({ALL: "2"}, {FILTERED: 24}, ELSEWHERE), "rp-filter", Confidence.LIKELY, id="loose, and there is a way back"),
        pytest.param(set_to({VX_FILTER: "1"}, {FILTERED: 5}, ELSEWHERE), "rp-filter", Confidence.POSSIBLE, id="too little was counted"),
        pytest.param(set_to({VX_FILTER: "1"}, {FILTERED: 24}, ELSEWHERE, node=A), "unknown", Confidence.POSSIBLE, id="another node"),
        pytest.param(set_to({NIC_FILTER: "1"}, {FILTERED: 24}, ELSEWHERE), "unknown", Confidence.POSSIBLE, id="another interface's"),
    ],
)
def test_near_misses_of_the_reverse_path_filter(world: World, cause: str, confidence: Confidence) -> None:
    found = best(world)
    assert (found.cause, found.confidence) == (cause, confidence)


def test_the_outer_packet_meets_the_filter_of_the_nic() -> None:
    back = RouteLookup(destination=NIC_A, gateway="10.9.9.1", device="eth9")
    found = best(set_to({NIC_FILTER: "1"}, {FILTERED: 24}, back, leg=(4, 5)))
    assert (found.cause, found.confidence) == ("rp-filter", Confidence.CERTAIN)
    assert found.summary.endswith(f"packets from {NIC_A} that come in on {NIC}")
    assert VX not in found.summary


def test_packets_that_were_lost_on_the_wire_met_no_filter() -> None:
    assert best(set_to({VX_FILTER: "1"}, {FILTERED: 24}, ELSEWHERE, leg=(3, 4))).cause == "underlay-udp-blocked"
