"""What was refused, and what only looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction
from tests.journeys.build import (
    follow_all,
    journeys_of,
    lookups,
    outcomes,
    record,
    tables_of,
)
from tests.wire import frames
from tests.wire import simulator as wire

A, B = wire.FIRST, wire.SECOND_SERVER
AT = wire.EPOCH
SECOND = wire.SECOND
SYN, RST, ACK, SYN_ACK = 0x02, 0x04, 0x10, 0x12


class TestRejected:
    def _syn(self, simulator: wire.Simulator, *, vanished: int | None = None, at: int = AT, seq: int = 100) -> None:
        simulator.tcp(A, time_ns=at, client_port=40_000, flags=SYN, seq=seq, ident=at % 1000 + 1, vanished=vanished)

    def _rst(self, simulator: wire.Simulator, *, at: int = AT + 1_000_000, first: int = 1) -> None:
        simulator.tcp(A, time_ns=at, client_port=40_000, flags=RST | ACK, ack=101, reply=True, first=first)

    def _case_outcome(self, simulator: wire.Simulator) -> list[tuple[OutcomeCode, int, int]]:
        case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
        table = journeys_of(case, A)
        columns = zip(table.outcome, table.lost_from, table.lost_to, strict=True)
        return [(OutcomeCode(int(code)), int(start), int(end)) for code, start, end in columns]

    def test_by_the_server(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator)
        self._rst(simulator)
        assert self._case_outcome(simulator) == [(OutcomeCode.REJECTED, 6, 0)]
        case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
        assert sum(leg.lost for leg in case.paths[0].legs) == 0

    def test_by_a_firewall_on_the_way(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator, vanished=5)
        self._rst(simulator, first=2)
        assert self._case_outcome(simulator) == [(OutcomeCode.REJECTED, 5, 6)]
        case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
        assert {(leg.from_, leg.to): leg.lost for leg in case.paths[0].legs if leg.lost} == {(5, 6): 1}

    def test_the_copy_that_was_answered(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator, vanished=3)
        self._syn(simulator, at=AT + SECOND + 7)
        self._rst(simulator, at=AT + SECOND + 1_000_000)
        assert self._case_outcome(simulator) == [(OutcomeCode.LOST, 3, 4), (OutcomeCode.REJECTED, 6, 0)]

    def test_an_rst_after_data_is_none(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator)
        simulator.tcp(A, time_ns=AT + 500_000, client_port=40_000, flags=SYN_ACK, seq=9, ack=101, reply=True)
        self._rst(simulator)
        assert self._case_outcome(simulator) == [(OutcomeCode.DELIVERED, 0, 0)]

    @pytest.mark.parametrize(("code", "outcome"), [(3, OutcomeCode.REJECTED), (10, OutcomeCode.REJECTED), (4, OutcomeCode.DELIVERED)])
    def test_by_icmp(self, code: int, outcome: OutcomeCode) -> None:
        simulator = wire.Simulator()
        datagram = frames.udp(b"q", source=40_000, destination=53)
        simulator.udp(A, time_ns=AT, payload=b"q", client_port=40_000, ident=77)
        quoted = simulator.asked(A, datagram, protocol=frames.UDP, ident=77)
        simulator.refusal(A, time_ns=AT + 1_000_000, quoted=quoted, to_client=False, code=code)
        assert outcomes(follow_all(simulator), A) == [outcome]

    def test_a_service_without_endpoints_refuses_on_the_client_s_node(self) -> None:
        simulator = wire.Simulator()
        datagram = frames.udp(b"q", source=40_000, destination=53)
        simulator.udp(A, time_ns=AT, payload=b"q", client_port=40_000, ident=77, vanished=1)
        simulator.refusal(A, time_ns=AT + 1_000, quoted=simulator.asked(A, datagram, protocol=frames.UDP, ident=77))
        recording = record(simulator)
        flow = replace(recording.flows[0], server=None)
        path = replace(recording.paths[0], hops=recording.paths[0].hops[:1])
        case = follow(replace(recording, flows=(flow,), paths=(path,)), tables_of(simulator))
        table = case.paths[0].journeys
        assert (table.outcome[0], table.lost_from[0], table.lost_to[0]) == (OutcomeCode.REJECTED, 1, 0)
        assert [(leg.from_, leg.to, leg.lost) for leg in case.paths[0].legs] == [(1, None, 1)]

    def test_a_reply_that_is_quoted_is_none(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 1)
        answer = frames.ipv4(
            frames.udp(b"a0", source=53, destination=40_000), source=wire.SERVICE, destination=wire.CLIENT, protocol=frames.UDP, ident=1
        )
        simulator.refusal(A, time_ns=AT + 900_000, quoted=answer)
        case = follow_all(simulator)
        assert outcomes(case, A) == [OutcomeCode.DELIVERED]
        assert outcomes(case, A, Direction.REPLY) == [OutcomeCode.DELIVERED]
