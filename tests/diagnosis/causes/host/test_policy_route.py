"""policy-route: rules and narrower routes that take packets past the peer, the tunnel, or both."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.host import policy_route
from kubectl_vxtrace.diagnosis.report.verdict import conclude, exit_code
from kubectl_vxtrace.errors import ExitCode
from kubectl_vxtrace.model.facts import KernelDrop, Link, NodeFacts, Route, RouteLookup, RoutingRule, VxlanDevice, WireguardPeer
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Endpoint, Role
from kubectl_vxtrace.model.report import Confidence, HopCount, Impact, Leg, Severity, Verdict
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, lost, sent_to, with_flow, with_paths
from tests.diagnosis.frames import Frame, icmp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC, NIC_A, NIC_B, POD_A, SERVER, VTEP_B, VX, A, B

GATEWAY, GATEWAY_MAC, NIC_A_MAC, NIC_B_MAC = "10.128.0.1", "16:22:61:57:99:14", "42:01:0a:80:00:48", "42:01:0a:80:00:5f"
RULE = RoutingRule(priority=30400, source=NIC_A, table="30400", text=f"from {NIC_A} lookup 30400")
LINE = Route(destination="default", gateway=GATEWAY, device=NIC, table="30400")
ASKED = RouteLookup(destination=NIC_B, source=NIC_A, gateway=GATEWAY, device=NIC, table="30400", protocol="UDP", port=4789, output=NIC)
TO_GATEWAY = {Direction.REQUEST: (NIC_A_MAC, GATEWAY_MAC), Direction.REPLY: (NIC_B_MAC, NIC_A_MAC)}
TO_PEER = {Direction.REQUEST: (NIC_A_MAC, NIC_B_MAC), Direction.REPLY: (NIC_B_MAC, NIC_A_MAC)}


def told(look: NodeFacts, *, answer: RouteLookup = ASKED, prefix: str = f"{NIC_A}/24", **changes: Any) -> NodeFacts:
    """A look at the sender whose rules send encapsulated packets to the gateway."""
    if look.node != A:
        return look
    links = tuple(replace(link, prefixes=(prefix,)) if link.name == NIC else link for link in look.links)
    return replace(look, links=links, **({"outer_lookups": (answer,), "routing_rules": (RULE,), "routes": (LINE,)} | changes))


def gone(
    *,
    ethernet: dict[Direction, tuple[str, str]] | None = None,
    requests: tuple[Fate, ...] = (lost(24, 3, 4),),
    extra: Mapping[int, tuple[Frame, ...]] | None = None,
    **said: Any,
) -> Case:
    """Encapsulated requests that end behind the sender's NIC, while replies to others of them came."""
    looks = [tuple(told(facts(node, later=later), **said) for node in (A, B)) for later in (False, True)]
    world = replace(HEALTHY, requests=requests, before=looks[0], after=looks[1], ethernet=TO_GATEWAY if ethernet is None else ethernet)
    return replace(world, extra=extra or {}).case()


def test_encapsulated_packets_for_a_peer_on_the_same_link_go_to_the_gateway() -> None:
    (found,) = diagnose(gone())
    assert (found.cause, found.confidence, found.leg, found.packets) == ("policy-route", Confidence.CERTAIN, Leg(from_=3, to=4), 24)
    assert f"ip rule 30400: from {NIC_A} lookup 30400" in found.summary
    assert found.remediation is not None
    assert f"ip rule del pref 30400 from {NIC_A} lookup 30400" in found.remediation
    assert f"ip rule add to {NIC_B} lookup main pref 30399" in found.remediation
    texts = [proof.text for proof in found.evidence]
    assert f"the line behind that: default via {GATEWAY} dev {NIC} table 30400" in texts
    assert any(GATEWAY_MAC in text and NIC_B_MAC in text for text in texts)


