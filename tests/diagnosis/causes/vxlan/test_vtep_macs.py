"""stale-vtep-mac, duplicate-vtep-mac, and what looks like them."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.vxlan import vtep_macs
from kubectl_vxtrace.model.facts import Link, VxlanDevice
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import MAC_A, MAC_B, NIC_B, VX, A, B

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
    (found,) = asked(looked(FORWARDED, device=DEVICE, vx=None if growth is None else {"rx.otherhost": growth}).case(), vtep_macs)
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
    assert asked(case, vtep_macs) == []


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
    (found,) = asked(world.case(), vtep_macs)
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
    assert [found.cause for found in asked(world.case(), vtep_macs)] == []


def test_another_vni_with_a_shared_mac_is_a_vni_mismatch() -> None:
    (finding,) = diagnose(looked(replace(DECAPSULATED, vni=4097), device=SHARED, counters={"Udp.InDatagrams": 24}).case())
    assert finding.cause == "vni-mismatch"
