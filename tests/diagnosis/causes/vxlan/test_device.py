"""vxlan-port-mismatch, vni-mismatch, vxlan-device-down."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import Link, NodeFacts, Route, RouteLookup, RoutingRule, VxlanDevice
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Overlay, Tap
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_paths
from tests.diagnosis.frames import icmp
from tests.diagnosis.nodes import facts, rule, ruled
from tests.diagnosis.places import CLIENT, NIC_A, NIC_B, POD_A, SERVER, TAPS, VTEP_B, VX, A, B

LOST = replace(HEALTHY, requests=(lost(24, 4, 5),), replies=())


def device(*, vni: int = 4096, port: int = 4789, up: bool = True, external: bool = False) -> Link:
    return Link(name=VX, index=7, kind="vxlan", up=up, vxlan=VxlanDevice(vni=vni, port=port, external=external))


def at_b(made: Link | None, *, counters: dict[str, int] | None = None, vx: dict[str, int] | None = None) -> World:
    """The world with another VXLAN device on the receiver; None: it has none."""
    looks = (facts(B, device=made), facts(B, later=True, device=made, counters=counters, vx=vx))
    if made is None:
        looks = (without_device(looks[0]), without_device(looks[1]))
    return replace(LOST, before=(facts(A), looks[0]), after=(facts(A, later=True), looks[1]))


def without_device(look: NodeFacts) -> NodeFacts:
    return replace(look, links=tuple(link for link in look.links if link.name != VX))


@pytest.mark.parametrize(
    ("world", "cause", "confidence", "admitted"),
    [
        pytest.param(at_b(device(port=4790), counters={"Udp.NoPorts": 24}), "vxlan-port-mismatch", Confidence.CERTAIN, 24, id="port"),
        pytest.param(at_b(device(port=4790), counters={"Udp.NoPorts": 9}), "vxlan-port-mismatch", Confidence.POSSIBLE, 0, id="port, fewer"),
        pytest.param(replace(at_b(device(port=4790)), before=()), "vxlan-port-mismatch", Confidence.LIKELY, 0, id="port, one look"),
        pytest.param(at_b(device(vni=4097), counters={"Udp.InDatagrams": 24}), "vni-mismatch", Confidence.CERTAIN, 0, id="VNI"),
        pytest.param(at_b(device(vni=4097), counters={"Udp.InDatagrams": 3}), "vni-mismatch", Confidence.POSSIBLE, 0, id="VNI, fewer"),
        pytest.param(replace(at_b(device(vni=4097)), before=()), "vni-mismatch", Confidence.LIKELY, 0, id="VNI, one look"),
        pytest.param(at_b(device(up=False), counters={"Udp.NoPorts": 30}), "vxlan-device-down", Confidence.CERTAIN, 24, id="down"),
        pytest.param(at_b(None, counters={"Udp.NoPorts": 24}), "vxlan-device-down", Confidence.CERTAIN, 24, id="absent"),
        pytest.param(replace(at_b(device(up=False)), before=()), "vxlan-device-down", Confidence.LIKELY, 0, id="down, one look"),
        pytest.param(
            replace(at_b(device(port=4790, vni=4097), counters={"Udp.NoPorts": 24})),
            "vxlan-port-mismatch",
            Confidence.CERTAIN,
            24,
            id="port and VNI: the port is met first",
        ),
        pytest.param(
            replace(at_b(device(vni=4097), counters={"Udp.InDatagrams": 24}), status=CaptureStatus.PRESUMED),
            "vni-mismatch",
            Confidence.LIKELY,
            0,
            id="VNI, files by hand",
        ),
    ],
)
def test_a_device_that_does_not_listen_to_the_frames(world: World, cause: str, confidence: Confidence, admitted: int) -> None:
    case = world.case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence, findings[0].leg) == (cause, confidence, Leg(from_=4, to=5))
    assert any(proof.kind is EvidenceKind.CONFIG for proof in findings[0].evidence)
    assert dropped_packets(case, findings)[0].sum() == admitted


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(
            at_b(device(), counters={"Udp.NoPorts": 24, "Udp.InDatagrams": 24}), id="same port and VNI: bare counters name nothing"
        ),
        pytest.param(at_b(device(external=True, vni=1)), id="metadata mode has no VNI of its own"),
        pytest.param(replace(at_b(device(port=4790)), requests=(lost(24, 5, 6),)), id="lost behind the device"),
        pytest.param(replace(LOST, before=(), after=()), id="nothing known but a healthy overlay"),
        pytest.param(replace(LOST, before=(replace(facts(B), links=(), absent={"links": "timeout"}),), after=()), id="links were not read"),
    ],
)
def test_near_misses_are_not_named(world: World) -> None:
    found = diagnose(world.case())[0]
    assert found.cause == "unknown"
    assert found.confidence is Confidence.POSSIBLE


def test_another_device_with_the_vni_takes_the_packets() -> None:
    world = at_b(device(vni=4097), counters={"Udp.InDatagrams": 24})
    second = Link(name="vxlan2", index=9, vxlan=VxlanDevice(vni=4096, port=4789))
    both = replace(world, after=(world.after[0], replace(world.after[1], links=(*world.after[1].links, second))))
    assert diagnose(both.case())[0].cause == "unknown"


def test_a_device_whose_name_nobody_knows_is_not_called_absent() -> None:
    case = LOST.case()
    hops = tuple(replace(hop, tap=replace(hop.tap, interface="")) if hop.hop == 5 else hop for hop in case.paths[0].path.hops)
    assert diagnose(with_paths(case, path=(replace(case.paths[0].path, hops=hops), case.paths[1].path)))[0].cause == "unknown"


def test_port_unreachable_is_cited() -> None:
    world = at_b(device(port=4790), counters={"Udp.NoPorts": 24})
    asked = world.frame(Direction.REQUEST, 3, 40000, Fate())
    found = diagnose(replace(world, extra={4: (icmp(NIC_B, 3, asked, inner=True),)}).case())[0]
    cited = [proof for proof in found.evidence if "ICMP 3/3 from 10.128.0.95" in proof.text]
    assert [(ref.capture, ref.frame) for proof in cited for ref in proof.frames] == [(4, 1)]


def test_a_firewall_that_dropped_all_comes_before_a_vni_that_would_hurt_next() -> None:
    before, after = ruled(B, (rule("INPUT", "-p udp --dport 4789 -j DROP", 0), 24))
    links = facts(B, device=device(vni=4097)).links
    both = replace(
        LOST,
        before=(before[0], replace(before[1], links=links)),
        after=(after[0], replace(after[1], links=links)),
    )
    findings = diagnose(both.case())
    assert [(found.cause, found.severity) for found in findings] == [
        ("host-firewall", Severity.ERROR),
        ("vni-mismatch", Severity.WARNING),
    ]


def test_each_direction_of_a_mismatch_has_its_own_finding() -> None:
    """The odd port of B: requests die at B; what B sends on its own port would die at A."""
    world = at_b(device(port=4790), counters={"Udp.NoPorts": 24})
    replies = replace(world, requests=(Fate(count=24),), replies=(lost(24, 4, 5),), port=4790)
    after = facts(A, later=True, counters={"Udp.NoPorts": 24})
    found = diagnose(replace(replies, after=(after, world.after[1])).case())[0]
    assert (found.cause, found.direction, found.confidence) == ("vxlan-port-mismatch", Direction.REPLY, Confidence.CERTAIN)
    assert "ada-ec-1 listens on 4789" in found.summary


def test_a_device_that_is_down_on_the_sender() -> None:
    down = device(up=False)
    first = facts(A, device=down)
    looks = (
        replace(first, counters={**first.counters, "IpExt.InNoRoutes": 0}),
        facts(A, later=True, device=down, counters={"IpExt.InNoRoutes": 24}),
    )
    world = replace(HEALTHY, requests=(lost(24, 1, 2),), replies=(), before=(looks[0], facts(B)), after=(looks[1], facts(B)))
    found = diagnose(world.case())[0]
    assert (found.cause, found.confidence) == ("vxlan-device-down", Confidence.CERTAIN)


def test_without_facts_the_overlay_of_the_plan_names_the_device() -> None:
    case = replace(LOST, before=(), after=()).case()
    odd = Overlay(vteps=tuple(replace(end, vni=7) if end.node == B else end for end in case.recording.overlay.vteps))
    found = diagnose(replace(case, recording=replace(case.recording, overlay=odd)))[0]
    assert (found.cause, found.confidence) == ("vni-mismatch", Confidence.LIKELY)


@pytest.mark.parametrize(
    ("made", "counter", "cause"),
    [
        pytest.param(device(port=4790), "Udp6NoPorts", "vxlan-port-mismatch", id="port"),
        pytest.param(device(vni=4097), "Udp6InDatagrams", "vni-mismatch", id="VNI"),
        pytest.param(device(up=False), "Udp6NoPorts", "vxlan-device-down", id="down"),
    ],
)
def test_over_ipv6_the_kernel_counts_under_other_names(made: Link, counter: str, cause: str) -> None:
    looks = [facts(B, later=growth > 0, device=made, counters={counter: growth}) for growth in (0, 24)]
    world = replace(LOST, outer_destination="fd00::95", before=(facts(A), looks[0]), after=(facts(A, later=True), looks[1]))
    finding = diagnose(world.case())[0]
    assert (finding.cause, finding.confidence) == (cause, Confidence.CERTAIN)
    assert any(f"{counter} of {B} grew by 24" in proof.text for proof in finding.evidence)


OLD = Link(name="flannel.1", index=9, kind="vxlan", vxlan=VxlanDevice(vni=1, port=8472, local=NIC_A))
BLOCK = Route(destination="10.244.56.128/26", gateway=VTEP_B, device=VX)
NARROW = Route(destination="10.244.56.128/27", gateway="10.42.2.0", device="flannel.1")
ELSEWHERE = Route(destination="10.244.106.64/26", gateway="10.244.106.64", device=VX)


def by_the_old_device(*routes: Route, carried: tuple[int, int] = (1, 8472), second: Link | None = None, rules: bool = False) -> World:
    """The sender's route leads to a second VXLAN device, whose packets the receiver does not hear."""
    vni, port = carried
    looks = []
    for later in (False, True):
        look = facts(A, later=later)
        made = replace(OLD, vxlan=VxlanDevice(vni=vni, port=port, local=NIC_A))
        own = replace(look.links[1], vxlan=second.vxlan) if second is not None else look.links[1]
        table = "7" if rules else None
        answer = RouteLookup(destination=SERVER, source=CLIENT, input=POD_A, gateway="10.42.2.0", device="flannel.1", table=table)
        asked = (RoutingRule(priority=500, source=CLIENT, table="7", text=f"from {CLIENT} lookup 7"),) if rules else ()
        links = (look.links[0], own, made, look.links[2])
        looks.append(replace(look, links=links, routes=routes, lookups=(answer, *look.lookups[1:]), routing_rules=asked))
    grown = {"Udp.NoPorts": 24, "Udp.InDatagrams": 24}
    receivers = facts(B), facts(B, later=True, counters=grown)
    return replace(LOST, vni=vni, port=port, before=(looks[0], receivers[0]), after=(looks[1], receivers[1]))


