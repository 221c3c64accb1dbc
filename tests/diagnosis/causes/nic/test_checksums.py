"""vxlan-tx-checksum, zero-udp-checksum-v6, nic-tunnel-offload."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.nic import checksums
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import KernelDrop, Link, VxlanDevice
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.report import Confidence, Finding, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import MAC_A, NIC, POD_B, START_NS, TAPS, VTEP_A, VX, A, B

BAD = replace(HEALTHY, requests=(lost(24, 4, 5),), replies=())
SOFTWARE = {f"{NIC}.driver": "virtio_net", f"{VX}.tx-checksum-ip-generic": "on"}
HARDWARE = {f"{NIC}.driver": "mlx5_core", f"{NIC}.tx-udp_tnl-csum-segmentation": "on", f"{VX}.tx-checksum-ip-generic": "off"}


def looked(world: World, ethtool: Mapping[str, str], grown: int, *, counter: str = "Udp.InCsumErrors") -> World:
    """With both looks at both nodes: what the sender's ethtool says, and how much a counter of the receiver grew."""
    sender = replace(facts(A), ethtool=dict(ethtool))
    return replace(world, before=(sender, facts(B, counters={counter: 0})), after=(sender, facts(B, counters={counter: grown})))


def translated(case: Case, world: World = BAD) -> Case:
    """The case with the node's tunnel address as inner source where the outer packets arrive."""
    tap = TAPS[3]
    frames = [replace(frame, source=VTEP_A) for frame in world.seen()[4]]
    return replace(case, tables={**case.tables, tap: table(tap, frames)})


def found(case: Case) -> list[Finding]:
    """What this check says, before other explanations are weighed against it."""
    return asked(case, checksums)


def test_a_translated_packet_with_a_wrong_outer_checksum_is_the_vxlan_devices() -> None:
    (finding,) = diagnose(translated(looked(BAD, SOFTWARE, 24).case()))
    assert (finding.cause, finding.confidence, finding.leg) == ("vxlan-tx-checksum", Confidence.CERTAIN, Leg(from_=4, to=5))
    assert finding.remediation is not None
    assert "ethtool -K vxlan.calico tx-checksum-ip-generic off" in finding.remediation
    assert any("Udp.InCsumErrors of ada-ec-2 grew by 24; 24 frames were lost" in proof.text for proof in finding.evidence)


@pytest.mark.parametrize(
    ("ethtool", "cause", "confidence", "doubt"),
    [
        pytest.param(SOFTWARE, "vxlan-tx-checksum", Confidence.LIKELY, "damage on the way", id="nobody translated them"),
        pytest.param({}, "vxlan-tx-checksum", Confidence.POSSIBLE, "driver of ada-ec-1/ens4 is not known", id="nothing read"),
        pytest.param(HARDWARE, "nic-tunnel-offload", Confidence.LIKELY, "damage on the way", id="the NIC checksums inside tunnels"),
    ],
)
def test_what_is_known_of_the_sender_decides(ethtool: Mapping[str, str], cause: str, confidence: Confidence, doubt: str) -> None:
    (finding,) = found(looked(BAD, ethtool, 24).case())
    assert (finding.cause, finding.confidence) == (cause, confidence)
    assert any(doubt in open_ for open_ in finding.not_ruled_out)


def test_a_nic_that_offloads_as_well_lessens_the_confidence() -> None:
    (finding,) = found(translated(looked(BAD, {**HARDWARE, f"{VX}.tx-checksum-ip-generic": "on"}, 24).case()))
    assert (finding.cause, finding.confidence) == ("vxlan-tx-checksum", Confidence.LIKELY)


@pytest.mark.parametrize("ethtool", [SOFTWARE, HARDWARE, {}])
def test_where_others_of_the_flow_arrive_well_the_packets_were_damaged_on_the_way(ethtool: Mapping[str, str]) -> None:
    some = replace(BAD, requests=(lost(9, 4, 5), Fate(count=18)))
    case = looked(some, ethtool, 9).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence, findings[0].packets) == ("underlay-loss", Confidence.LIKELY, 9)
    assert "damaged on the way" in findings[0].summary
    assert "ethtool -K" not in (findings[0].remediation or "")
    assert dropped_packets(case, findings)[0].sum() == 9


def test_of_translated_packets_some_pass_in_the_end() -> None:
    some = replace(BAD, requests=(lost(24, 4, 5), Fate(count=1)))
    (finding,) = diagnose(translated(looked(some, SOFTWARE, 24).case(), some))
    assert (finding.cause, finding.confidence) == ("vxlan-tx-checksum", Confidence.LIKELY)
    assert any("1 other packets of the flow" in doubt for doubt in finding.not_ruled_out)


def test_what_a_nic_writes_wrong_into_large_packets_alone_is_no_damage() -> None:
    some = replace(BAD, requests=(Fate(count=9, reach=4, leg=(4, 5), outcome=OutcomeCode.LOST, wire_bytes=1400), Fate(count=18)))
    assert found(looked(some, HARDWARE, 9).case())[0].cause == "nic-tunnel-offload"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(looked(HEALTHY, SOFTWARE, 24), id="all arrive"),
        pytest.param(looked(BAD, SOFTWARE, 0), id="no checksum error"),
        pytest.param(looked(BAD, SOFTWARE, 23), id="fewer errors than losses"),
        pytest.param(looked(BAD, SOFTWARE, 24, counter="Udp.InErrors"), id="another UDP error"),
        pytest.param(looked(BAD, {**SOFTWARE, f"{VX}.tx-checksum-ip-generic": "off"}, 24), id="no offload that could be at fault"),
        pytest.param(looked(replace(BAD, requests=(lost(24, 5, 6),)), SOFTWARE, 24), id="lost behind the tunnel"),
        pytest.param(looked(replace(BAD, requests=(lost(24, 3, 4),)), SOFTWARE, 24), id="lost between the nodes"),
    ],
)
def test_look_alikes_of_a_wrong_outer_checksum(case: World) -> None:
    assert not found(case.case())