@pytest.mark.parametrize(
    ("case", "confidence"),
    [
        pytest.param(gone(ethernet={}), Confidence.LIKELY, id="the link has no MAC addresses"),
        pytest.param(gone(ethernet={Direction.REQUEST: (NIC_A_MAC, GATEWAY_MAC)}), Confidence.LIKELY, id="no frame of the peer's"),
        pytest.param(
            gone(outer_lookups=(), lookups=(replace(ASKED, protocol=None, port=None, output=None),)), Confidence.CERTAIN, id="older look"
        ),
        pytest.param(gone(routing_rules=()), Confidence.CERTAIN, id="the rule was not read"),
    ],
)
def test_how_sure_it_is(case: Case, confidence: Confidence) -> None:
    (found,) = asked(case, policy_route)
    assert (found.cause, found.confidence) == ("policy-route", confidence)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(gone(answer=replace(ASKED, gateway=None, table=None)), id="the peer is reached directly"),
        pytest.param(gone(prefix=f"{NIC_A}/32"), id="a cloud's machine, on no link with anybody"),
        pytest.param(gone(prefix="10.127.0.72/24"), id="the peer is in another network"),
        pytest.param(gone(ethernet=TO_PEER), id="the frames are for the peer's own MAC address"),
        pytest.param(gone(answer=replace(ASKED, mark="0x10")), id="only marked packets go there"),
        pytest.param(gone(requests=(lost(12, 3, 4), Fate(count=12))), id="others of that way arrive"),
    ],
)
def test_what_looks_like_it(case: Case) -> None:
    assert [found.cause for found in asked(case, policy_route)] == []
    assert diagnose(case)[0].cause in ("underlay-udp-blocked", "underlay-loss")


def test_a_router_that_says_why_it_dropped_them_knows_better() -> None:
    quoted = HEALTHY.frame(Direction.REQUEST, 2, 40000, Fate())
    found = diagnose(gone(extra={3: (icmp(GATEWAY, 0, quoted, type_=11, inner=True),)}))
    assert [finding.cause for finding in found] == ["outer-ttl-expired"]


BRIDGE = Link(name="docker0", index=9, kind="bridge", prefixes=("10.244.56.158/27",), addresses=("10.244.56.158",))
OVERLAY_LINE = Route(destination="10.244.56.128/26", gateway=VTEP_B, device=VX)
BRIDGE_LINE = Route(destination="10.244.56.128/27", device="docker0", protocol="kernel", scope="link")
BY_BRIDGE = RouteLookup(destination=SERVER, source=CLIENT, input=POD_A, device="docker0")


def diverted(answer: RouteLookup, lines: tuple[Route, ...], rules: tuple[RoutingRule, ...] = ()) -> Case:
    """Requests that end between the client's pod and the VXLAN device, with what the client's node says of their way."""

    def changed(look: NodeFacts) -> NodeFacts:
        if look.node != A:
            own = Route(destination="10.244.56.128/26", type="blackhole")
            return replace(look, routes=(own,))
        others = tuple(lookup for lookup in look.lookups if lookup.destination != SERVER)
        return replace(look, links=(*look.links, BRIDGE), routes=lines, routing_rules=rules, lookups=(answer, *others))

    looks = [tuple(changed(facts(node, later=later)) for node in (A, B)) for later in (False, True)]
    return replace(HEALTHY, requests=(lost(24, 1, 2),), replies=(), before=looks[0], after=looks[1]).case()


def test_a_foreign_bridge_takes_the_pods_addresses() -> None:
    (found,) = diagnose(diverted(BY_BRIDGE, (BRIDGE_LINE, OVERLAY_LINE)))
    assert (found.cause, found.confidence, found.leg) == ("policy-route", Confidence.LIKELY, Leg(from_=1, to=2))
    assert "docker0" in found.summary
    assert found.remediation is not None
    assert "ip addr del 10.244.56.158/27 dev docker0" in found.remediation
    assert "drain" not in found.remediation


def test_a_rule_for_the_pods_takes_them_to_another_table() -> None:
    rule = RoutingRule(priority=100, source="10.244.0.0/16", table="100", text="from 10.244.0.0/16 lookup 100")
    answer = RouteLookup(destination=SERVER, source=CLIENT, input=POD_A, gateway=GATEWAY, device=NIC, table="100")
    (found,) = diagnose(diverted(answer, (replace(LINE, table="100"), OVERLAY_LINE), (rule,)))
    assert found.cause == "policy-route"
    assert found.remediation is not None
    assert "ip rule del pref 100 from 10.244.0.0/16 lookup 100" in found.remediation


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(diverted(BY_BRIDGE, (BRIDGE_LINE,)), id="no line of the overlay's is there"),
        pytest.param(diverted(replace(BY_BRIDGE, device=NIC, gateway=GATEWAY), (replace(LINE, table=None),)), id="the default route"),
    ],
)
def test_where_the_overlays_own_route_is_gone_it_is_missing(case: Case) -> None:
    assert diagnose(case)[0].cause == "route-missing"


