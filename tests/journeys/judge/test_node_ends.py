"""What came to the last tap before a node's own socket: taken, or not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import CaptureStatus, Recording
from tests.journeys.build import change, journeys_of, record, tables_of, traced_of
from tests.wire import simulator as wire

A, AT, SECOND = wire.FIRST, wire.EPOCH, wire.SECOND
SYN, SYN_ACK, ACK, RST, DATA = 0x02, 0x12, 0x10, 0x04, 0x18
MS = 1_000_000


def hosted(recording: Recording, *, client: bool = False, server: bool = False) -> Recording:
    """The recording, in which the client or the servers are in their node's own network."""
    flows = tuple(
        replace(
            flow,
            client=replace(flow.client, host_network=client),
            server=replace(flow.server, host_network=server) if flow.server is not None else None,
        )
        for flow in recording.flows
    )
    return replace(recording, flows=flows)


def followed(simulator: wire.Simulator, **hosts: bool) -> Case:
    return follow(hosted(record(simulator, protocol="TCP", port=80), **hosts), tables_of(simulator))


def fates(case: Case, direction: Direction) -> list[tuple[OutcomeCode, int, int]]:
    table = journeys_of(case, A, direction)
    columns = zip(table.outcome, table.lost_from, table.lost_to, strict=True)
    return [(OutcomeCode(int(code)), int(start), int(end)) for code, start, end in columns]


LOST, DELIVERED = (OutcomeCode.LOST, 6, 0), (OutcomeCode.DELIVERED, 0, 0)


def syn(simulator: wire.Simulator, at: int = AT, ident: int = 1) -> None:
    simulator.tcp(A, time_ns=at, client_port=40_000, flags=SYN, seq=100, ident=ident)


def syn_ack(simulator: wire.Simulator, at: int) -> None:
    simulator.tcp(A, time_ns=at, client_port=40_000, flags=SYN_ACK, seq=900, ack=101, reply=True)


def acknowledged(simulator: wire.Simulator) -> None:
    simulator.tcp(A, time_ns=AT + SECOND + 9 * MS, client_port=40_000, flags=ACK, seq=101, ack=901, ident=9)


def refused(simulator: wire.Simulator) -> None:
    simulator.tcp(A, time_ns=AT + SECOND + 9 * MS, client_port=40_000, flags=RST, seq=101, ident=9)


@pytest.mark.parametrize("in_its_node", [True, False])
def test_a_syn_ack_that_is_repeated_and_never_acknowledged_died_behind_the_clients_tap(in_its_node: bool) -> None:
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    syn_ack(simulator, AT + SECOND)
    case = followed(simulator, client=in_its_node)
    assert fates(case, Direction.REPLY) == [LOST, LOST]
    assert fates(case, Direction.REQUEST) == [DELIVERED]
    (leg,) = (leg for leg in traced_of(case, A, Direction.REPLY).legs if leg.to is None)
    assert (leg.from_, leg.sent, leg.arrived, leg.lost, leg.undetermined) == (6, 2, 0, 2, 0)


@pytest.mark.parametrize("in_its_node", [True, False])
@pytest.mark.parametrize("answer", [acknowledged, refused])
def test_a_client_that_answers_has_got_it(answer: Callable[[wire.Simulator], None], in_its_node: bool) -> None:
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    syn_ack(simulator, AT + SECOND)
    answer(simulator)
    assert fates(followed(simulator, client=in_its_node), Direction.REPLY) == [DELIVERED, DELIVERED]


@pytest.mark.parametrize("in_its_node", [True, False])
def test_what_was_sent_once_may_still_be_answered(in_its_node: bool) -> None:
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    assert fates(followed(simulator, client=in_its_node), Direction.REPLY) == [DELIVERED]


def test_a_blind_tap_on_the_way_back_says_nothing() -> None:
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    syn_ack(simulator, AT + SECOND)
    recording = hosted(record(simulator, protocol="TCP", port=80), client=True)
    first = recording.paths[0].hops[0].tap
    recording = change(recording, first, status=CaptureStatus.PARTIAL, reason="ended early")
    assert fates(follow(recording, tables_of(simulator)), Direction.REPLY) == [DELIVERED, DELIVERED]


