"""route-missing, pod-route-missing, duplicate-pod-cidr."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.facts import Link, NodeFacts, Route, RouteLookup
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_flow
from tests.diagnosis.frames import Frame, arp, icmp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC, NIC_A, POD_B, SERVER, VTEP_B, VX, A, B

NO_WAY = "Network is unreachable"
DEFAULT = Route(destination="default", gateway="10.128.0.1", device=NIC)
BLOCK_B = Route(destination="10.244.56.128/26", gateway=VTEP_B, device=VX)
OWN_BLOCK_B = Route(destination="10.244.56.128/26", type="blackhole", protocol="80")
BARE = Frame(source=CLIENT, destination=SERVER, source_port=40000, destination_port=53)


def routed(
    look: NodeFacts, destination: str, *routes: Route, device: str | None = None, gateway: str | None = None, error: str | None = None
) -> NodeFacts:
    """`look`, in which the kernel answers for `destination` with this device and gateway or refuses with this error."""
    lookups = tuple(one for one in look.lookups if one.destination != destination)
    answer = RouteLookup(destination=destination, device=device, gateway=gateway, error=error)
    return replace(look, lookups=(*lookups, answer), routes=routes)


def sender(*, error: str | None = None, device: str | None = None, no_routes: int = 0, routes: tuple[Route, ...] = (DEFAULT,)) -> World:
    """24 requests lost between the client's interface and the VXLAN device, whose node answers so for the server."""
    gateway = "10.128.0.1" if device is not None else None
    before = routed(facts(A), SERVER, *routes, device=device, gateway=gateway, error=error)
    after = routed(
        facts(A, later=True, counters={"IpExt.InNoRoutes": no_routes}), SERVER, *routes, device=device, gateway=gateway, error=error
    )
    before = replace(before, counters={**before.counters, "IpExt.InNoRoutes": 0})
    return replace(HEALTHY, requests=(lost(24, 1, 2),), replies=(), before=(before, facts(B)), after=(after, facts(B, later=True)))


def receiver(*, error: str | None = None, device: str | None = None, routes: tuple[Route, ...] = (OWN_BLOCK_B, DEFAULT)) -> World:
    """24 requests lost between the VXLAN device and the pod, whose node answers so for it."""
    looks = [routed(look, SERVER, *routes, device=device, error=error) for look in (facts(B), facts(B, later=True))]
    return replace(HEALTHY, requests=(lost(24, 5, 6),), replies=(), before=(facts(A), looks[0]), after=(facts(A, later=True), looks[1]))


def best(world: World) -> Finding:
    return next(finding for finding in diagnose(world.case()) if finding.severity is Severity.ERROR)


UNREACHABLE = icmp(NIC_A, 0, HEALTHY.frame(Direction.REQUEST, 0, 40000, Fate()))


@pytest.mark.parametrize(
    ("world", "proof"),
    [
        pytest.param(sender(error=NO_WAY, no_routes=24), EvidenceKind.COUNTER, id="no route at all, and the kernel counts"),
        pytest.param(
            replace(sender(error=NO_WAY), extra={1: (UNREACHABLE,) * 24}),
            EvidenceKind.PACKETS,
            id="no route at all, and the kernel answers",
        ),
        pytest.param(replace(sender(device=NIC), extra={3: (BARE,) * 24}), EvidenceKind.PACKETS, id="they leave bare by the default route"),
        pytest.param(
            sender(error="Invalid argument", routes=(replace(BLOCK_B, type="blackhole", gateway=None, device=None), DEFAULT)),
            EvidenceKind.ABSENCE,
            id="a blackhole, silently",
        ),
        pytest.param(
            sender(error="No route to host", routes=(replace(BLOCK_B, type="unreachable", gateway=None, device=None),)),
            EvidenceKind.ABSENCE,
            id="an unreachable route whose answers are limited in rate",
        ),
    ],
)
def test_a_node_without_a_route_to_the_other_node(world: World, proof: EvidenceKind) -> None:
    found = best(world)
    assert (found.cause, found.confidence, found.packets) == ("route-missing", Confidence.CERTAIN, 24)
    assert found.leg == Leg(from_=1, to=2)
    assert EvidenceKind.CONFIG in {one.kind for one in found.evidence}
    assert proof in {one.kind for one in found.evidence[2:]}
    assert found.remediation is not None
    assert "ip route get" in found.remediation
    assert "ip route replace" in found.remediation


