"""A recording of bulk traffic, as a trace would have made it: captures that ran from before the first packet until after the last."""

from pathlib import Path

from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Role, ServiceRef, Tap, Vtep
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Recording
from tests.wire import bulk, frames
from tests.wire.simulator import NIC, SECOND, UNDERLAY, VXLAN

PROTOCOLS = {frames.UDP: "UDP", frames.TCP: "TCP", frames.ICMP: "ICMP"}
ROLES = {NIC: Role.UNDERLAY, VXLAN: Role.VXLAN}
MTU_BYTES = 1410


def flow_id(conversation: int, server: int) -> int:
    """The id of the flow of a conversation (its index) and a server."""
    return 1 + 2 * conversation + server


def record(source: bulk.Bulk, truth: bulk.Truth, folder: Path) -> Recording:
    """The recording of what `source` wrote to `folder`."""
    flows, paths = [], []
    for index, talk in enumerate(bulk.CONVERSATIONS):
        for server in range(2):
            flows.append(_flow(talk, server, flow_id(index, server)))
            for direction in Direction:
                taps = [Tap(node=node, interface=name) for node, name in talk.taps(server, direction is Direction.REPLY)]
                hops = tuple(Hop(hop=number, role=role_of(tap), tap=tap) for number, tap in enumerate(taps, 1))
                paths.append(HopPath(flow=flow_id(index, server), direction=direction, hops=hops))
    vteps = tuple(Vtep(node=node, interface=VXLAN, underlay_address=outer, mtu_bytes=MTU_BYTES) for node, outer in UNDERLAY.items())
    return Recording(
        session="bulk",
        version="0",
        started_ns=truth.start_ns,
        duration_s=(truth.end_ns - truth.start_ns) / SECOND,
        overlay=Overlay(backend="calico-vxlan", vteps=vteps),
        flows=tuple(flows),
        paths=tuple(paths),
        captures=tuple(_capture(number, tap, source, truth, folder) for number, tap in enumerate(bulk.TAPS, 1)),
        folder=str(folder),
    )


def role_of(tap: Tap) -> Role:
    """What the interface of a tap is."""
    return ROLES.get(tap.interface, Role.POD)


def _flow(talk: bulk.Conversation, server: int, number: int) -> Flow:
    port = talk.port or None
    return Flow(
        id=number,
        protocol=PROTOCOLS[talk.protocol],
        client=Endpoint(address=talk.client, node=bulk.CLIENT_NODE),
        service=ServiceRef(address=talk.service, port=port) if talk.service is not None else None,
        server=Endpoint(address=talk.servers[server], port=port, node=bulk.SERVER_NODES[server]),
    )


def _capture(number: int, name: tuple[str, str], source: bulk.Bulk, truth: bulk.Truth, folder: Path) -> CaptureResult:
    tap = Tap(node=name[0], interface=name[1])
    count, skew = truth.frames[name], source.skew_ns.get(name[0], 0)
    task = CaptureTask(id=number, tap=tap, role=role_of(tap), file=source.file_name(name))
    return CaptureResult(
        task=task,
        status=CaptureStatus.COMPLETE,
        started_ns=truth.start_ns - SECOND + skew,
        stopped_ns=truth.end_ns + 2 * SECOND + skew,
        received=count,
        captured=count,
        dropped_by_kernel=0,
        size_bytes=(folder / task.file).stat().st_size,
        file=task.file,
    )