def test_the_networks_own_encryption_is_no_diversion() -> None:
    """Calico's rule leads packets for pods to the table of its WireGuard device."""
    answer = replace(BY_BRIDGE, device="wireguard.cali", table="1")
    case = diverted(answer, (replace(BRIDGE_LINE, device="wireguard.cali", table="1"), OVERLAY_LINE))
    link = Link(name="wireguard.cali", index=12, kind="wireguard")
    peer = WireguardPeer(device="wireguard.cali", public_key="K", allowed=("10.244.56.128/26",))
    looks = [
        tuple(replace(look, links=(*look.links, link), wireguard=(peer,)) for look in told)
        for told in (case.recording.before, case.recording.after)
    ]
    case = replace(case, recording=replace(case.recording, before=looks[0], after=looks[1]))
    assert "policy-route" not in [found.cause for found in diagnose(case)]


REFUSED = RouteLookup(destination=NIC_B, source=NIC_A, error="RTNETLINK answers: Permission denied", protocol="UDP", port=4789, output=NIC)
PROHIBITING = RoutingRule(priority=77, destination="10.128.0.0/24", action="prohibit", text="from all to 10.128.0.0/24 prohibit")


def stopped(answer: RouteLookup, rule: RoutingRule = RULE) -> Case:
    """Requests that end between the VXLAN device and the NIC."""
    looks = [tuple(told(facts(node, later=later), answer=answer, routing_rules=(rule,)) for node in (A, B)) for later in (False, True)]
    case = replace(HEALTHY, requests=(lost(24, 2, 3),), replies=(), before=looks[0], after=looks[1]).case()
    return replace(case, paths=sent_to(case, NIC_B))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        pytest.param(stopped(REFUSED, PROHIBITING), "ip rule 77: from all to 10.128.0.0/24 prohibit", id="a rule that prohibits"),
        pytest.param(stopped(replace(ASKED, device="ens5")), f"ip rule 30400: from {NIC_A} lookup 30400", id="by another NIC"),
    ],
)
def test_a_rule_keeps_encapsulated_packets_from_the_nic(case: Case, reason: str) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.confidence, found.leg) == ("policy-route", Confidence.LIKELY, Leg(from_=2, to=3))
    assert reason in found.summary


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(stopped(ASKED), id="the rule leads to the NIC"),
        pytest.param(stopped(REFUSED), id="refused, and the rule is another's"),
        pytest.param(stopped(REFUSED, replace(PROHIBITING, destination="10.9.0.0/16")), id="a rule about other addresses"),
    ],
)
def test_no_rule_keeps_them(case: Case) -> None:
    assert asked(case, policy_route) == []


NO_POD = RoutingRule(
    priority=900, source=CLIENT, destination="10.244.0.0/16", action="prohibit", text=f"from {CLIENT} to 10.244.0.0/16 prohibit"
)
DENIED = RouteLookup(destination=SERVER, source=CLIENT, input=POD_A, error="RTNETLINK answers: Permission denied")
LOCAL, MAIN = (
    RoutingRule(priority=priority, table=table, text=f"from all lookup {table}") for priority, table in ((0, "local"), (32766, "main"))
)
OWN_TABLE = RoutingRule(priority=900, source=CLIENT, table="77", text=f"from {CLIENT} lookup 77")


def refused(
    *rules: RoutingRule,
    asked: RouteLookup | None = DENIED,
    lines: tuple[Route, ...] = (),
    said: tuple[str, str] | None = ("NOT_SPECIFIED", "ip_error"),
) -> Case:
    """Requests that end between the client's pod and the VXLAN device of a node with such rules, and what its kernel said of each."""

    def changed(look: NodeFacts) -> NodeFacts:
        if look.node != A:
            return look
        others = tuple(lookup for lookup in look.lookups if lookup.destination != SERVER)
        own = RouteLookup(destination=SERVER, gateway=VTEP_B, device=VX)
        lookups = (*((asked,) if asked is not None else ()), own, *others)
        return replace(look, routes=(OVERLAY_LINE, *lines), routing_rules=(LOCAL, *rules, MAIN), lookups=lookups)

    looks = [tuple(changed(facts(node, later=later)) for node in (A, B)) for later in (False, True)]
    case = replace(HEALTHY, requests=(lost(24, 1, 2),), replies=(), before=looks[0], after=looks[1]).case()
    if said is None:
        return case
    times = case.tables[case.paths[0].path.hops[0].tap].time_ns
    drops = tuple(KernelDrop(node=A, time_ns=int(time) + 100_000, reason=said[0], location=said[1]) for time in times)
    return replace(case, recording=replace(case.recording, kernel_drops=drops))


