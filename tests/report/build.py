"""A small report to render, with every part filled."""

import itertools

from kubectl_vxtrace.model.cluster import CleanupState
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.report import (
    Blind,
    CaptureLine,
    CleanupReport,
    Completeness,
    Confidence,
    DirectionReport,
    EndpointReport,
    Evidence,
    EvidenceKind,
    Finding,
    FlowReport,
    FrameRef,
    HopCount,
    Impact,
    Leg,
    LegTally,
    Metadata,
    Outer,
    OverlayDevice,
    OverlayReport,
    PacketLine,
    ServiceReport,
    Severity,
    SightingReport,
    TraceReport,
    Verdict,
)

OUTER = Outer(source="10.128.0.72", destination="10.128.0.95", port=4789, vni=4096)
REMEDIATION = "look: tcpdump on ada-ec-2; then allow UDP 4789"


def hops(counts: tuple[int, ...]) -> tuple[HopCount, ...]:
    roles = (Role.POD, Role.VXLAN, Role.UNDERLAY, Role.UNDERLAY, Role.VXLAN, Role.POD)
    names = ("cali9d8b6a7d855", "vxlan.calico", "ens4", "ens4", "vxlan.calico", "cali2b903875fe4")
    return tuple(
        HopCount(
            hop=number,
            role=role,
            node="ada-ec-1" if number <= 3 else "ada-ec-2",
            interface=name,
            capture=number,
            packets=count,
            frames=count,
            control=31,
            tuple="10.244.114.75 > 10.96.0.10:53" if number == 1 else "10.244.114.75 > 10.244.56.129:53",
            outer=OUTER if role is Role.UNDERLAY and count else None,
        )
        for number, (role, name, count) in enumerate(zip(roles, names, counts, strict=True), start=1)
    )


def _capture(hop: HopCount) -> CaptureLine:
    return CaptureLine(
        id=hop.hop,
        node=hop.node,
        interface=hop.interface,
        filter="udp",
        argv=("tcpdump",),
        started=None,
        stopped=None,
        snaplen=512,
        received=40,
        captured=40,
        dropped_by_kernel=0,
        file=f"{hop.node}-{hop.role}.pcap",
        bytes=9000,
        sha256="00",
    )


def legs(counts: tuple[int, ...]) -> tuple[LegTally, ...]:
    return tuple(
        LegTally(from_=number, to=number + 1, sent=sent, arrived=arrived, lost=sent - arrived)
        for number, (sent, arrived) in enumerate(itertools.pairwise(counts), start=1)
    )


def direction(name: Direction, counts: tuple[int, ...], verdict: Verdict) -> DirectionReport:
    return DirectionReport(direction=name, verdict=verdict, hops=hops(counts), legs=legs(counts))


def report(*, pod: str = "kotsadm/kotsadm-58f859745b-x4nh8", evidence: str = "24 requests were handed to the driver") -> TraceReport:
    """24 of 24 requests are lost on the wire."""
    lost = (24, 24, 24, 0, 0, 0)
    flow = FlowReport(
        id=1,
        protocol="UDP",
        connections=24,
        client=EndpointReport(address="10.244.114.75", pod=pod, node="ada-ec-1"),
        server=EndpointReport(address="10.244.56.129", port=53, pod="kube-system/coredns-86b5dd7f68-9zdn8", node="ada-ec-2"),
        candidates=(),
        service=ServiceReport(address="10.96.0.10", port=53, name="kube-system/kube-dns"),
        directions=(
            direction(Direction.REQUEST, lost, Verdict.LOST),
            direction(Direction.REPLY, (0, 0, 0, 0, 0, 0), Verdict.NO_TRAFFIC),
        ),
    )
    finding = Finding(
        cause="underlay-udp-blocked",
        confidence=Confidence.CERTAIN,
        severity=Severity.ERROR,
        flow=1,
        direction=Direction.REQUEST,
        leg=Leg(from_=3, to=4),
        packets=24,
        summary="the underlay loses what ada-ec-1 sends",
        evidence=(Evidence(kind=EvidenceKind.PACKETS, text=evidence, frames=(FrameRef(capture=3, frame=7),)),),
        remediation=REMEDIATION,
        not_ruled_out=("a drop below ada-ec-2's tap",),
    )
    line = PacketLine(
        id=1,
        flow=1,
        direction=Direction.REQUEST,
        client_port=41234,
        summary="DNS A? kotsadm-rqlite.kotsadm",
        outcome=Verdict.LOST,
        sightings=tuple(SightingReport(hop=hop, time="2026-11-23T12:00:01.123456789Z", frame=7) for hop in (1, 2, 3)),
    )
    return TraceReport(
        verdict=Verdict.LOST,
        impact=Impact.TOTAL,
        cause="underlay-udp-blocked",
        summary="LOST, 24 of 24, between ada-ec-1/ens4 and ada-ec-2/ens4",
        remediation=REMEDIATION,
        metadata=Metadata(session="7f3a", started="2026-11-23T12:00:00.000000000Z", duration_s=5.0, version="0.1.0"),
        completeness=Completeness(complete=False, blind=(Blind(node="ada-ec-3", interface=None, reason="not ready"),)),
        overlay=OverlayReport(
            backend="calico-vxlan", devices=(OverlayDevice(node="ada-ec-1", interface="vxlan.calico", vni=4096, port=4789, mtu=1410),)
        ),
        flows=(flow,),
        packets=(line,),
        findings=(finding,),
        clocks=(),
        captures=tuple(_capture(hop) for hop in hops((24, 24, 24, 0, 0, 0))),
        cleanup=CleanupReport(state=CleanupState.CONFIRMED),
    )
