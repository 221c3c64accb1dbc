"""masquerade-port-clash, wireguard-peer, cloud-anti-spoofing, and what looks like them."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.vxlan.port_clash import check
from kubectl_vxtrace.model.facts import ClockReading, Link, NodeFacts, RouteLookup, Rule, WireguardPeer
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.build import (
    CLIENT,
    HEALTHY,
    NIC_A,
    POD_A,
    SECOND_NS,
    SERVER,
    START_NS,
    TAPS,
    VTEP_A,
    VX,
    A,
    B,
    Fate,
    Frame,
    World,
    facts,
    lost,
    policy,
    rule,
    table,
)

OTHERS = '-p udp -m comment --comment "Drop IPv4 VXLAN packets from non-allowed hosts" -m multiport --dports 4789 -j DROP'


def masqueraded(
    destination: str = VTEP_A, port: int = 4789, *, protocol: int = 17, growth: int = 24, chain: str = "cali-INPUT", count: int = 24
) -> Case:
    """Replies that A's VXLAN device received for this address and port and that its pod did not, and a rule of A whose counter grew."""
    to_chain = rule("INPUT", f"-j {chain}", 900) if chain == "cali-INPUT" else None

    def look(*, later: bool) -> tuple[NodeFacts, ...]:
        dropping = rule(chain, OTHERS, 5 + (growth if later else 0))
        rules: tuple[Rule, ...] = (policy("INPUT", "ACCEPT", 900), *((to_chain,) if to_chain is not None else ()), dropping)
        return facts(A, later=later, rules=rules), facts(B, later=later)

    world = replace(HEALTHY, replies=(lost(count, 5, 6),), before=look(later=False), after=look(later=True))
    case = world.case()
    at_device = case.tables[TAPS[1]]
    reply = Frame(source=SERVER, destination=destination, protocol=protocol, source_port=53, destination_port=port)
    journey = case.paths[1].journeys
    frames = [reply] * len(at_device)
    rows = journey.row.copy()
    rows[:, 4] = np.arange(count)
    back = replace(case.paths[1], journeys=replace(journey, row=rows))
    return replace(case, tables={**case.tables, TAPS[1]: table(TAPS[1], frames)}, paths=(case.paths[0], back))


def test_replies_to_the_vxlan_port_of_the_node_itself_are_a_clash() -> None:
    finding = diagnose(masqueraded())[0]
    assert (finding.cause, finding.confidence, finding.leg) == ("masquerade-port-clash", Confidence.CERTAIN, Leg(from_=5, to=6))
    assert any("grew by 24" in proof.text and proof.kind is EvidenceKind.COUNTER for proof in finding.evidence)


def test_without_the_rules_counter_it_is_less_sure() -> None:
    (found,) = check(masqueraded(growth=3))
    assert (found.cause, found.confidence) == ("masquerade-port-clash", Confidence.LIKELY)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(masqueraded(port=40000), id="another port"),
        pytest.param(masqueraded(CLIENT), id="a tunnel inside the pod"),
        pytest.param(masqueraded("10.9.9.9"), id="somebody else's address"),
        pytest.param(masqueraded(protocol=6), id="TCP"),
        pytest.param(HEALTHY.case(), id="nothing was lost"),
    ],
)
def test_what_is_no_clash(case: Case) -> None:
    assert list(check(case)) == []


def test_a_drop_in_a_chain_that_forwarded_packets_pass_is_no_proof() -> None:
    (found,) = check(masqueraded(chain="FORWARD"))
    assert found.confidence is Confidence.LIKELY


WG = "wireguard.cali"
NOW_S = (START_NS + 7 * SECOND_NS) // SECOND_NS
PEER = WireguardPeer(device=WG, public_key="k=", endpoint="10.128.0.95:51820", allowed=("10.244.56.128/26",), handshake_s=NOW_S - 30)


def encrypted(
    peer: WireguardPeer | None = PEER, *, failed: int = 0, device: str = WG, absent: bool = False, clock: ClockReading | None = None
) -> World:
    """24 requests that A routes to a WireGuard device with this peer, which failed to send so many."""

    def look(*, later: bool) -> NodeFacts:
        made = facts(A, later=later)
        link = Link(name=WG, index=11, kind="wireguard", counters={"tx.errors": 100 + (failed if later else 0), "tx.dropped": 100})
        route = RouteLookup(destination=SERVER, source=CLIENT, input=POD_A, device=device)
        return replace(
            made,
            links=(*made.links, link),
            lookups=(route, *(one for one in made.lookups if one.destination != SERVER)),
            wireguard=(peer, replace(PEER, public_key="other=", allowed=("10.244.106.64/26",))) if peer is not None else (),
            absent={"wireguard": "no such tool"} if absent else {},
            clock=clock if later else None,
        )

    return replace(
        HEALTHY,
        requests=(lost(24, 1, 2),),
        replies=(),
        before=(look(later=False), facts(B)),
        after=(look(later=True), facts(B, later=True)),
    )