@pytest.mark.parametrize(
    ("case", "confidence", "reason"),
    [
        pytest.param(refused(NO_POD), Confidence.CERTAIN, f"ip rule 900: from {CLIENT} to 10.244.0.0/16 prohibit", id="prohibit"),
        pytest.param(refused(NO_POD, said=None), Confidence.LIKELY, "ip rule 900:", id="the kernel says nothing"),
        pytest.param(refused(NO_POD, asked=None, said=None), Confidence.POSSIBLE, "ip rule 900:", id="nothing but the rule"),
        pytest.param(refused(NO_POD, asked=None, said=("IP_INNOROUTES", "ip_route_input_slow")), Confidence.LIKELY, "900:", id="no route"),
        pytest.param(
            refused(OWN_TABLE, lines=(Route(destination="default", type="blackhole", table="77"),)),
            Confidence.CERTAIN,
            f"ip rule 900: from {CLIENT} lookup 77",
            id="a table of its own with a blackhole",
        ),
        pytest.param(refused(replace(NO_POD, protocol="UDP", ports=(53, 53))), Confidence.CERTAIN, "ip rule 900", id="for that port"),
        pytest.param(refused(replace(NO_POD, input=POD_A)), Confidence.CERTAIN, "ip rule 900", id="for that interface"),
    ],
)
def test_a_rule_refuses_what_one_pod_sends(case: Case, confidence: Confidence, reason: str) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.confidence, found.leg, found.packets) == ("policy-route", confidence, Leg(from_=1, to=2), 24)
    assert reason in found.summary
    assert "ip rule del pref 900 from" in (found.remediation or "")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(refused(replace(NO_POD, source="10.244.114.76")), id="another pod's"),
        pytest.param(refused(replace(NO_POD, destination="10.9.0.0/16")), id="to elsewhere"),
        pytest.param(refused(replace(NO_POD, input="eth9")), id="what comes in elsewhere"),
        pytest.param(refused(replace(NO_POD, inverted=True)), id="all but these"),
        pytest.param(refused(replace(NO_POD, mark="0x1")), id="marked packets"),
        pytest.param(refused(replace(NO_POD, ports=(80, 80), protocol="UDP")), id="another port"),
        pytest.param(refused(replace(NO_POD, protocol="TCP")), id="another protocol"),
        pytest.param(refused(replace(NO_POD, priority=40_000)), id="behind a rule that has a way"),
        pytest.param(refused(NO_POD, asked=replace(DENIED, error=None, gateway=VTEP_B, device=VX)), id="the kernel has a way"),
        pytest.param(refused(NO_POD, said=("NETFILTER_DROP", "nft_do_chain")), id="a packet filter took them before"),
        pytest.param(refused(OWN_TABLE, lines=(Route(destination="default", type="throw", table="77"),)), id="a table that hands back"),
        pytest.param(refused(replace(NO_POD, family=6)), id="the other family's"),
    ],
)
def test_rules_that_refuse_something_else(case: Case) -> None:
    assert "policy-route" not in [found.cause for found in diagnose(case)]


def test_a_rule_that_refuses_all_is_no_missing_route() -> None:
    rule = replace(NO_POD, source=None, text="from all to 10.244.0.0/16 prohibit")
    case = refused(rule, asked=None)
    own = RouteLookup(destination=SERVER, error="RTNETLINK answers: Permission denied")
    looks = [
        tuple(replace(look, lookups=(own,)) if look.node == A else look for look in told)
        for told in (case.recording.before, case.recording.after)
    ]
    found = diagnose(replace(case, recording=replace(case.recording, before=looks[0], after=looks[1])))
    assert [one.cause for one in found if one.severity is not Severity.INFO] == ["policy-route"]
    assert "ip rule del pref 900 from all to 10.244.0.0/16 prohibit" in (found[0].remediation or "")
    assert "ip route replace" not in (found[0].remediation or "")


