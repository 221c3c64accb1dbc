"""Captures of traffic whose client's end a node rewrites, its address or its port: what goes on is nobody else's traffic."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kubectl_vxtrace.model.report import TraceReport, Verdict
from tests.handover import build
from tests.wire import frames
from tests.wire.emit import emit
from tests.wire.places import CLIENT, EPOCH, FIRST, NIC, PODS, VXLAN, TapName
from tests.wire.world import Flow, Packet, World

COUNT = 20
ELSEWHERE = "10.244.106.99"
"""A pod of the third node, which nobody captured."""
MS = 1_000_000


MASQUERADED = Flow(server_port=3010, masquerade=True)
"""The VXLAN device's address is the client's from there on."""
OTHER_PORT = Flow(server_port=3010, port_shift=500)


def said(
    flow: Flow = MASQUERADED,
    *,
    lost: tuple[int, ...] = (),
    answered: bool = True,
    service_port: int | None = None,
    sockets: int = 1,
    numbered: bool = True,
) -> TraceReport:
    """What is said of a pod's questions whose source its node rewrites; the `lost` ones die on the wire."""
    packets: list[Packet] = []
    for number in range(COUNT):
        port, at_ns = 41_000 + number % sockets, EPOCH + number * 10 * MS
        packets.append(
            Packet(
                client_port=port,
                time_ns=at_ns,
                payload=b"question %02d, with a payload" % number,
                ip_id=5_001 + number if numbered else 0,
                lost_after=3 if number in lost else None,
            )
        )
        if answered and number not in lost:
            answer = b"answer %02d, with a payload" % number
            packets.append(Packet(reply=True, client_port=port, time_ns=at_ns + MS // 2, payload=answer, ip_id=8_001 + number))
    world = World(flows=(replace(flow, service_port=service_port),), packets=tuple(packets))
    with TemporaryDirectory() as folder:
        written = emit(world).write(Path(folder))
        files = {f"{node}_{interface}.pcap": path.read_bytes() for (node, interface), path in written.items()}
    with TemporaryDirectory() as folder:
        return build.report_of(Path(folder), files)


def ends(report: TraceReport) -> set[tuple[str | None, str | None]]:
    return {(flow.client.address, flow.server.address if flow.server is not None else None) for flow in report.flows}


def losses(report: TraceReport) -> list[tuple[int, int | None, int]]:
    """The legs on which requests were lost, and how many."""
    return [(leg.from_, leg.to, leg.lost) for flow in report.flows for leg in flow.directions[0].legs if leg.lost]


@pytest.mark.parametrize("service_port", [None, 80], ids=["straight", "through a Service"])
@pytest.mark.parametrize("sockets", [1, COUNT], ids=["one socket", "many"])
def test_what_is_answered_is_delivered(service_port: int | None, sockets: int) -> None:
    report = said(service_port=service_port, sockets=sockets)
    assert (report.verdict, report.completeness.complete, report.findings) == (Verdict.DELIVERED, True, ())
    assert ends(report) == {(CLIENT, FIRST)}


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "nobody answers"])
def test_losses_are_counted_where_they_are(answered: bool) -> None:
    report = said(lost=(3, 4), answered=answered)
    assert report.verdict is Verdict.LOST
    assert losses(report) == [(3, 4, 2)]


@pytest.mark.parametrize("numbered", [True, False], ids=["IP IDs", "none"])
def test_what_nobody_answers_did_not_vanish_at_the_client(numbered: bool) -> None:
    report = said(answered=False, numbered=numbered)
    assert report.verdict is Verdict.UNANSWERED
    assert sum(leg.lost for flow in report.flows for direction in flow.directions for leg in direction.legs) == 0


@pytest.mark.parametrize("service_port", [None, 3010], ids=["straight", "through a Service"])
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "nobody answers"])
@pytest.mark.parametrize("lost", [(), (3, 4)], ids=["whole", "two lost on the wire"])
def test_a_rewritten_port_is_a_translation(lost: tuple[int, ...], answered: bool, service_port: int | None) -> None:
    report = said(OTHER_PORT, lost=lost, answered=answered, service_port=service_port)
    assert report.verdict is (Verdict.LOST if lost else Verdict.DELIVERED if answered else Verdict.UNANSWERED)
    assert [(leg.from_, leg.to, leg.lost) for flow in report.flows for leg in flow.directions[0].legs if leg.lost] == [(3, 4, 2)] * bool(
        lost
    )
    assert ends(report) == {(CLIENT, FIRST)}
    assert "nat-port-rewritten" in {finding.cause for finding in report.findings}


def test_two_clients_with_the_same_heartbeat_stay_two() -> None:
    """All alike, and without an IP ID: what the one's interface did not send is the other's."""
    own, near = ("ada-ec-1", PODS[CLIENT]), [("ada-ec-2", NIC), ("ada-ec-2", VXLAN), ("ada-ec-2", PODS[FIRST])]
    shots: dict[TapName, list[tuple[int, bytes]]] = {tap: [] for tap in (own, *near)}
    for number in range(COUNT):
        for client, node, late_ns in ((CLIENT, "10.128.0.72", 0), (ELSEWHERE, "10.128.0.96", 3 * MS)):
            at_ns = EPOCH + number * 10 * MS + late_ns
            datagram = frames.udp(b"heartbeat", source=41_000, destination=3010)
            packet = frames.ethernet(frames.ipv4(datagram, source=client, destination=FIRST, protocol=frames.UDP))
            carrier = frames.udp(frames.vxlan(packet, vni=4096), source=50_000, destination=4789)
            outer = frames.ethernet(frames.ipv4(carrier, source=node, destination="10.128.0.95", protocol=frames.UDP, ident=number + 1))
            for tap in (*([own] if client == CLIENT else []), *near):
                shots[tap].append((at_ns, outer if tap[1] == NIC else packet))
    with TemporaryDirectory() as folder:
        report = build.report_of(Path(folder), build.by_interface(shots))
    assert ends(report) == {(CLIENT, FIRST), (ELSEWHERE, FIRST)}