def test_bad_checksums_of_frames_in_a_capture_are_no_evidence() -> None:
    """Placeholders at the sender and merged frames at the receiver look bad; only the receiver's counter speaks."""
    assert not diagnose(looked(HEALTHY, SOFTWARE, 0).case())


def outer6(case: Case) -> Case:
    """The case with the nodes' outer addresses of IPv6."""
    frames: list[Frame] = []
    for frame in BAD.seen()[4]:
        assert frame.tunnel is not None
        frames.append(replace(frame, tunnel=("fd00::72", "fd00::95", *frame.tunnel[2:])))
    return replace(case, tables={**case.tables, TAPS[3]: table(TAPS[3], frames)})


def device(*, sent: bool | None, accepted: bool | None) -> Link:
    vxlan = VxlanDevice(vni=4096, port=4789, zero_checksum6_sent=sent, zero_checksum6_accepted=accepted)
    return Link(name=VX, index=7, kind="vxlan", mac=MAC_A, vxlan=vxlan)


def zero(*, sent: bool | None, accepted: bool | None, grown: int = 24) -> Case:
    sender = facts(A, device=device(sent=sent, accepted=False))
    receiver = [facts(B, device=device(sent=False, accepted=accepted), counters={"Udp6InCsumErrors": count}) for count in (0, grown)]
    return outer6(replace(BAD, before=(sender, receiver[0]), after=(sender, receiver[1])).case())


def test_a_zero_checksum_over_ipv6_that_the_receiver_does_not_accept() -> None:
    (finding,) = found(zero(sent=True, accepted=False))
    assert (finding.cause, finding.confidence, finding.leg) == ("zero-udp-checksum-v6", Confidence.CERTAIN, Leg(from_=4, to=5))
    (finding,) = found(zero(sent=True, accepted=None))
    assert finding.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(zero(sent=True, accepted=True), id="accepted"),
        pytest.param(zero(sent=False, accepted=False), id="not sent"),
        pytest.param(zero(sent=None, accepted=False), id="not known to be sent"),
        pytest.param(zero(sent=True, accepted=False, grown=5), id="fewer errors than losses"),
        pytest.param(looked(BAD, {}, 24, counter="Udp6InCsumErrors").case(), id="outer IPv4"),
    ],
)
def test_look_alikes_of_a_zero_checksum(case: Case) -> None:
    assert "zero-udp-checksum-v6" not in {finding.cause for finding in found(case)}


INNER = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=())


def test_datagrams_that_conntrack_calls_invalid_behind_a_nic_that_offloads_tunnels() -> None:
    (finding,) = diagnose(looked(INNER, HARDWARE, 24, counter="conntrack.invalid").case())
    assert (finding.cause, finding.confidence, finding.leg) == ("nic-tunnel-offload", Confidence.LIKELY, Leg(from_=5, to=6))
    assert "damage on the way between the nodes" in finding.not_ruled_out


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(looked(INNER, HARDWARE, 23, counter="conntrack.invalid"), id="fewer than were lost"),
        pytest.param(looked(INNER, SOFTWARE, 24, counter="conntrack.invalid"), id="a NIC without tunnel offload"),
        pytest.param(looked(replace(INNER, protocol="TCP"), HARDWARE, 24, counter="conntrack.invalid"), id="TCP has other reasons"),
        pytest.param(looked(replace(INNER, protocol="ICMP"), HARDWARE, 24, counter="conntrack.invalid"), id="ICMP has, too"),
        pytest.param(looked(replace(INNER, requests=(lost(24, 1, 2),)), HARDWARE, 24, counter="conntrack.invalid"), id="at the sender"),
        pytest.param(
            looked(INNER, {f"{NIC}.driver": "veth", f"{NIC}.tx-udp_tnl-segmentation": "on"}, 24, counter="conntrack.invalid"),
            id="no hardware behind it",
        ),
    ],
)
def test_look_alikes_of_a_damaged_inner_packet(case: World) -> None:
    assert not found(case.case())


def silent(reason: str, *, ethtool: Mapping[str, str] = HARDWARE) -> Case:
    """All requests arrive, nothing answers, and the receiver's kernel drops one packet after each of them."""
    case = looked(replace(HEALTHY, requests=(Fate(count=24),), replies=()), ethtool, 0).case()
    times = case.tables[Tap(node=B, interface=POD_B)].time_ns[:24]
    drops = tuple(KernelDrop(node=B, time_ns=int(time) + 50_000, reason=reason, location="udp_queue_rcv_one_skb") for time in times)
    return replace(case, recording=replace(case.recording, kernel_drops=drops, started_ns=START_NS))


def test_the_pods_kernel_says_that_the_checksum_is_wrong() -> None:
    (finding,) = found(silent("UDP_CSUM"))
    assert (finding.cause, finding.confidence) == ("nic-tunnel-offload", Confidence.LIKELY)
    assert any(proof.kind == "kernel" and "UDP_CSUM" in proof.text for proof in finding.evidence)


def test_other_words_of_the_kernel_and_other_nics_do_not_make_it_so() -> None:
    assert not found(silent("SOCKET_RCVBUFF"))
    assert not found(silent("UDP_CSUM", ethtool=SOFTWARE))