def test_a_line_for_all_is_not_deleted() -> None:
    """Where no rule is known, the default line of the table stays, and a narrower one is put beside it."""
    found = diagnose(gone(routing_rules=()))[0]
    assert found.remediation is not None
    assert f"ip route add {NIC_B} dev {NIC} table 30400" in found.remediation
    assert "del" not in found.remediation


def bypassing(*, host: bool = True, role: Role = Role.UNDERLAY, at: str = A, table: str | None = "500", journeys: bool = False) -> Case:
    """A client in the network of its node, whose requests were seen bare on its NIC and nowhere else."""
    rule = RoutingRule(priority=500, source=NIC_A, table="500", text=f"from {NIC_A} lookup 500")
    answer = RouteLookup(destination=SERVER, source=NIC_A, gateway=GATEWAY, device=NIC, table=table)
    looks = tuple(replace(facts(node), lookups=(answer,), routing_rules=(rule,), routes=(LINE,)) for node in (A, B))
    case = replace(HEALTHY, before=looks, after=looks, requests=(Fate(count=3),) if journeys else (), replies=()).case()
    client = Endpoint(address=NIC_A, pod="kube-system/kube-proxy-1", node=A, host_network=host)
    seen = HopCount(hop=7, role=role, node=at, interface=NIC, capture=3, packets=6, frames=6, expected=False, tuple="bare")
    case = with_flow(case, replace(case.paths[0].flow, client=client))
    return with_paths(case, hops=[(*case.paths[0].hops, seen), case.paths[1].hops])


def test_a_client_in_the_nodes_network_leaves_bare() -> None:
    (found,) = asked(bypassing(), policy_route)
    assert (found.cause, found.severity, found.leg, found.packets) == ("policy-route", Severity.ERROR, Leg(from_=3, to=None), 6)
    assert "ip rule 500" in found.summary


def test_requests_that_left_bare_and_never_came_are_lost() -> None:
    case = bypassing()
    report = conclude(case, diagnose(case))
    assert (report.verdict, report.impact, report.cause) == (Verdict.LOST, Impact.TOTAL, "policy-route")
    assert report.summary == f"LOST, requests were seen away from their path alone: 6 x bare at {A}/{NIC}"
    assert [each.verdict for each in report.flows[0].directions] == [Verdict.LOST, Verdict.NO_TRAFFIC]
    assert exit_code(report) is ExitCode.BROKEN


def test_where_no_rule_is_known_nothing_explains_them() -> None:
    case = bypassing(table=None)
    report = conclude(case, diagnose(case))
    assert (report.verdict, report.cause) == (Verdict.LOST, "unknown")
    assert report.findings[0].summary.startswith("6 requests were seen away from their path alone, and none of them at the server")


def test_whether_they_came_is_unknown_where_the_server_s_interface_is_blind() -> None:
    case = bypassing()
    last = len(case.paths[0].path.hops)
    dark = tuple(replace(count, witness=False, reason="the capture failed") if count.hop == last else count for count in case.paths[0].hops)
    case = with_paths(case, hops=[dark, case.paths[1].hops])
    report = conclude(case, diagnose(case))
    assert report.verdict is Verdict.UNDETERMINED
    assert "ip rule" in (report.remediation or "")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(bypassing(host=False), id="a pod"),
        pytest.param(bypassing(role=Role.VXLAN), id="not on a NIC"),
        pytest.param(bypassing(at=B), id="on the server's node: it has come there"),
        pytest.param(bypassing(journeys=True), id="others of its packets take the tunnel"),
        pytest.param(bypassing(table=None), id="no rule and no line that diverts"),
    ],
)
def test_what_is_no_bypass(case: Case) -> None:
    assert asked(case, policy_route) == []
    assert np.all(case.paths[0].journeys.lost_from == 0)


def test_a_vxlan_device_is_where_a_route_should_lead() -> None:
    """The line of another VXLAN device is none of somebody else's."""
    second = Link(name="vxlan-v2", index=11, kind="vxlan", vxlan=VxlanDevice(vni=7))
    case = diverted(replace(BY_BRIDGE, device="vxlan-v2"), (replace(BRIDGE_LINE, device="vxlan-v2"), OVERLAY_LINE))
    looks = [tuple(replace(look, links=(*look.links, second)) for look in told) for told in (case.recording.before, case.recording.after)]
    case = replace(case, recording=replace(case.recording, before=looks[0], after=looks[1]))
    assert [found.cause for found in diagnose(case) if found.severity is Severity.ERROR] == ["route-missing"]
