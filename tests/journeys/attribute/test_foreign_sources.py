"""Packets that came out of the client's pod with an address that is not its own."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow, with_foreign_sources
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Path
from kubectl_vxtrace.model.recording import Recording
from tests.journeys.build import hop_packets, lookups, lost_of, tables_of
from tests.journeys.spoofing import AT_HOME, BEHIND, FIRST_TAP, FOREIGN, recorded, spoof
from tests.wire import simulator as wire


def traced(simulator: wire.Simulator, recording: Recording | None = None) -> Case:
    tables = tables_of(simulator)
    return follow(with_foreign_sources(recording or recorded(simulator), tables), tables)


def test_they_are_a_flow_of_their_own_that_vanishes_behind_the_pods_interface() -> None:
    simulator = wire.Simulator()
    spoof(simulator, 20)
    case = traced(simulator)
    (flow,) = case.flows
    assert (flow.foreign, flow.client.address, flow.server) == (True, FOREIGN, None)
    assert {end.address for end in flow.candidates} == set(wire.SERVERS)
    assert hop_packets(case, None) == [20, 0]
    assert lost_of(case, None) == {(1, 2): 20}
    assert [(path.direction, [hop.tap for hop in path.hops]) for path in (traced.path for traced in case.paths)] == [
        (Direction.REQUEST, [FIRST_TAP, BEHIND])
    ]


def test_a_server_that_is_asked_itself() -> None:
    simulator = wire.Simulator(service=None)
    spoof(simulator, 5, target=wire.FIRST)
    case = traced(simulator)
    (flow,) = case.flows
    assert (flow.foreign, flow.server and flow.server.address) == (True, wire.FIRST)
    assert lost_of(case, wire.FIRST) == {(1, 2): 5}


def test_the_pods_own_packets_are_counted_apart() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3)
    spoof(simulator, 4)
    case = traced(simulator)
    assert [(flow.foreign, flow.client.address) for flow in case.flows] == [(False, wire.CLIENT), (True, FOREIGN)]
    assert hop_packets(case, wire.FIRST) == [3] * 6
    assert hop_packets(case, wire.FIRST, Direction.REPLY) == [3] * 6
    assert lost_of(case, None) == {(1, 2): 4}


def test_what_passes_is_seen_to_pass() -> None:
    """A pod that routes for a network: its node forwards what it sends."""
    simulator = wire.Simulator()
    spoof(simulator, 6, taps=(FIRST_TAP, BEHIND))
    case = traced(simulator)
    assert hop_packets(case, wire.FIRST) == [6, 6]
    assert lost_of(case, wire.FIRST) == {}


def test_the_four_most_frequent_sources() -> None:
    simulator = wire.Simulator()
    for number in range(1, 7):
        spoof(simulator, number, source=f"192.168.7.{number}")
    assert [flow.client.address for flow in traced(simulator).flows] == [f"192.168.7.{number}" for number in (6, 5, 4, 3)]


def with_filter(recording: Recording) -> Recording:
    assert recording.request is not None
    return replace(recording, request=replace(recording.request, filter="src port 41234"))


def on_host(recording: Recording) -> Recording:
    return replace(recording, flows=tuple(replace(flow, client=replace(flow.client, host_network=True)) for flow in recording.flows))


def bridged(recording: Recording) -> Recording:
    """Another hop between the pod's interface and the VXLAN device."""

    def longer(path: Path) -> Path:
        return replace(path, hops=(path.hops[0], replace(path.hops[0], tap=replace(FIRST_TAP, interface="cni0")), *path.hops[1:]))

    return replace(recording, paths=tuple(longer(path) for path in recording.paths))


@pytest.mark.parametrize(
    ("change", "count"),
    [
        pytest.param(lambda one: one, 1, id="a flow of its own"),
        pytest.param(with_filter, 0, id="the user's filter was not applied to them"),
        pytest.param(on_host, 0, id="the host's network has many addresses"),
        pytest.param(bridged, 0, id="a bridge may flood others' packets"),
        pytest.param(lambda one: replace(one, snapshot=None), 0, id="nobody knows the pod's addresses"),
        pytest.param(lambda one: replace(one, request=None), 0, id="files recorded by hand"),
    ],
)
def test_where_they_are_looked_for(change: Callable[[Recording], Recording], count: int) -> None:
    simulator = wire.Simulator()
    spoof(simulator, 3)
    assert len(traced(simulator, change(recorded(simulator))).flows) == count


@pytest.mark.parametrize(
    ("source", "addresses", "sources_but"),
    [
        pytest.param("10.244.114.90", (wire.CLIENT, "10.244.114.90"), (), id="another address of the pod"),
        pytest.param(FOREIGN, (wire.CLIENT,), None, id="an older trace: the next hop does not see them"),
        pytest.param("10.244.114.90", (wire.CLIENT,), AT_HOME, id="of a network that the next hop's filter leaves out"),
        pytest.param(FOREIGN, (wire.CLIENT,), ("no network",), id="a bundle that says nonsense"),
        pytest.param("0.0.0.0", (wire.CLIENT,), (), id="no address yet"),
        pytest.param("169.254.7.7", (wire.CLIENT,), (), id="link-local"),
        pytest.param(wire.FIRST, (wire.CLIENT,), (), id="a server's answer"),
        pytest.param(wire.UNDERLAY["ada-ec-2"], (wire.CLIENT,), (), id="a node's"),
    ],
)
def test_sources_that_are_nobodys_fault(source: str, addresses: tuple[str, ...], sources_but: tuple[str, ...] | None) -> None:
    simulator = wire.Simulator()
    spoof(simulator, 3, source=source)
    recording = recorded(simulator, addresses=addresses, sources_but=sources_but)
    assert with_foreign_sources(recording, tables_of(simulator)) is recording


def test_another_port_is_nobodys_question() -> None:
    simulator = wire.Simulator()
    spoof(simulator, 3, port=9153)
    assert traced(simulator).flows == ()
