"""Backends of a Service that the client asks directly."""

from dataclasses import replace

import numpy as np

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.journeys.attribute.direct_flows import with_direct_flows
from kubectl_vxtrace.model.address import packed_address
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Hop, Role, Tap
from kubectl_vxtrace.model.recording import Recording
from tests.journeys.build import lookups, record, tables_of
from tests.wire import simulator as wire
from tests.wire import traffic

A, B = wire.SERVERS


def talking(*, lost: int | None = None) -> wire.Simulator:
    """Three lookups through the Service, which vanish behind hop `lost`, and two of its backend A."""
    simulator = wire.Simulator()
    lookups(simulator, 3, vanished=lost)
    simulator.service = None
    lookups(simulator, 2, first=10)
    simulator.service = wire.SERVICE
    return simulator


def counts(case: Case, *, service: bool, direction: Direction = Direction.REQUEST) -> list[int]:
    (traced,) = (
        path for path in case.paths if path.path.direction is direction and (path.flow.service is not None) is service and path.flow.server
    )
    return [hop.packets for hop in traced.hops if hop.expected]


def test_they_are_flows_of_their_own() -> None:
    simulator = talking()
    case = follow(record(simulator), tables_of(simulator))
    for direction in Direction:
        assert counts(case, service=True, direction=direction) == [3] * 6
        assert counts(case, service=False, direction=direction) == [2] * 6
    assert [(flow.service is None, flow.server and flow.server.address) for flow in case.flows] == [(False, A), (True, A)]
    assert len({flow.id for flow in case.flows}) == 2


def test_a_dead_service_beside_healthy_direct_talk() -> None:
    simulator = talking(lost=1)
    case = follow(record(simulator), tables_of(simulator))
    (unknown,) = (path for path in case.paths if path.flow.server is None)
    assert unknown.journeys.outcome.tolist() == [OutcomeCode.LOST] * 3
    assert counts(case, service=False) == [2] * 6


def test_only_what_was_asked_is_one() -> None:
    """Nothing is asked of B, and no flow made of it; nor twice of A, where that was asked for already."""
    simulator = talking()
    recording, tables = record(simulator), tables_of(simulator)
    extended = with_direct_flows(recording, tables)
    assert [flow.server and flow.server.address for flow in extended.flows[len(recording.flows) :]] == [A]
    assert with_direct_flows(extended, tables) == extended


def test_what_a_node_sends_back_to_the_pod_is_no_question_of_its_own() -> None:
    """The Service's backend is the client itself, and its node does not masquerade: the second sighting is from and to its address."""
    simulator = talking()
    recording, tables = record(simulator), tables_of(simulator)
    tap = Tap(node=wire.CLIENT_NODE, interface=wire.PODS[wire.CLIENT])
    known, own = tables[tap].conversations, recording.flows[0].client
    to_backend = (known.destination == np.frombuffer(packed_address(A) or b"", dtype=np.uint8)).all(axis=1)
    back = np.where(to_backend[:, np.newaxis], known.source, known.destination)
    seen = {**tables, tap: replace(tables[tap], conversations=replace(known, destination=back))}
    flows = tuple(replace(flow, server=replace(flow.server, address=own.address) if flow.server else None) for flow in recording.flows)
    itself = replace(recording, flows=flows)
    assert with_direct_flows(itself, seen).flows == flows
    assert len(with_direct_flows(recording, tables).flows) == len(flows) + 1


def test_a_headless_service_is_asked_directly_as_it_is() -> None:
    simulator = wire.Simulator(service=None)
    lookups(simulator, 3)
    flows = tuple(replace(flow, service=replace(flow.service, address=None)) for flow in record(wire.Simulator()).flows if flow.service)
    case = follow(replace(record(simulator), flows=flows), tables_of(simulator))
    assert counts(case, service=True) == [3] * 6


def test_a_reset_of_what_was_not_translated_back_asks_nothing() -> None:
    """The Service's reply comes with the backend's address, and the client's host resets what it does not know."""
    simulator = wire.Simulator()
    simulator.tcp(A, time_ns=wire.EPOCH, client_port=40_000, flags=traffic.SYN, seq=1, ident=1)
    simulator.service = None
    simulator.tcp(A, time_ns=wire.EPOCH + 500_000, client_port=40_000, flags=traffic.SYN_ACK, seq=9, ack=2, reply=True)
    simulator.tcp(A, time_ns=wire.EPOCH + 900_000, client_port=40_000, flags=traffic.RST, seq=2)
    simulator.service = wire.SERVICE
    case = follow(record(simulator, protocol="TCP", port=80), tables_of(simulator))
    assert counts(case, service=True) == [2] * 6
    assert counts(case, service=True, direction=Direction.REPLY) == [1] * 6


def test_a_bridge_switches_them_between_its_ports() -> None:
    """Packets to the Service go up to the node's routing and pass the bridge's own interface."""
    simulator = talking()
    recording = record(simulator)
    own, far, bridge = (Tap(node=wire.CLIENT_NODE, interface=name) for name in (wire.PODS[wire.CLIENT], "veth2", "cni0"))
    hops = tuple(
        Hop(hop=number, role=role, tap=tap)
        for number, (role, tap) in enumerate(((Role.POD, own), (Role.BRIDGE, bridge), (Role.BRIDGE, bridge), (Role.POD, far)), 1)
    )
    extended = with_direct_flows(_on_one_node(recording, hops), tables_of(simulator))
    assert [(hop.hop, hop.tap) for path in extended.paths if path.flow == 3 for hop in path.hops] == [(1, own), (2, far)] * 2


def _on_one_node(recording: Recording, hops: tuple[Hop, ...]) -> Recording:
    flow = recording.flows[0]
    flows = (replace(flow, server=replace(flow.server, node=wire.CLIENT_NODE) if flow.server else None), *recording.flows[1:])
    paths = tuple(replace(path, hops=hops) if path.flow == flow.id else path for path in recording.paths)
    return replace(recording, flows=flows, paths=paths)
