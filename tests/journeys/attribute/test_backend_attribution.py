"""Equal packets of one client port that went to two servers behind one Service."""

import pytest

from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction
from tests.journeys.build import follow_all, outcomes, read_clocks, record
from tests.wire import simulator as wire

SKEW_NS = {"ada-ec-2": 40_000_000, "ada-ec-3": -900_000}


@pytest.mark.parametrize("apart_ns", [5_000_000, wire.SECOND, 90 * wire.SECOND])
def test_each_is_the_servers_that_saw_it_about_then(apart_ns: int) -> None:
    simulator = wire.Simulator(skew_ns=SKEW_NS)
    for number, server in enumerate((wire.FIRST, wire.SECOND_SERVER, wire.SECOND_SERVER, wire.FIRST)):
        at = wire.EPOCH + number * apart_ns
        simulator.udp(server, time_ns=at, payload=b"question", client_port=40_000, ident=7)
        simulator.udp(server, time_ns=at + 500_000, payload=b"answer", client_port=40_000, ident=9, reply=True)
    case = follow_all(simulator, read_clocks(record(simulator), SKEW_NS))
    for server in wire.SERVERS:
        for direction in Direction:
            assert outcomes(case, server, direction) == [OutcomeCode.DELIVERED] * 2
