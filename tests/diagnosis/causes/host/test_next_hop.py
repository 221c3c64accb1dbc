"""neighbour-missing, pod-unreachable, and what looks like them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.host import next_hop
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.address import mac_number
from kubectl_vxtrace.model.datapath import PodInterface, PodNamespace
from kubectl_vxtrace.model.facts import Link, Neighbour, NodeFacts, Route
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.packets import Ethernets
from kubectl_vxtrace.model.path import Direction, Endpoint
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_flow
from tests.diagnosis.frames import Frame, arp, icmp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC_A, POD_B, SERVER, VTEP_A, VTEP_B, VX, A, B

BEFORE, AFTER = facts(A), facts(A, later=True)


def no_neighbour(look: NodeFacts, *states: str) -> NodeFacts:
    others = tuple(entry for entry in look.neighbours if entry.address != VTEP_B)
    failed = (Neighbour(address=VTEP_B, device=VX, states=states),) if states else ()
    return replace(look, neighbours=others + failed)


def sending(
    leg: tuple[int, int], before: NodeFacts | None, after: NodeFacts, *, extra: Mapping[int, tuple[Frame, ...]] | None = None
) -> World:
    looks = (before, facts(B)) if before is not None else (facts(B),)
    return replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=looks, after=(after, facts(B)), extra=extra or {})


ASKING = {2: (arp(VTEP_A, VTEP_B), arp(VTEP_A, VTEP_B))}


@pytest.mark.parametrize(
    ("before", "after", "extra", "confidence"),
    [
        pytest.param(no_neighbour(BEFORE), no_neighbour(AFTER, "FAILED"), ASKING, Confidence.CERTAIN, id="asked in vain"),
        pytest.param(no_neighbour(BEFORE), no_neighbour(AFTER, "INCOMPLETE"), ASKING, Confidence.CERTAIN, id="incomplete"),
        pytest.param(BEFORE, no_neighbour(AFTER), ASKING, Confidence.LIKELY, id="missing in one look"),
        pytest.param(no_neighbour(BEFORE), no_neighbour(AFTER), {}, Confidence.POSSIBLE, id="nobody was seen asking"),
    ],
)
def test_no_neighbour(before: NodeFacts, after: NodeFacts, extra: dict[int, tuple[Frame, ...]], confidence: Confidence) -> None:
    case = sending((1, 2), before, after, extra=extra).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence, findings[0].leg) == ("neighbour-missing", confidence, Leg(from_=1, to=2))
    assert any(proof.kind is EvidenceKind.CONFIG and VTEP_B in proof.text for proof in findings[0].evidence)
    assert not dropped_packets(case, findings)[0].any()


def test_host_unreachable_is_evidence_and_leaves_the_packets_rejected() -> None:
    quoted = HEALTHY.frame(Direction.REQUEST, 0, 40000, Fate())
    world = sending((1, 2), no_neighbour(BEFORE), no_neighbour(AFTER), extra={1: (icmp(NIC_A, 1, quoted),)})
    case = replace(world, requests=(lost(24, 1, 2, outcome=OutcomeCode.REJECTED),)).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence) == ("neighbour-missing", Confidence.CERTAIN)
    assert any(proof.frames and "ICMP 3/1 from 10.128.0.72" in proof.text for proof in findings[0].evidence)
    assert not dropped_packets(case, findings)[0].any()


def test_a_setting_that_was_not_read_does_not_hide_the_table() -> None:
    unread = {"sysctl.net.ipv4.neigh.default.gc_thresh3": "the node has no such setting"}
    before, after = (replace(no_neighbour(look), absent=unread) for look in (BEFORE, AFTER))
    assert diagnose(sending((1, 2), before, after, extra=ASKING).case())[0].cause == "neighbour-missing"


@pytest.mark.parametrize(
    ("before", "after", "extra"),
    [
        pytest.param(BEFORE, AFTER, ASKING, id="the entry is there"),
        pytest.param(BEFORE, no_neighbour(AFTER), {}, id="missing in one look, nobody asked"),
        pytest.param(BEFORE, no_neighbour(AFTER), {2: (arp(VTEP_A, VTEP_B), arp(VTEP_B, VTEP_A, reply=True))}, id="asked and answered"),
        pytest.param(
            replace(no_neighbour(BEFORE), absent={"neighbours": "timeout"}),
            replace(no_neighbour(AFTER), absent={"neighbours": "timeout"}),
            ASKING,
            id="not read",
        ),
    ],
)
def test_neighbour_near_misses(before: NodeFacts, after: NodeFacts, extra: dict[int, tuple[Frame, ...]]) -> None:
    assert diagnose(sending((1, 2), before, after, extra=extra).case())[0].cause == "unknown"


def test_a_gateway_that_is_no_address_breaks_nothing() -> None:
    odd = replace(BEFORE, lookups=tuple(replace(lookup, gateway="\x1b[0m; rm") for lookup in BEFORE.lookups))
    found = diagnose(sending((1, 2), odd, odd).case())[0]
    assert (found.cause, found.confidence) == ("neighbour-missing", Confidence.POSSIBLE)


def test_the_candidates_of_an_unnamed_backend_lead_to_the_neighbour() -> None:
    world = sending((1, 2), no_neighbour(BEFORE), no_neighbour(AFTER), extra=ASKING)
    case = replace(world, server=None, hops=3, replies=None).case()
    nameless = replace(case.flows[0], candidates=(Endpoint(address=SERVER, port=53, node=B),))
    assert diagnose(with_flow(case, nameless))[0].cause == "neighbour-missing"


def test_a_pod_that_answers_no_arp_is_unreachable() -> None:
    def gone(look: NodeFacts) -> NodeFacts:
        failed = Neighbour(address=SERVER, device=POD_B, states=("FAILED",))
        return replace(look, neighbours=(*(entry for entry in look.neighbours if entry.address != SERVER), failed))

    world = replace(
        HEALTHY,
        requests=(lost(24, 5, 6),),
        replies=(),
        before=(facts(A), gone(facts(B))),
        after=(facts(A), gone(facts(B, later=True))),
        extra={6: (arp("10.128.0.95", SERVER),)},
    )
    found = diagnose(world.case())[0]
    assert (found.cause, found.confidence, found.leg) == ("pod-unreachable", Confidence.CERTAIN, Leg(from_=5, to=6))


OWN = "cali0000000000a"


def elsewhere(*, own: str = OWN, kind: str = "veth", named: bool = True, asked: bool = True, once: bool = False) -> World:
    """The server's pod answers no ARP at the interface that its node's route leads to; its namespace names `own` as the other end."""

    def look(facts_of_b: NodeFacts, *, tells: bool) -> NodeFacts:
        failed = Neighbour(address=SERVER, device=POD_B, states=("FAILED",))
        links = [replace(link, kind=kind) if link.name == POD_B else link for link in facts_of_b.links]
        index = 4 if own == POD_B else 9
        end = PodInterface(name="eth0", index=3, host_index=index, prefixes=(f"{SERVER}/32",))
        return replace(
            facts_of_b,
            links=(*links, *(() if own == POD_B else (Link(name=own, index=9, kind=kind),))),
            routes=(Route(destination=SERVER, device=POD_B), Route(destination="10.244.56.133", device=POD_B)),
            neighbours=(*(entry for entry in facts_of_b.neighbours if entry.address != SERVER), failed),
            pod_namespaces=(PodNamespace(id=1, interfaces=(end,)),) if tells else (),
        )

    return replace(
        HEALTHY,
        requests=(lost(24, 5, 6),),
        replies=(),
        before=(facts(A), look(facts(B), tells=named and not once)),
        after=(facts(A), look(facts(B, later=True), tells=named)),
        extra={6: (arp("10.128.0.95", SERVER),)} if asked else {},
    )


@pytest.mark.parametrize(
    ("world", "confidence"),
    [
        pytest.param(elsewhere(), Confidence.CERTAIN, id="asked in vain"),
        pytest.param(elsewhere(kind="netkit"), Confidence.CERTAIN, id="netkit"),
        pytest.param(elsewhere(asked=False), Confidence.LIKELY, id="only the table speaks of it"),
        pytest.param(elsewhere(once=True), Confidence.LIKELY, id="by one look"),
    ],
)
def test_a_route_to_another_pods_interface_is_no_silent_pod(world: World, confidence: Confidence) -> None:
    found = diagnose(world.case())[0]
    assert (found.cause, found.confidence, found.leg) == ("pod-route-missing", confidence, Leg(from_=5, to=6))
    assert f"leads to {POD_B}, another pod's interface; the pod's is {OWN}" in found.summary
    assert f"ip route replace {SERVER} dev {OWN} scope link" in (found.remediation or "")
    assert any("to which ada-ec-2 leads 10.244.56.133 as well" in proof.text for proof in found.evidence)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(elsewhere(own=POD_B), id="its own interface"),
        pytest.param(elsewhere(named=False), id="its namespace was not seen"),
        pytest.param(elsewhere(kind="macvlan"), id="interfaces of which several belong to one"),
    ],
)
def test_a_pod_behind_the_interface_that_the_route_leads_to_is_unreachable(world: World) -> None:
    found = diagnose(world.case())[0]
    assert (found.cause, found.confidence) == ("pod-unreachable", Confidence.CERTAIN)


def test_a_pod_that_nobody_asked_for_is_not_unreachable() -> None:
    """No packet got as far as to need its MAC address."""

    def unasked(look: NodeFacts) -> NodeFacts:
        return replace(look, neighbours=tuple(entry for entry in look.neighbours if entry.address != SERVER))

    looks = unasked(facts(B)), unasked(facts(B, later=True))
    world = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=(), before=(facts(A), looks[0]), after=(facts(A), looks[1]))
    (found,) = diagnose(world.case())
    assert found.cause == "unknown"


POD_MAC, DEAD_MAC = "0a:58:0a:f4:38:81", "0a:58:de:ad:be:ef"


def for_mac(destination: str, *, pods: str | None = POD_MAC, entry: str | None = None) -> Case:
    """Requests that came to the server's interface for a MAC address, and end behind it; its node has an entry for the pod, or none."""
    interfaces = (PodInterface(name="eth0", index=2, mac=pods, prefixes=(f"{SERVER}/32",)),)
    entries = () if entry is None else (Neighbour(address=SERVER, device=POD_B, mac=entry, states=("PERMANENT",)),)

    def told(look: NodeFacts) -> NodeFacts:
        others = tuple(other for other in look.neighbours if other.address != SERVER)
        return replace(look, neighbours=(*others, *entries), pod_namespaces=(PodNamespace(id=1, interfaces=interfaces),))

    looks = [(facts(A, later=later), told(facts(B, later=later))) for later in (False, True)]
    case = replace(HEALTHY, requests=(lost(24, 6, None),), replies=(), before=looks[0], after=looks[1]).case()
    requests = case.traced(1, Direction.REQUEST)
    assert requests is not None
    tap = requests.path.hops[-1].tap
    table = case.tables[tap]
    macs = Ethernets(source=np.array([1], np.uint64), destination=np.array([mac_number(destination)], np.uint64))
    return replace(case, tables={**case.tables, tap: replace(table, ethernet=np.zeros(len(table), np.int32), ethernets=macs)})


@pytest.mark.parametrize(
    ("entry", "confidence", "remedy"),
    [
        pytest.param(DEAD_MAC, Confidence.CERTAIN, f"ip neigh del {SERVER} dev {POD_B}", id="the node's entry says so"),
        pytest.param(None, Confidence.LIKELY, "who answers has it", id="the frames alone"),
    ],
)
def test_packets_for_another_mac_than_the_pods(entry: str | None, confidence: Confidence, remedy: str) -> None:
    (found,) = diagnose(for_mac(DEAD_MAC, entry=entry))
    assert (found.cause, found.confidence, found.leg) == ("pod-unreachable", confidence, Leg(from_=6, to=None))
    assert DEAD_MAC in found.summary
    assert any(POD_MAC in proof.text for proof in found.evidence)
    assert found.remediation is not None
    assert remedy in found.remediation


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(for_mac(POD_MAC), id="the pod's own"),
        pytest.param(for_mac(DEAD_MAC, pods=None), id="the pod's was not read"),
    ],
)
def test_the_pods_own_mac_is_no_reason(case: Case) -> None:
    assert asked(case, next_hop) == []
