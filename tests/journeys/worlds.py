"""Recordings of simulated worlds, and what may be said of each packet: the contract's words on windows, witnesses and counts.

Written from the world's truth alone, so that it can contradict the plugin. Times here are true ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.facts import ClockReading, ConntrackEntry, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Role, ServiceRef, Tap, Vtep
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Recording
from kubectl_vxtrace.packets import read_pcaps
from tests.wire import world as wire
from tests.wire.emit import Emitted, Taken, emit
from tests.wire.places import CLIENT, CLIENT_NODE, EPOCH, SECOND, SERVICE, TUNNEL, UNDERLAY, VXLAN, TapName, address, node_of, way

READ_BEFORE_NS, READ_AFTER_NS = EPOCH - 6 * SECOND, EPOCH + 61 * SECOND
SPREAD_NS = 2_000_000
"""Between which two of the client's readings a node's clock is read."""


def record(emitted: Emitted) -> Recording:
    """The recording that a trace of the world would leave."""
    world = emitted.world
    flows = tuple(_flow(world, number) for number in range(len(world.flows)))
    paths = tuple(_path(world, number, direction) for number in range(len(world.flows)) for direction in Direction)
    captures = tuple(_result(number, one) for number, one in enumerate(emitted.taken.values(), 1))
    vteps = tuple(
        Vtep(
            node=node, interface=VXLAN, underlay_address=address(outer, world.tunnel.outer_six), mtu_bytes=world.mtu_bytes,
            vni=world.tunnel.vni, port=world.tunnel.port, address=address(TUNNEL, world.six) if node == CLIENT_NODE else None,
        )
        for node, outer in UNDERLAY.items()
    )  # fmt: skip
    return Recording(
        session="test", version="0", started_ns=EPOCH - 5 * SECOND, overlay=Overlay(backend="calico-vxlan", vteps=vteps), flows=flows,
        paths=paths, captures=captures, before=_facts(world, READ_BEFORE_NS), after=_facts(world, READ_AFTER_NS),
    )  # fmt: skip


def _flow(world: wire.World, number: int) -> Flow:
    flow, echo = world.flows[number], world.flows[number].protocol == "ICMP"
    asked = None
    if flow.service_port is not None:
        asked = ServiceRef(address=address(SERVICE, world.six), port=flow.service_port, name="kube-system/kube-dns")
    return Flow(
        id=number + 1,
        protocol=flow.protocol,
        client=Endpoint(address=address(CLIENT, world.six), node=CLIENT_NODE),
        service=asked,
        server=Endpoint(address=address(flow.server, world.six), port=None if echo else flow.server_port, node=node_of(flow.server)),
    )


def _path(world: wire.World, number: int, direction: Direction) -> HopPath:
    stops = way(world.flows[number].server, reply=direction is Direction.REPLY, shape=world.shape)
    hops = (Hop(hop=hop, role=Role(stop.role), tap=tap_of(stop.tap)) for hop, stop in enumerate(stops, 1))
    return HopPath(flow=number + 1, direction=direction, hops=tuple(hops))


def tap_of(name: TapName) -> Tap:
    return Tap(node=name[0], interface=name[1])


def _result(number: int, taken: Taken) -> CaptureResult:
    task = CaptureTask(id=number, tap=tap_of(taken.tap), role=Role.UNDERLAY, file=f"{number}.pcap", snaplen_bytes=taken.capture.snaplen)
    if taken.capture.blind:
        return CaptureResult(task=task, status=CaptureStatus.FAILED, reason="tcpdump: no such device")
    partial = taken.readable < len(taken.shots)
    return CaptureResult(
        task=task, status=CaptureStatus.PARTIAL if partial else CaptureStatus.COMPLETE,
        reason="the file ends in the middle of a packet" if partial else None, started_ns=taken.started_ns, stopped_ns=taken.stopped_ns,
        received=taken.received, captured=len(taken.shots), dropped_by_kernel=taken.dropped_by_kernel, file=task.file,
    )  # fmt: skip


def _facts(world: wire.World, at_ns: int) -> tuple[NodeFacts, ...]:
    return tuple(
        NodeFacts(
            node=node,
            taken_ns=at_ns,
            clock=ClockReading(node_ns=world.clock(node).shows(at_ns), sent_ns=at_ns - SPREAD_NS // 2, received_ns=at_ns + SPREAD_NS // 2),
            conntrack=_conntrack(world) if node == CLIENT_NODE else _conntrack_at_server(world, node),
        )
        for node in UNDERLAY
    )


def _conntrack(world: wire.World) -> tuple[ConntrackEntry, ...]:
    entries = {}
    for packet in world.packets:
        flow = world.flows[packet.flow]
        if not flow.known or (flow.service_port is None and not flow.masquerade and not flow.port_shift):
            continue
        entries[packet.flow, packet.client_port] = ConntrackEntry(
            protocol=flow.protocol.lower(),
            original_source=address(CLIENT, world.six),
            original_destination=address(SERVICE if flow.service_port is not None else flow.server, world.six),
            original_source_port=packet.client_port,
            original_destination_port=flow.service_port or flow.server_port,
            reply_source=address(flow.server, world.six),
            reply_source_port=flow.server_port,
            reply_destination=address(TUNNEL if flow.masquerade else CLIENT, world.six),
            reply_destination_port=(packet.client_port + flow.port_shift) % 65536,
        )
    return tuple(entries.values())


def _conntrack_at_server(world: wire.World, node: str) -> tuple[ConntrackEntry, ...]:
    """What arrived as its node knows it: translated before it came there, so that nothing is to be translated any more."""
    entries = {}
    for packet in world.packets:
        flow = world.flows[packet.flow]
        if not flow.known or packet.lost_after is not None or node_of(flow.server) != node:
            continue
        client, port = address(TUNNEL if flow.masquerade else CLIENT, world.six), (packet.client_port + flow.port_shift) % 65536
        server = address(flow.server, world.six)
        entries[packet.flow, packet.client_port] = ConntrackEntry(
            protocol=flow.protocol.lower(),
            original_source=client,
            original_destination=server,
            original_source_port=port,
            original_destination_port=flow.server_port,
            reply_source=server,
            reply_source_port=flow.server_port,
            reply_destination=client,
            reply_destination_port=port,
        )
    return tuple(entries.values())


def tables(emitted: Emitted) -> dict[Tap, PacketTable]:
    """The decoded files."""
    ports = {4789, 8472, emitted.world.tunnel.port}
    with TemporaryDirectory() as folder:
        files = [(tap_of(tap), path) for tap, path in emitted.write(Path(folder)).items()]
        found = read_pcaps(files, vxlan_ports=ports)
    return {tap: table for (tap, _), table in zip(files, found, strict=True) if isinstance(table, PacketTable)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A world, its files and what the plugin made of them."""

    emitted: Emitted
    case: Case