def test_data_before_a_repeated_handshake_died_in_the_servers_node() -> None:
    """The server still waits for the acknowledgement that came to its last tap with the data."""
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    simulator.tcp(A, time_ns=AT + 2 * MS, client_port=40_000, flags=ACK, seq=101, ack=901, ident=2)
    simulator.tcp(A, time_ns=AT + 3 * MS, client_port=40_000, flags=DATA, seq=101, ack=901, ident=3, payload=b"GET /")
    syn_ack(simulator, AT + SECOND)
    assert fates(followed(simulator, server=True), Direction.REQUEST) == [DELIVERED, LOST, LOST]
    assert fates(followed(simulator), Direction.REQUEST) == [DELIVERED, DELIVERED, DELIVERED]


def test_a_handshake_repeated_for_want_of_data_alone_is_a_deferring_socket() -> None:
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    simulator.tcp(A, time_ns=AT + 2 * MS, client_port=40_000, flags=ACK, seq=101, ack=901, ident=2)
    syn_ack(simulator, AT + SECOND)
    assert fates(followed(simulator, server=True), Direction.REQUEST) == [DELIVERED, DELIVERED]


def test_a_server_that_acknowledges_anything_is_alive() -> None:
    """A full receive window: the kernel refuses the bytes and acknowledges what it had."""
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    for number in range(3):
        at = AT + number * SECOND
        simulator.tcp(A, time_ns=at + 3 * MS, client_port=40_000, flags=DATA, seq=101, ack=901, ident=3 + number, payload=b"x")
        simulator.tcp(A, time_ns=at + 4 * MS, client_port=40_000, flags=ACK, seq=901, ack=101, reply=True)
    assert LOST not in fates(followed(simulator, server=True), Direction.REQUEST)


def test_data_repeated_in_silence_died_in_the_servers_node() -> None:
    simulator = wire.Simulator()
    syn(simulator)
    syn_ack(simulator, AT + MS)
    for number in range(3):
        at = AT + number * SECOND + 3 * MS
        simulator.tcp(A, time_ns=at, client_port=40_000, flags=DATA, seq=101, ack=901, ident=3 + number, payload=b"x")
    assert fates(followed(simulator, server=True), Direction.REQUEST) == [DELIVERED, LOST, LOST, LOST]


class TestAnEndThatNoCaptureSees:
    """The path ends before the receiver's node: what came to its last hop has not arrived by that."""

    def _case(self, simulator: wire.Simulator, *, client: bool = False) -> Case:
        recording = record(simulator, port=53)
        flows = tuple(
            replace(
                flow,
                client=replace(flow.client, node=None) if client else flow.client,
                server=flow.server if client or flow.server is None else replace(flow.server, node=None),
            )
            for flow in recording.flows
        )
        return follow(replace(recording, flows=flows), tables_of(simulator))

    def _ask(self, simulator: wire.Simulator, *, reply: bool) -> None:
        payload = bytes(12)
        simulator.udp(A, time_ns=AT, payload=payload, client_port=40_000, ident=1)
        if reply:
            simulator.udp(A, time_ns=AT + MS, payload=payload, client_port=40_000, reply=True)

    def test_requests_without_an_answer(self) -> None:
        simulator = wire.Simulator()
        self._ask(simulator, reply=False)
        assert fates(self._case(simulator), Direction.REQUEST) == [(OutcomeCode.UNDETERMINED, 0, 0)]

    def test_requests_with_answers_have_arrived(self) -> None:
        simulator = wire.Simulator()
        self._ask(simulator, reply=True)
        assert fates(self._case(simulator), Direction.REQUEST) == [DELIVERED]

    def test_replies_to_a_client_that_nobody_captured_at(self) -> None:
        simulator = wire.Simulator()
        self._ask(simulator, reply=True)
        assert fates(self._case(simulator, client=True), Direction.REPLY) == [(OutcomeCode.UNDETERMINED, 0, 0)]
