"""stale-vtep-mac, duplicate-vtep-mac, pod-is-tunnel-address, and what looks like them."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.vxlan.vtep_macs import check
from kubectl_vxtrace.model.facts import Link, NodeFacts, VxlanDevice
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Endpoint
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.build import CLIENT, HEALTHY, MAC_A, MAC_B, NIC_B, SERVER, VX, A, B, World, facts, lost

NEW_MAC = "66:00:00:00:00:99"
DEVICE = Link(name=VX, index=7, kind="vxlan", mac=NEW_MAC, vxlan=VxlanDevice(vni=4096, port=4789, local=NIC_B))


def looked(world: World, *, device: Link | None = None, counters: dict[str, int] | None = None, vx: dict[str, int] | None = None) -> World:
    """`world` with two looks, in which B's VXLAN device is `device` and its counters grew."""
    return replace(
        world,
        before=(facts(A), facts(B, device=device)),
        after=(facts(A, later=True), facts(B, later=True, device=device, counters=counters, vx=vx)),
    )


FORWARDED = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=())
STALE = looked(FORWARDED, device=DEVICE, vx={"rx.otherhost": 24})


def test_frames_for_a_mac_that_the_receiver_has_not_are_a_stale_vtep_mac() -> None:
    (finding,) = diagnose(STALE.case())
    assert (finding.cause, finding.confidence, finding.leg) == ("stale-vtep-mac", Confidence.CERTAIN, Leg(from_=5, to=6))
    assert {EvidenceKind.CONFIG, EvidenceKind.COUNTER} <= {proof.kind for proof in finding.evidence}
    assert any("neighbour entry 10.244.56.128 lladdr 66:00:00:00:00:02" in proof.text for proof in finding.evidence)
    assert finding.remediation is not None
    assert f"bridge fdb replace {NEW_MAC} dev {VX} dst {NIC_B}" in finding.remediation


@pytest.mark.parametrize(
    ("growth", "confidence"),
    [
        pytest.param(None, Confidence.LIKELY, id="a kernel without that counter"),
        pytest.param(23, Confidence.POSSIBLE, id="fewer than were lost"),
        pytest.param(24, Confidence.CERTAIN, id="as many as were lost"),
    ],
)
def test_the_counter_of_frames_for_others_decides(growth: int | None, confidence: Confidence) -> None:
    (found,) = check(looked(FORWARDED, device=DEVICE, vx=None if growth is None else {"rx.otherhost": growth}).case())
    assert (found.cause, found.confidence) == ("stale-vtep-mac", confidence)


def changed_between(world: World) -> Case:
    """The device had the sent MAC address at the first look and another at the second."""
    return replace(world, before=HEALTHY.before).case()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(FORWARDED.case(), id="the right MAC address, lost for another reason"),
        pytest.param(looked(FORWARDED, device=replace(DEVICE, mac=MAC_B.upper())).case(), id="the same in capitals"),
        pytest.param(changed_between(STALE), id="the device was made anew during the trace"),
        pytest.param(looked(FORWARDED, device=replace(DEVICE, master="br0")).case(), id="a port of a bridge"),
        pytest.param(looked(FORWARDED, device=replace(DEVICE, vxlan=VxlanDevice(external=True, port=8472))).case(), id="metadata mode"),
        pytest.param(looked(FORWARDED, device=replace(DEVICE, mac=None)).case(), id="its MAC address was not read"),
        pytest.param(replace(STALE, requests=(lost(24, 4, 5),)).case(), id="it never came to the device"),
        pytest.param(replace(STALE, before=(), after=()).case(), id="no looks"),
        pytest.param(replace(STALE, requests=HEALTHY.requests).case(), id="nothing was lost"),
    ],
)
def test_what_is_no_stale_mac(case: Case) -> None:
    assert list(check(case)) == []


DECAPSULATED = replace(HEALTHY, requests=(lost(24, 4, 5),), replies=())
SHARED = replace(DEVICE, mac=MAC_A)


def test_a_receiver_that_has_the_senders_mac_drops_its_frames_as_its_own() -> None:
    (finding,) = diagnose(looked(DECAPSULATED, device=SHARED, counters={"Udp.InDatagrams": 24}).case())
    assert (finding.cause, finding.confidence, finding.leg) == ("duplicate-vtep-mac", Confidence.CERTAIN, Leg(from_=4, to=5))
    assert any("Udp.InDatagrams of ada-ec-2 grew by 24, rx.packets of vxlan.calico by 0" in proof.text for proof in finding.evidence)


@pytest.mark.parametrize(
    ("world", "confidence"),
    [
        pytest.param(looked(DECAPSULATED, device=SHARED), Confidence.POSSIBLE, id="UDP took none"),
        pytest.param(replace(looked(DECAPSULATED, device=SHARED), before=()), Confidence.LIKELY, id="one look only"),
    ],
)
def test_a_shared_mac_whose_packets_udp_did_not_take_is_less_sure(world: World, confidence: Confidence) -> None:
    (found,) = check(world.case())
    assert (found.cause, found.confidence) == ("duplicate-vtep-mac", confidence)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(looked(DECAPSULATED, counters={"Udp.InDatagrams": 24}), id="each has its own"),
        pytest.param(looked(replace(DECAPSULATED, vni=4097), device=SHARED, counters={"Udp.InDatagrams": 24}), id="another VNI"),
        pytest.param(looked(replace(HEALTHY, requests=(lost(24, 3, 4),)), device=SHARED), id="lost on the wire"),
        pytest.param(looked(HEALTHY, device=SHARED), id="nothing was lost"),
    ],
)
def test_what_is_no_duplicate_mac(world: World) -> None:
    assert [found.cause for found in check(world.case())] == []


def test_another_vni_with_a_shared_mac_is_a_vni_mismatch() -> None:
    (finding,) = diagnose(looked(replace(DECAPSULATED, vni=4097), device=SHARED, counters={"Udp.InDatagrams": 24}).case())
    assert finding.cause == "vni-mismatch"


def tunnel_owns(address: str, *, sides: tuple[bool, bool] = (True, True)) -> World:
    """B's VXLAN device has an address, in the looks of `sides`."""
    with_it = replace(DEVICE, mac=MAC_B, addresses=(f"{address}/32",))
    before, after = (facts(B, later=later, device=with_it if owned else None) for later, owned in zip((False, True), sides, strict=True))
    return replace(FORWARDED, before=(facts(A), before), after=(facts(A, later=True), after))


def test_a_node_that_has_the_pods_address_keeps_its_packets() -> None:
    (finding,) = diagnose(tunnel_owns(SERVER).case())
    assert (finding.cause, finding.confidence) == ("pod-is-tunnel-address", Confidence.CERTAIN)
    assert "its vxlan.calico has the pod's address 10.244.56.129" in finding.summary


def test_an_address_that_only_one_look_found_is_less_sure() -> None:
    (found,) = check(tunnel_owns(SERVER, sides=(True, False)).case())
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
    assert [found for found in check(case) if found.cause == "pod-is-tunnel-address"] == []


def test_replies_are_judged_by_the_client() -> None:
    world = replace(tunnel_owns(SERVER), requests=HEALTHY.requests, replies=(lost(24, 5, 6),))
    owning = tuple(_owns_client(one) for one in world.after)
    (found,) = check(replace(world, after=owning, before=owning).case())
    assert (found.cause, found.direction) == ("pod-is-tunnel-address", Direction.REPLY)


def _owns_client(look: NodeFacts) -> NodeFacts:
    links = tuple(replace(link, addresses=(CLIENT,)) if link.name == VX and look.node == A else link for link in look.links)
    return replace(look, links=links)