def run(world: wire.World) -> Run:
    """Emit, decode and follow a world."""
    emitted = emit(world)
    return Run(emitted=emitted, case=follow(record(emitted), tables(emitted)))


def blinded(world: wire.World, taps: Iterable[TapName]) -> wire.World:
    """The world with further taps that wrote no file."""
    return replace(world, captures={**world.captures, **{tap: replace(world.capture(tap), blind=True) for tap in taps}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The common window in true time. Between `surely_*` a packet must be counted; outside start and end it must not."""

    start_ns: int
    end_ns: int
    surely_start_ns: int
    surely_end_ns: int


def window(emitted: Emitted) -> Window:
    """From the latest start to the earliest end of the captures that ran until they were stopped."""
    starts, ends = [], []
    for one in emitted.taken.values():
        if one.capture.blind or one.readable < len(one.shots):
            continue
        starts.append(one.capture.start_ns)
        cut = one.received > len(one.shots) and one.shots
        ends.append(max(shot.time_ns for shot in one.shots) if cut else one.capture.end_ns)
    if not starts:
        return Window(start_ns=0, end_ns=0, surely_start_ns=1, surely_end_ns=0)
    start, end, unsure = max(starts), min(ends), uncertainty_ns(emitted.world)
    return Window(start_ns=start - unsure, end_ns=end + unsure, surely_start_ns=start + unsure, surely_end_ns=end - SECOND - unsure)


def uncertainty_ns(world: wire.World) -> int:
    """How far the clocks can be apart from what their readings say."""
    span = READ_AFTER_NS - READ_BEFORE_NS
    drifts = [abs(clock.drift_ppm) * span // 1_000_000 + abs(clock.step_ns) for clock in world.clocks.values()]
    return 3 * SPREAD_NS + 2 * sum(drifts)


def witness(taken: Taken) -> bool:
    """Whether a capture can testify that a packet did not pass."""
    nothing = not taken.shots and taken.received > 0
    cut = taken.readable < len(taken.shots) or taken.anonymous > 0
    return not (taken.capture.blind or taken.dropped_by_kernel or cut or nothing)


def legs_between(witnesses: Sequence[bool], lost_after: int) -> tuple[int, int] | None:
    """The neighbouring witnesses around a loss, as hop numbers; None where one is missing."""
    before = max((hop for hop, good in enumerate(witnesses, 1) if good and hop <= lost_after), default=0)
    after = min((hop for hop, good in enumerate(witnesses, 1) if good and hop > lost_after), default=0)
    return (before, after) if before and after else None
