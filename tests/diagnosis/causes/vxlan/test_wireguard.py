"""wireguard-peer, and what looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.causes.vxlan import wireguard
from kubectl_vxtrace.model.facts import ClockReading, Link, NodeFacts, RouteLookup, WireguardPeer
from kubectl_vxtrace.model.report import Confidence, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, POD_A, SECOND_NS, SERVER, START_NS, VX, A, B

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
    (found,) = asked(world.case(), wireguard)
    assert (found.cause, found.confidence, found.leg) == ("wireguard-peer", confidence, Leg(from_=1, to=2))
    assert any(text in proof.text for proof in found.evidence)


def test_the_age_of_a_handshake_is_by_the_nodes_own_clock() -> None:
    ahead = ClockReading(node_ns=(NOW_S + 3600) * SECOND_NS, sent_ns=0, received_ns=1)
    assert asked(encrypted(replace(PEER, handshake_s=NOW_S + 3590), clock=ahead).case(), wireguard) == []
    assert [found.cause for found in asked(encrypted(replace(PEER, handshake_s=NOW_S - 30), clock=ahead).case(), wireguard)] == [
        "wireguard-peer"
    ]


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
    assert asked(world.case(), wireguard) == []
