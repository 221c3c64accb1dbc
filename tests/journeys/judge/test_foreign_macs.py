"""What came to a pod's own interface for a MAC address that the pod does not have: it has not arrived."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.datapath import PodInterface, PodNamespace
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import Recording
from tests.journeys.build import outcomes, record, tables_of, traced_of
from tests.wire import frames
from tests.wire import simulator as wire

SERVER, MS = wire.FIRST, 1_000_000
OTHER = "02:00:00:00:00:99"
"""The simulator's frames are for `frames.MAC_B`."""


def asked(*, answered: bool = False) -> wire.Simulator:
    simulator = wire.Simulator()
    for number in range(4):
        at = wire.EPOCH + number * wire.SECOND
        simulator.udp(SERVER, time_ns=at, client_port=40_000 + number, payload=b"a question", ident=number)
        if answered:
            simulator.udp(SERVER, time_ns=at + MS, client_port=40_000 + number, payload=b"an answer", ident=100 + number, reply=True)
    return simulator


def knowing(recording: Recording, *macs: str, address: str = SERVER) -> Recording:
    """The recording, in which a pod of the server's node has interfaces with those MAC addresses, the first of them with the address."""
    interfaces = tuple(
        PodInterface(name=f"eth{number}", index=number, mac=mac, prefixes=() if number else (f"{address}/32",))
        for number, mac in enumerate(macs)
    )
    facts = NodeFacts(node=wire.SERVERS[SERVER], pod_namespaces=(PodNamespace(id=1, interfaces=interfaces),))
    return replace(recording, after=(facts,))


def test_a_frame_for_another_mac_is_lost_behind_the_pods_interface() -> None:
    simulator = asked()
    case = follow(knowing(record(simulator), OTHER), tables_of(simulator))
    assert outcomes(case, SERVER) == [OutcomeCode.LOST] * 4
    traced = traced_of(case, SERVER)
    last = len(traced.path.hops)
    assert (traced.journeys.lost_from.tolist(), traced.journeys.lost_to.tolist()) == ([last] * 4, [0] * 4)
    assert [(leg.from_, leg.to, leg.lost) for leg in traced.legs if leg.lost] == [(last, None, 4)]


@pytest.mark.parametrize(
    ("macs", "address"),
    [
        pytest.param((frames.MAC_B,), SERVER, id="its own"),
        pytest.param((frames.MAC_B.upper(),), SERVER, id="its own, written otherwise"),
        pytest.param((OTHER, frames.MAC_B), SERVER, id="another interface's of the pod"),
        pytest.param((OTHER,), "10.244.56.200", id="of another pod nothing follows"),
        pytest.param((), SERVER, id="not read"),
        pytest.param(("00:00:10:86:fe:80:00:00:00:00:00:00:00:02:c9:03:00:a1:b2:c3", "$(id)"), SERVER, id="no Ethernet addresses"),
        pytest.param((frames.MAC_A,), SERVER, id="what the pod itself sends"),
    ],
)
def test_what_has_arrived(macs: tuple[str, ...], address: str) -> None:
    simulator = asked()
    case = follow(knowing(record(simulator), *macs, address=address), tables_of(simulator))
    assert set(outcomes(case, SERVER)) == {OutcomeCode.DELIVERED}


def test_what_is_answered_was_taken_whatever_the_frames_say() -> None:
    simulator = asked(answered=True)
    case = follow(knowing(record(simulator), OTHER), tables_of(simulator))
    assert set(outcomes(case, SERVER)) == {OutcomeCode.DELIVERED}
    assert set(outcomes(case, SERVER, Direction.REPLY)) == {OutcomeCode.DELIVERED}


def test_a_server_in_its_nodes_network_is_no_pod() -> None:
    simulator = asked()
    recording = knowing(record(simulator), OTHER)
    flows = tuple(replace(flow, server=replace(flow.server, host_network=True)) for flow in recording.flows if flow.server is not None)
    case = follow(replace(recording, flows=flows), tables_of(simulator))
    assert set(outcomes(case, SERVER)) == {OutcomeCode.DELIVERED}