def of_the_old_device(world: World) -> Case:
    """The case of that world, whose requests leave by the second device."""
    case = world.case()
    old = Tap(node=A, interface="flannel.1")
    hops = tuple(replace(hop, tap=old) if hop.hop == 2 else hop for hop in case.paths[0].path.hops)
    paths = (replace(case.paths[0].path, hops=hops), case.paths[1].path)
    return with_paths(replace(case, tables={**case.tables, old: case.tables[TAPS[1]]}), path=paths)


@pytest.mark.parametrize(
    ("world", "reason", "fix", "dropped"),
    [
        pytest.param(
            by_the_old_device(BLOCK, NARROW),
            "route 10.244.56.128/27 via 10.42.2.0 dev flannel.1",
            "ip route del 10.244.56.128/27 via 10.42.2.0 dev flannel.1",
            24,
            id="a narrower line",
        ),
        pytest.param(
            by_the_old_device(ELSEWHERE, NARROW),
            "route 10.244.56.128/27 via 10.42.2.0 dev flannel.1",
            "until then: ip route replace 10.244.56.128/27 via 10.244.56.128 dev vxlan.calico onlink",
            24,
            id="the only line",
        ),
        pytest.param(
            by_the_old_device(BLOCK, NARROW, carried=(7, 4789)),
            "route 10.244.56.128/27 via 10.42.2.0 dev flannel.1",
            "ip route del 10.244.56.128/27 via 10.42.2.0 dev flannel.1",
            0,
            id="another VNI on the same port",
        ),
        pytest.param(
            by_the_old_device(BLOCK, replace(NARROW, table="7"), rules=True),
            f"ip rule 500: from {CLIENT} lookup 7",
            f"ip rule add to {SERVER} lookup main pref 499",
            24,
            id="a rule",
        ),
    ],
)
def test_a_route_to_another_device_of_the_sender_is_no_mismatch_of_the_network(world: World, reason: str, fix: str, dropped: int) -> None:
    case = of_the_old_device(world)
    findings = diagnose(case)
    found = findings[0]
    assert (found.cause, found.confidence, found.leg) == ("policy-route", Confidence.CERTAIN, Leg(from_=4, to=5))
    assert found.summary.startswith("ada-ec-1 sends 24 requests for 10.244.56.129 by flannel.1, which ada-ec-2 does not hear")
    assert found.summary.endswith(reason)
    assert fix in (found.remediation or "")
    assert "same port" not in (found.remediation or "")
    assert any(
        "has another VXLAN device, vxlan.calico, with the port and the VNI of the receiver" in proof.text for proof in found.evidence
    )
    assert dropped_packets(case, findings)[0].sum() == dropped


def test_where_no_route_leads_to_the_fitting_device_no_setting_is_to_be_changed() -> None:
    found = diagnose(of_the_old_device(by_the_old_device(NARROW)))[0]
    assert (found.cause, found.confidence) == ("vxlan-port-mismatch", Confidence.LIKELY)
    assert "which of the two networks is meant" in (found.remediation or "")
    assert "Give all nodes" not in (found.remediation or "")


@pytest.mark.parametrize(
    ("world", "cause"),
    [
        pytest.param(by_the_old_device(BLOCK, NARROW, second=device(vni=4097)), "vxlan-port-mismatch", id="a device with another VNI"),
        pytest.param(by_the_old_device(BLOCK, NARROW, second=device(port=4790)), "vxlan-port-mismatch", id="a device with another port"),
        pytest.param(by_the_old_device(BLOCK, NARROW, second=device(external=True)), "vxlan-port-mismatch", id="metadata mode"),
    ],
)
def test_a_device_that_the_receiver_does_not_hear_either_makes_no_route_wrong(world: World, cause: str) -> None:
    found = diagnose(of_the_old_device(world))[0]
    assert (found.cause, found.confidence) == (cause, Confidence.CERTAIN)
    assert "Give all nodes the same port" in (found.remediation or "")
