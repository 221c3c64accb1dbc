"""A Service that is translated to another port of its backend's pod: the packets are followed to that pod all the same."""

from dataclasses import replace

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.recording import Recording
from tests.journeys.build import flow_of, lookups, paths_of, record, tables_of
from tests.wire import simulator as wire

SERVER, OTHER = wire.SERVERS
PLANNED, SEEN = 1, 2


def planned_with_port(simulator: wire.Simulator, port: int, server: str = SERVER) -> Recording:
    """The recording of a trace of the Service, of which the API says that its backend listens on that port."""
    flow = flow_of(PLANNED, server, protocol="UDP", port=53)
    assert flow.server is not None
    flow = replace(flow, server=replace(flow.server, port=port))
    return replace(record(simulator), flows=(flow,), paths=paths_of(PLANNED, server))


def test_the_flow_of_another_port_has_the_way_of_the_pod() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3)
    case = follow(planned_with_port(simulator, 5353), tables_of(simulator))
    ends = {(path.flow.id, path.flow.server and path.flow.server.port, len(path.path.hops)) for path in case.paths}
    assert ends == {(SEEN, 53, 6)}
    assert [path.journeys.outcome.tolist() for path in case.paths] == [[OutcomeCode.DELIVERED] * 3] * 2


def test_what_vanishes_on_it_is_lost_there() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3, vanished=4)
    [request, reply] = follow(planned_with_port(simulator, 5353), tables_of(simulator)).paths
    assert (request.journeys.outcome.tolist(), set(request.journeys.lost_from.tolist())) == ([OutcomeCode.LOST] * 3, {4})
    assert not len(reply.journeys)


def test_an_address_that_nobody_planned_gets_no_way() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3, server=OTHER)
    case = follow(planned_with_port(simulator, 53), tables_of(simulator))
    assert {path.flow.server for path in case.paths} == {None}