def test_no_route_is_to_lead_a_node_s_own_address_into_the_tunnel() -> None:
    world = sender(device=NIC)
    case = world.case()
    vteps = tuple(replace(vtep, underlay_address=SERVER) if vtep.node == B else vtep for vtep in case.recording.overlay.vteps)
    of_node = replace(case, recording=replace(case.recording, overlay=replace(case.recording.overlay, vteps=vteps)))
    assert "route-missing" in {finding.cause for finding in diagnose(case)}
    assert all("ip route replace" not in (finding.remediation or "") for finding in diagnose(of_node))
    assert "route-missing" not in {finding.cause for finding in diagnose(of_node)}


def test_the_counter_of_packets_without_a_route_makes_them_dropped() -> None:
    world = sender(error=NO_WAY, no_routes=24)
    found = best(world)
    assert [one.kind for one in found.evidence].count(EvidenceKind.COUNTER) == 1
    less = best(sender(error=NO_WAY, no_routes=3))
    assert less.confidence is Confidence.LIKELY
    assert EvidenceKind.COUNTER not in {one.kind for one in less.evidence}


@pytest.mark.parametrize(
    ("world", "cause"),
    [
        pytest.param(replace(HEALTHY, requests=(lost(24, 1, 2),), replies=()), "unknown", id="the route is right"),
        pytest.param(replace(sender(error=NO_WAY), requests=(lost(24, 2, 3),)), "unknown", id="lost behind the routing"),
        pytest.param(replace(sender(error=NO_WAY), before=(), after=()), "unknown", id="the node was not asked"),
    ],
)
def test_near_misses_of_a_missing_route(world: World, cause: str) -> None:
    assert best(world).cause == cause


def test_the_routes_of_a_device_that_is_down_went_with_it() -> None:
    world = sender(error=NO_WAY, no_routes=24)
    down = [replace(look, links=tuple(replace(link, up=link.name != VX) for link in look.links)) for look in (*world.before, *world.after)]
    assert best(replace(world, before=tuple(down[:2]), after=tuple(down[2:]))).cause == "vxlan-device-down"


def test_a_route_that_went_missing_meanwhile_is_less_sure() -> None:
    world = sender(error=NO_WAY, no_routes=24)
    healthy = replace(facts(A), counters=world.before[0].counters)
    assert best(replace(world, before=(healthy, facts(B)))).confidence is Confidence.LIKELY


def test_a_pod_whose_route_is_gone_falls_into_the_blackhole_of_its_block() -> None:
    found = best(receiver(error="Invalid argument"))
    assert (found.cause, found.confidence) == ("pod-route-missing", Confidence.CERTAIN)
    assert any("blackhole 10.244.56.128/26" in one.text for one in found.evidence)
    assert found.remediation is not None
    assert f"ip route add {SERVER} dev {POD_B}" in found.remediation


@pytest.mark.parametrize(
    ("counter", "cause"),
    [
        pytest.param("TcpExt.IPReversePathFilter", "rp-filter", id="the reverse path filter took them"),
        pytest.param("Ip.InAddrErrors", "pod-route-missing", id="perhaps the node does not forward"),
    ],
)
def test_a_blackhole_is_not_certain_while_a_counter_speaks_of_another_drop(counter: str, cause: str) -> None:
    world = receiver(error="Invalid argument")
    before, after = world.before[1], world.after[1]
    before = replace(before, counters={**before.counters, counter: 0})
    after = replace(after, counters={**after.counters, counter: 24})
    found = best(replace(world, before=(facts(A), before), after=(facts(A, later=True), after)))
    assert (found.cause, found.confidence) == (cause, Confidence.LIKELY)


