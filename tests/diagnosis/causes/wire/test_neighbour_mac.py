"""wrong-neighbour-mac, and the doubt where nothing but the frames' MAC addresses is known."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.wire import neighbour_mac, underlay
from kubectl_vxtrace.model.facts import Neighbour, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, NIC_B, A, B

SENDER, PEER, OTHER = "42:01:0a:80:00:48", "42:01:0a:80:00:5f", "42:01:0a:80:00:60"
ASTRAY = {Direction.REQUEST: (SENDER, OTHER), Direction.REPLY: (PEER, SENDER)}


def sent(
    ethernet: Mapping[Direction, tuple[str, str]] = ASTRAY,
    *,
    entry: str | None = OTHER,
    states: tuple[str, ...] = ("REACHABLE",),
    peers_mac: str | None = PEER,
    third: tuple[NodeFacts, ...] = (),
    leg: tuple[int, int] = (3, 4),
) -> Case:
    """Requests that left the sender's NIC with such MAC addresses and were lost."""

    def told(look: NodeFacts) -> NodeFacts:
        if look.node == B:
            return replace(look, links=tuple(replace(link, mac=peers_mac) if link.name == NIC else link for link in look.links))
        entries = (Neighbour(address=NIC_B, device=NIC, mac=entry, states=states),) if entry is not None else ()
        return replace(look, neighbours=(*look.neighbours, *entries))

    looks = [(*(told(facts(node, later=later)) for node in (A, B)), *third) for later in (False, True)]
    return replace(HEALTHY, requests=(lost(24, *leg),), before=looks[0], after=looks[1], ethernet=ethernet).case()


@pytest.mark.parametrize("leg", [pytest.param((3, 4), id="on the wire"), pytest.param((4, 5), id="flooded, and not taken by the NIC")])
def test_the_entry_names_a_mac_that_the_peer_does_not_have(leg: tuple[int, int]) -> None:
    found = diagnose(sent(leg=leg))[0]
    assert (found.cause, found.confidence, found.leg) == ("wrong-neighbour-mac", Confidence.CERTAIN, Leg(from_=leg[0], to=leg[1]))
    assert OTHER in found.summary
    assert found.remediation is not None
    assert f"The MAC address of {B} is {PEER}" in found.remediation


def test_an_entry_that_somebody_wrote_needs_no_frame_of_the_peer() -> None:
    (found,) = asked(sent({Direction.REQUEST: (SENDER, OTHER)}, states=("PERMANENT",)), neighbour_mac)
    assert found.cause == "wrong-neighbour-mac"


OWNER = replace(facts(B), node="ada-ec-3")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(sent({Direction.REQUEST: (SENDER, PEER), Direction.REPLY: (PEER, SENDER)}, entry=PEER), id="the peer's own"),
        pytest.param(sent({Direction.REQUEST: (SENDER, OTHER), Direction.REPLY: (OTHER, SENDER)}), id="a router stands between"),
        pytest.param(sent({Direction.REQUEST: (SENDER, OTHER)}), id="learned, and no frame of the peer"),
        pytest.param(sent(entry=None), id="no entry"),
        pytest.param(sent(entry=PEER), id="the entry is right, the frames are for a gateway"),
        pytest.param(sent(peers_mac=None), id="the peer's MAC address was not read"),
        pytest.param(sent(third=(OWNER,)), id="another node has the address, too"),
        pytest.param(sent({}), id="a link without MAC addresses"),
    ],
)
def test_what_looks_like_it(case: Case) -> None:
    assert asked(case, neighbour_mac) == []


def test_frames_for_another_mac_than_the_peers_make_a_block_less_sure() -> None:
    (found,) = asked(sent(entry=None), underlay)
    assert (found.cause, found.confidence) == ("underlay-udp-blocked", Confidence.LIKELY)
    assert any("a next hop of ada-ec-1" in doubt and OTHER in doubt for doubt in found.not_ruled_out)
