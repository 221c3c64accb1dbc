"""pod-is-tunnel-address, and what looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.pod import tunnel_address
from kubectl_vxtrace.model.facts import Link, NodeFacts, VxlanDevice
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Endpoint
from kubectl_vxtrace.model.report import Confidence
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, MAC_B, NIC_B, SERVER, VX, A, B

DEVICE = Link(name=VX, index=7, kind="vxlan", mac=MAC_B, vxlan=VxlanDevice(vni=4096, port=4789, local=NIC_B))
FORWARDED = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=())


def tunnel_owns(address: str, *, sides: tuple[bool, bool] = (True, True)) -> World:
    """B's VXLAN device has an address, in the looks of `sides`."""
    with_it = replace(DEVICE, addresses=(address,))
    before, after = (facts(B, later=later, device=with_it if owned else None) for later, owned in zip((False, True), sides, strict=True))
    return replace(FORWARDED, before=(facts(A), before), after=(facts(A, later=True), after))


def test_a_node_that_has_the_pods_address_keeps_its_packets() -> None:
    (finding,) = diagnose(tunnel_owns(SERVER).case())
    assert (finding.cause, finding.confidence) == ("pod-is-tunnel-address", Confidence.CERTAIN)
    assert "its vxlan.calico has the pod's address 10.244.56.129" in finding.summary


def test_an_address_that_only_one_look_found_is_less_sure() -> None:
    (found,) = asked(tunnel_owns(SERVER, sides=(True, False)).case(), tunnel_address)
    assert (found.cause, found.confidence) == ("pod-is-tunnel-address", Confidence.LIKELY)


def with_server(world: World, server: Endpoint) -> Case:
    return replace(world, server=server).case()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(tunnel_owns("10.244.56.128").case(), id="the tunnel has an address of its own"),
        pytest.param(tunnel_owns(CLIENT).case(), id="the other end's address"),
        pytest.param(with_server(tunnel_owns(SERVER), Endpoint(address=SERVER, node=B, host_network=True)), id="hostNetwork"),
        pytest.param(replace(tunnel_owns(SERVER), requests=(lost(24, 4, 5),)).case(), id="lost before the device"),
    ],
)
def test_what_is_no_tunnel_address(case: Case) -> None:
    assert [found for found in asked(case, tunnel_address) if found.cause == "pod-is-tunnel-address"] == []


def test_replies_are_judged_by_the_client() -> None:
    world = replace(tunnel_owns(SERVER), requests=HEALTHY.requests, replies=(lost(24, 5, 6),))
    owning = tuple(_owns_client(one) for one in world.after)
    (found,) = asked(replace(world, after=owning, before=owning).case(), tunnel_address)
    assert (found.cause, found.direction) == ("pod-is-tunnel-address", Direction.REPLY)


def _owns_client(look: NodeFacts) -> NodeFacts:
    links = tuple(replace(link, addresses=(CLIENT,)) if link.name == VX and look.node == A else link for link in look.links)
    return replace(look, links=links)
