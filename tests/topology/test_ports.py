"""A pod behind a port of a bridge that its node had forgotten."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.model.facts import Link, NodeFacts, RouteLookup, VxlanDevice
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Role, Tap, Vtep
from kubectl_vxtrace.model.path import Path as FlowPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Gap, Recording
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.topology.ports import settle_ports
from tests.topology.frames import ethernet, ip, pcap, udp

NODE, CLIENT, POD = "ada-ec-2", "10.42.0.7", "10.42.1.8"
NAMELESS = Tap(node=NODE, interface="")
VETH2, VETH8 = (Tap(node=NODE, interface=name) for name in ("veth2", "veth8"))
ASKED = ethernet(ip(CLIENT, POD, 17, udp(40000, 53), ident=1, ttl=62))
ANSWERED = ethernet(ip(POD, CLIENT, 17, udp(53, 40000), ident=2, ttl=64))
ELSE = ethernet(ip(CLIENT, "10.42.1.9", 17, udp(40000, 53), ident=3, ttl=62))


def recording(*, status: CaptureStatus = CaptureStatus.COMPLETE, xdp: bool = False) -> Recording:
    bridge = Tap(node=NODE, interface="cni0")
    request = FlowPath(
        flow=1, direction=Direction.REQUEST, hops=(Hop(hop=1, role=Role.BRIDGE, tap=bridge), Hop(hop=2, role=Role.POD, tap=NAMELESS))
    )
    reply = FlowPath(
        flow=1, direction=Direction.REPLY, hops=(Hop(hop=1, role=Role.POD, tap=NAMELESS), Hop(hop=2, role=Role.BRIDGE, tap=bridge))
    )
    taps = ((bridge, Role.BRIDGE, status), (NAMELESS, Role.POD, CaptureStatus.FAILED), (VETH2, Role.POD, status), (VETH8, Role.POD, status))
    captures = tuple(
        CaptureResult(task=CaptureTask(id=number, tap=tap, role=role, file=f"{number}.pcap"), status=each, dropped_by_kernel=0)
        for number, (tap, role, each) in enumerate(taps, 1)
    )
    server = Endpoint(address=POD, port=53, pod="default/dns", node=NODE)
    gap = Gap(node=NODE, interface="", reason="the interface of default/dns is not known: no neighbour entry for 10.42.1.8 on cni0")
    facts = NodeFacts(node=NODE, links=tuple(Link(name=tap.interface, index=4, xdp=xdp) for tap in (VETH2, VETH8)))
    flow = Flow(id=1, protocol="UDP", client=Endpoint(address=CLIENT), server=server)
    return Recording(
        session="x", version="0", started_ns=0, overlay=Overlay(), flows=(flow,),
        paths=(request, reply), captures=captures, gaps=(gap,), before=(facts,),
    )  # fmt: skip


def tables(folder: Path, frames: Mapping[Tap, list[bytes]]) -> dict[Tap, PacketTable]:
    found = {}
    for tap, sent in frames.items():
        path = folder / f"{tap.interface}.pcap"
        path.write_bytes(pcap(sent))
        found[tap] = read_pcap(path, tap=tap)
    return found


def ends(settled: Recording) -> list[Tap]:
    return [hop.tap for path in settled.paths for hop in path.hops if hop.role is Role.POD]


def test_the_port_that_saw_its_answers_is_the_pods(tmp_path: Path) -> None:
    settled = settle_ports(recording(), tables(tmp_path, {VETH2: [ASKED], VETH8: [ASKED, ANSWERED]}))
    assert ends(settled) == [VETH8, VETH8]
    assert settled.gaps == ()
    assert NAMELESS not in {capture.task.tap for capture in settled.captures}


def test_a_flooded_question_names_no_port(tmp_path: Path) -> None:
    before = recording()
    assert settle_ports(before, tables(tmp_path, {VETH2: [], VETH8: [ASKED]})) == before


def test_where_no_port_saw_any_the_hop_is_a_witness_of_zero_without_a_name(tmp_path: Path) -> None:
    settled = settle_ports(recording(), tables(tmp_path, {VETH2: [ELSE], VETH8: []}))
    (tap,) = set(ends(settled))
    assert tap.interface == ""
    capture = next(capture for capture in settled.captures if capture.task.tap == tap)
    assert (capture.status, capture.task.id) == (CaptureStatus.ZERO, 2)
    assert capture.reason == f"none of the 2 ports that may be the pod's saw a packet of {POD}"
    assert settled.gaps == ()


@pytest.mark.parametrize("before", [recording(status=CaptureStatus.PARTIAL), recording(xdp=True)], ids=["ended early", "XDP"])
def test_ports_that_cannot_testify_settle_nothing(before: Recording, tmp_path: Path) -> None:
    assert settle_ports(before, tables(tmp_path, {VETH2: [], VETH8: []})) == before


def test_without_watched_ports_nothing_changes() -> None:
    before = recording()
    bare = replace(before, captures=before.captures[:2])
    assert settle_ports(bare, {}) == bare


def without_ports(*answers: RouteLookup | None) -> Recording:
    """Nothing is watched in the pod's place; each look at its node says so of the way to it."""
    before = recording()
    links = (
        Link(name="eth0", index=2, addresses=("10.128.0.95/24",)),
        Link(name="flannel.1", index=3, kind="vxlan", vxlan=VxlanDevice(vni=1, port=8472)),
    )
    looks = [NodeFacts(node=NODE, links=links, lookups=(answer,) if answer is not None else ()) for answer in answers]
    overlay = Overlay(vteps=(Vtep(node=NODE, interface="flannel.1", underlay_address="10.128.0.95"),))
    return replace(before, captures=before.captures[:2], before=tuple(looks[:1]), after=tuple(looks[1:]), overlay=overlay)


ASTRAY = RouteLookup(destination=POD, gateway="10.128.0.1", device="eth0")


@pytest.mark.parametrize(
    "answer",
    [
        ASTRAY,
        RouteLookup(destination=POD, type="blackhole", error="Invalid argument"),
        RouteLookup(destination=POD, device="flannel.1"),
        RouteLookup(destination=POD, device="eth0"),
    ],
    ids=["by the default route", "a blackhole", "into the tunnel", "on the NIC's own network"],
)
def test_a_pod_to_which_no_way_leads_is_a_witness_of_zero(answer: RouteLookup) -> None:
    settled = settle_ports(without_ports(answer, answer), {})
    (tap,) = set(ends(settled))
    capture = next(capture for capture in settled.captures if capture.task.tap == tap)
    assert (tap.interface, tap.place, capture.status) == ("", POD, CaptureStatus.ZERO)
    assert "no route of ada-ec-2 leads to default/dns" in (capture.reason or "")
    assert settled.gaps == ()


@pytest.mark.parametrize(
    "before",
    [
        without_ports(),
        without_ports(None, None),
        without_ports(ASTRAY, None),
        without_ports(ASTRAY, RouteLookup(destination=POD, device="veth2")),
    ],
    ids=["no look", "not asked", "asked once", "a way later"],
)
def test_a_way_that_is_not_known_to_lead_elsewhere_leaves_the_hop_blind(before: Recording) -> None:
    assert settle_ports(before, {}) == before
