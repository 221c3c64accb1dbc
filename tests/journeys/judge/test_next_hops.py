"""Pods that ask for their next hop in vain: their questions are what is lost."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Endpoint, Flow
from kubectl_vxtrace.model.recording import CaptureStatus, Recording
from kubectl_vxtrace.model.report import LegTally
from tests.journeys.build import change, record, tables_of
from tests.wire import frames
from tests.wire import simulator as wire

GATEWAY, AT, SECOND = "169.254.1.1", wire.EPOCH, wire.SECOND
POD = wire.hops_to(wire.FIRST)[0]


def silent(address: str = GATEWAY, *, times: int = 4, answer: bool = False, sender: str = wire.CLIENT) -> wire.Simulator:
    """Captures that hold nothing but questions at the client's interface, one a second, and perhaps an answer to the last."""
    simulator = wire.Simulator()
    for number in range(times):
        question = frames.arp(sender=sender, target=address)
        simulator.put(POD, AT + number * SECOND, frames.ethernet(question, ethertype=frames.ARP))
    if answer:
        told = frames.arp(sender=address, target=sender, reply=True)
        simulator.put(POD, AT + times * SECOND, frames.ethernet(told, ethertype=frames.ARP))
    return simulator


def followed(simulator: wire.Simulator, recording: Recording | None = None) -> Case:
    return follow(recording or record(simulator), tables_of(simulator))


def test_the_questions_are_a_flow_that_is_lost_behind_the_first_hop() -> None:
    (traced,) = followed(silent()).paths
    client = Endpoint(address=wire.CLIENT, node=wire.CLIENT_NODE)
    assert traced.flow == Flow(id=3, protocol="ARP", client=client, candidates=(Endpoint(address=GATEWAY),))
    assert traced.journeys.outcome.tolist() == [OutcomeCode.LOST] * 4
    assert traced.legs == (LegTally(from_=1, to=None, sent=4, arrived=0, lost=4),)
    assert [(hop.packets, hop.tuple, hop.witness) for hop in traced.hops] == [(4, f"{wire.CLIENT} > {GATEWAY}", True)]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(GATEWAY, id="Calico's gateway"),
        pytest.param(wire.FIRST, id="an end that is asked for"),
    ],
)
def test_what_leads_to_the_asked_ends(address: str) -> None:
    assert [traced.flow.candidates[0].address for traced in followed(silent(address)).paths] == [address]


@pytest.mark.parametrize(
    "simulator",
    [
        pytest.param(silent(answer=True), id="answered"),
        pytest.param(silent(sender="10.244.114.99"), id="another pod asks"),
        pytest.param(silent(wire.CLIENT), id="whether the own address is free"),
        pytest.param(silent("10.244.114.99"), id="for what leads nowhere that was asked for"),
        pytest.param(silent(times=0), id="nothing at all"),
    ],
)
def test_what_is_no_question_in_vain(simulator: wire.Simulator) -> None:
    assert followed(simulator).paths == ()


def test_what_is_no_address_breaks_nothing() -> None:
    simulator = silent("10.244.114.65")
    recording = record(simulator)
    vteps = tuple(
        replace(vtep, address="10.244.114.64" if vtep.node == wire.CLIENT_NODE else "\x1b[0m") for vtep in recording.overlay.vteps
    )
    odd = replace(recording, overlay=replace(recording.overlay, vteps=(*vteps, replace(vteps[0], node=wire.CLIENT_NODE, address="none"))))
    assert [traced.flow.candidates[0].address for traced in followed(simulator, odd).paths] == ["10.244.114.65"]


def test_a_pod_that_sends_has_found_its_next_hop() -> None:
    simulator = silent()
    simulator.udp(wire.FIRST, time_ns=AT + SECOND, client_port=40_000, payload=b"who is it")
    assert {traced.flow.protocol for traced in followed(simulator).paths} == {"UDP"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"dropped_by_kernel": 1}, id="frames were dropped"),
        pytest.param({"status": CaptureStatus.PARTIAL, "reason": "cut"}, id="a part"),
    ],
)
def test_a_tap_that_may_have_missed_the_answer_says_nothing(fields: dict[str, object]) -> None:
    simulator = silent()
    recording = change(record(simulator), next(iter(tables_of(simulator))), **fields)
    assert followed(simulator, recording).paths == ()


def test_a_client_in_its_nodes_network_has_no_interface_of_its_own() -> None:
    simulator = silent()
    recording = record(simulator)
    flows = tuple(replace(flow, client=replace(flow.client, host_network=True)) for flow in recording.flows)
    assert followed(simulator, replace(recording, flows=flows)).paths == ()