def test_a_pods_interface_that_is_down_took_the_route_with_it() -> None:
    world = receiver(error="Invalid argument")
    looks = [
        replace(one, links=tuple(replace(link, up=link.name != POD_B) for link in one.links)) for one in (world.before[1], world.after[1])
    ]
    assert best(replace(world, before=(facts(A), looks[0]), after=(facts(A, later=True), looks[1]))).cause == "pod-unreachable"


def test_an_address_of_the_node_itself_is_no_missing_route() -> None:
    world = receiver(device="lo")
    looks = [
        replace(look, lookups=tuple(replace(one, type="local") if one.destination == SERVER else one for one in look.lookups))
        for look in (world.before[1], world.after[1])
    ]
    found = best(replace(world, before=(facts(A), looks[0]), after=(facts(A, later=True), looks[1])))
    assert found.cause != "pod-route-missing"


def test_two_nodes_with_the_same_block_are_told_from_a_missing_route() -> None:
    world = sender(error="Invalid argument", routes=(OWN_BLOCK_B, DEFAULT))
    owner = [replace(look, routes=(OWN_BLOCK_B,)) for look in (facts(B), facts(B, later=True))]
    found = best(replace(world, before=(world.before[0], owner[0]), after=(world.after[0], owner[1])))
    assert (found.cause, found.confidence) == ("duplicate-pod-cidr", Confidence.CERTAIN)
    claims = [one.text for one in found.evidence if "for its own" in one.text]
    assert sorted(text.split()[0] for text in claims) == [A, B]


def test_a_backend_that_nothing_named_is_the_one_whose_route_is_missing() -> None:
    other = replace(HEALTHY.flow(), server=None)
    world = replace(sender(error=NO_WAY, no_routes=24), server=None, hops=3, replies=None)
    case = world.case()
    candidates = tuple(end for end in (HEALTHY.flow().server,) if end is not None)
    case = with_flow(case, replace(other, candidates=candidates))
    (found,) = (one for one in diagnose(case) if one.severity is Severity.ERROR)
    assert (found.cause, found.confidence) == ("route-missing", Confidence.CERTAIN)


def test_files_by_hand_make_a_missing_route_likely() -> None:
    assert best(replace(sender(error=NO_WAY, no_routes=24), status=CaptureStatus.PRESUMED)).confidence is Confidence.LIKELY


def test_a_bridge_that_has_the_address_of_another_nodes_pod() -> None:
    """With br_netfilter the node's own bridge switches what its routing would send back to it, and asks there in vain."""
    bridge = Link(name=VX, index=9, kind="bridge")
    own = Route(destination="10.244.56.128/26", device=VX)
    asked = (arp("10.244.56.130", SERVER),)
    looks = [
        replace(routed(look, SERVER, own, device=VX), links=tuple(bridge if link.name == VX else link for link in look.links))
        for look in (facts(A), facts(A, later=True))
    ]
    owner = [replace(look, routes=(OWN_BLOCK_B,)) for look in (facts(B), facts(B, later=True))]
    roles = (Role.POD, Role.BRIDGE, *HEALTHY.roles[2:])
    world = replace(sender(), roles=roles, before=(looks[0], owner[0]), after=(looks[1], owner[1]), extra={2: asked})
    found = best(world)
    assert (found.cause, found.confidence) == ("duplicate-pod-cidr", Confidence.CERTAIN)
    assert any("who-has" in one.text and one.frames for one in found.evidence)
    assert "pod-unreachable" not in {one.cause for one in diagnose(world.case())}


def test_bridged_hops_are_not_routed() -> None:
    roles = (Role.POD, Role.BRIDGE, *HEALTHY.roles[2:])
    found = best(replace(sender(error=NO_WAY), roles=roles))
    assert found.cause == "unknown"
