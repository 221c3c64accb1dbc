"""Recordings of simulated captures, as a trace would have made them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Role, ServiceRef, Tap, Vtep
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Recording
from kubectl_vxtrace.packets import read_pcaps
from tests.wire import simulator as wire

START = wire.EPOCH - 5 * wire.SECOND
STOP = wire.EPOCH + 600 * wire.SECOND
ROLES = {wire.NIC: Role.UNDERLAY, wire.VXLAN: Role.VXLAN}


def role_of(tap: Tap) -> Role:
    return ROLES.get(tap.interface, Role.POD)


def paths_of(flow: int, server: str) -> tuple[HopPath, HopPath]:
    found = []
    for direction in Direction:
        taps = [Tap(node=node, interface=name) for node, name in wire.hops_to(server, reply=direction is Direction.REPLY)]
        hops = tuple(Hop(hop=number, role=role_of(tap), tap=tap) for number, tap in enumerate(taps, 1))
        found.append(HopPath(flow=flow, direction=direction, hops=hops))
    return found[0], found[1]


def flow_of(number: int, server: str, *, protocol: str, port: int | None, service: str | None = wire.SERVICE) -> Flow:
    return Flow(
        id=number,
        protocol=protocol,
        client=Endpoint(address=wire.CLIENT, node=wire.CLIENT_NODE),
        service=ServiceRef(address=service, port=port, name="kube-system/kube-dns") if service else None,
        server=Endpoint(address=server, port=port, node=wire.SERVERS[server]),
    )


def record(
    simulator: wire.Simulator,
    *,
    protocol: str = "UDP",
    port: int | None = 53,
    status: CaptureStatus = CaptureStatus.COMPLETE,
    mtu_bytes: int | None = 1410,
) -> Recording:
    """The recording that a trace of both servers would leave; its captures ran long before and after the traffic."""
    flows = tuple(
        flow_of(number, server, protocol=protocol, port=port, service=simulator.service) for number, server in enumerate(wire.SERVERS, 1)
    )
    names = sorted({tap for server in wire.SERVERS for tap in wire.hops_to(server)})
    captures = tuple(_capture(number, Tap(node=node, interface=name), simulator, status) for number, (node, name) in enumerate(names, 1))
    vteps = tuple(
        Vtep(node=node, interface=wire.VXLAN, underlay_address=outer, mtu_bytes=mtu_bytes) for node, outer in wire.UNDERLAY.items()
    )
    paths = tuple(path for flow in flows if flow.server for path in paths_of(flow.id, flow.server.address))
    return Recording(
        session="test", version="0", started_ns=START, overlay=Overlay(backend="calico-vxlan", vteps=vteps), flows=flows, paths=paths,
        captures=captures,
    )  # fmt: skip


def _capture(number: int, tap: Tap, simulator: wire.Simulator, status: CaptureStatus) -> CaptureResult:
    task = CaptureTask(id=number, tap=tap, role=role_of(tap), file=f"{number}.pcap")
    frames = simulator.files.get((tap.node, tap.interface))
    if frames is None:
        return CaptureResult(task=task, status=CaptureStatus.FAILED, reason="tcpdump: no such device")
    if status is CaptureStatus.PRESUMED:
        return CaptureResult(task=task, status=status, file=task.file)
    skew, count = simulator.skew_ns.get(tap.node, 0), len(frames)
    return CaptureResult(
        task=task, status=status, started_ns=START + skew, stopped_ns=STOP + skew, received=count, captured=count, dropped_by_kernel=0,
        file=task.file,
    )  # fmt: skip


def change(recording: Recording, tap: Tap, **fields: object) -> Recording:
    """The recording with one capture changed."""
    captures = tuple(replace(one, **fields) if one.task.tap == tap else one for one in recording.captures)  # type: ignore[arg-type]
    return replace(recording, captures=captures)


def tables_of(simulator: wire.Simulator) -> dict[Tap, PacketTable]:
    with TemporaryDirectory() as folder:
        files = [(Tap(node=tap[0], interface=tap[1]), path) for tap, path in simulator.write(Path(folder)).items()]
        found = read_pcaps(files)
    return {tap: table for (tap, _), table in zip(files, found, strict=True) if isinstance(table, PacketTable)}


def follow_all(simulator: wire.Simulator, recording: Recording | None = None) -> Case:
    return follow(recording or record(simulator), tables_of(simulator))


def journeys_of(case: Case, server: str | None, direction: Direction = Direction.REQUEST) -> JourneyTable:
    """The journeys of one server's flow, or of the flow without a server."""
    return traced_of(case, server, direction).journeys


def traced_of(case: Case, server: str | None, direction: Direction = Direction.REQUEST) -> TracedPath:
    """The path of one server's flow, or of the flow without a server."""
    flow = next(flow for flow in case.flows if (flow.server.address if flow.server else None) == server)
    return next(traced for traced in case.paths if traced.flow.id == flow.id and traced.path.direction is direction)


def lost_of(case: Case, server: str | None, direction: Direction = Direction.REQUEST) -> dict[tuple[int, int], int]:
    """How many were lost per leg."""
    table = journeys_of(case, server, direction)
    legs = zip(table.lost_from[table.outcome == OutcomeCode.LOST], table.lost_to[table.outcome == OutcomeCode.LOST], strict=True)
    found: dict[tuple[int, int], int] = {}
    for start, end in legs:
        found[int(start), int(end)] = found.get((int(start), int(end)), 0) + 1
    return found


def outcomes(case: Case, server: str | None, direction: Direction = Direction.REQUEST) -> list[OutcomeCode]:
    return [OutcomeCode(int(value)) for value in journeys_of(case, server, direction).outcome]


def hop_packets(case: Case, server: str | None, direction: Direction = Direction.REQUEST) -> list[int]:
    return [hop.packets for hop in traced_of(case, server, direction).hops if hop.expected]


def read_clocks(recording: Recording, skew_ns: Mapping[str, int], *, spread_ns: int = 2_000_000) -> Recording:
    """The recording with each node's clock read over exec, within `spread_ns`."""
    now = wire.EPOCH
    facts = tuple(
        NodeFacts(
            node=node,
            clock=ClockReading(node_ns=now + skew_ns.get(node, 0), sent_ns=now - spread_ns // 2, received_ns=now + spread_ns // 2),
        )
        for node in wire.UNDERLAY
    )
    return replace(recording, before=facts)


def lookups(simulator: wire.Simulator, count: int, *, server: str = wire.FIRST, vanished: int | None = None, first: int = 0) -> None:
    """Questions from a new port each, 10 ms apart, with their answers if they arrive."""
    for number in range(first, first + count):
        at = wire.EPOCH + number * 10_000_000
        simulator.udp(server, time_ns=at, payload=b"q%d" % number, client_port=40_000 + number, ident=number + 1, vanished=vanished)
        if vanished is None:
            simulator.udp(server, time_ns=at + 500_000, payload=b"a%d" % number, client_port=40_000 + number, ident=number + 1, reply=True)