@pytest.mark.parametrize(
    ("world", "confidence", "text"),
    [
        pytest.param(
            encrypted(replace(PEER, allowed=("10.1.0.0/16",)), failed=24), Confidence.CERTAIN, f"is allowed {SERVER}", id="no peer, counted"
        ),
        pytest.param(encrypted(replace(PEER, allowed=("10.1.0.0/16",))), Confidence.LIKELY, f"is allowed {SERVER}", id="no peer"),
        pytest.param(encrypted(replace(PEER, handshake_s=0)), Confidence.LIKELY, "never answered a handshake", id="never a handshake"),
        pytest.param(encrypted(replace(PEER, handshake_s=NOW_S - 400)), Confidence.LIKELY, "was 400 s ago", id="a dead session"),
        pytest.param(encrypted(failed=24), Confidence.LIKELY, "tx.errors and tx.dropped", id="a live session, and errors"),
        pytest.param(encrypted(None, failed=24, absent=True), Confidence.LIKELY, "tx.errors and tx.dropped", id="peers were not read"),
    ],
)
def test_a_wireguard_peer_that_does_not_take_the_packets(world: World, confidence: Confidence, text: str) -> None:
    (found,) = check(world.case())
    assert (found.cause, found.confidence, found.leg) == ("wireguard-peer", confidence, Leg(from_=1, to=2))
    assert any(text in proof.text for proof in found.evidence)


def test_the_age_of_a_handshake_is_by_the_nodes_own_clock() -> None:
    ahead = ClockReading(node_ns=(NOW_S + 3600) * SECOND_NS, sent_ns=0, received_ns=1)
    assert list(check(encrypted(replace(PEER, handshake_s=NOW_S + 3590), clock=ahead).case())) == []
    assert [found.cause for found in check(encrypted(replace(PEER, handshake_s=NOW_S - 30), clock=ahead).case())] == ["wireguard-peer"]


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(encrypted(), id="a live session without errors"),
        pytest.param(encrypted(failed=23), id="fewer errors than were lost"),
        pytest.param(encrypted(replace(PEER, handshake_s=0), device=VX), id="the route does not go there"),
        pytest.param(encrypted(None), id="a device without peers that were read"),
        pytest.param(encrypted(None, absent=True), id="peers were not read, nothing was counted"),
        pytest.param(encrypted(replace(PEER, handshake_s=None)), id="the handshake is not known"),
        pytest.param(replace(encrypted(replace(PEER, handshake_s=0)), requests=(lost(24, 3, 4),)), id="lost on the wire"),
    ],
)
def test_what_is_no_wireguard_peer(world: World) -> None:
    assert list(check(world.case())) == []


def bare(world: World, *, source: str = CLIENT, extra: tuple[Frame, ...] = ()) -> Case:
    """The requests of `world`, unencapsulated and from this address at A's NIC; `extra`: what B's NIC saw besides."""
    case = replace(world, extra={4: extra}).case()
    at_nic = case.tables[TAPS[2]]
    frames = [Frame(source=source, destination=SERVER, source_port=40000 + row, destination_port=53) for row in range(len(at_nic))]
    return replace(case, tables={**case.tables, TAPS[2]: table(TAPS[2], frames)})


GONE = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=())
OWN = Frame(source=NIC_A, destination="10.128.0.95", source_port=1, destination_port=2)
TUNNELLED = Frame(source=CLIENT, destination=SERVER, tunnel=(NIC_A, "10.128.0.95", 50000, 4789, 4096))


@pytest.mark.parametrize(
    ("extra", "confidence"),
    [
        pytest.param((OWN,), Confidence.LIKELY, id="the node's own packets arrive"),
        pytest.param((TUNNELLED,), Confidence.LIKELY, id="encapsulated ones arrive"),
        pytest.param((), Confidence.POSSIBLE, id="nothing else was seen"),
        pytest.param((replace(OWN, source="10.128.0.1"),), Confidence.POSSIBLE, id="others' packets arrive"),
    ],
)
def test_bare_packets_of_a_pod_that_do_not_arrive(extra: tuple[Frame, ...], confidence: Confidence) -> None:
    (found,) = check(bare(GONE, extra=extra))
    assert (found.cause, found.confidence, found.leg) == ("cloud-anti-spoofing", confidence, Leg(from_=3, to=4))
    assert any("firewall between the nodes" in doubt for doubt in found.not_ruled_out)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(GONE.case(), id="encapsulated"),
        pytest.param(bare(GONE, source=NIC_A), id="masqueraded to the node's address"),
        pytest.param(bare(replace(GONE, requests=(lost(4, 3, 4), Fate(count=20)))), id="others arrive"),
        pytest.param(bare(replace(HEALTHY, replies=())), id="nothing was lost: the other node is in the same subnet"),
        pytest.param(
            bare(replace(GONE, protocol="TCP", requests=(lost(24, 3, 4, outcome=OutcomeCode.REJECTED),))), id="each was answered by a reset"
        ),
    ],
)
def test_what_is_no_anti_spoofing(case: Case) -> None:
    assert list(check(case)) == []


def test_a_receiver_whose_nic_is_down_is_no_cloud() -> None:
    looks = tuple(
        replace(one, links=tuple(replace(link, up=False) if link.name == "ens4" else link for link in one.links)) if one.node == B else one
        for one in HEALTHY.after
    )
    assert list(check(bare(replace(GONE, before=looks, after=looks)))) == []
