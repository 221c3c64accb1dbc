"""One backend of a Service is traced, in every form that leads to it; the others are not."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.facts import ConntrackEntry, NodeFacts
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Path
from kubectl_vxtrace.model.recording import Recording
from tests.journeys.build import flow_of, lookups, paths_of, record, tables_of
from tests.wire import simulator as wire

ASKED, OTHER = wire.SERVERS
DIRECT, THROUGH, UNKNOWN = 1, 2, 3
"""Ids of the flows: to the backend itself, to it through the Service, and to nobody knows which backend."""


def traced(simulator: wire.Simulator, *, names_other: bool = False) -> Recording:
    """The recording of a trace of the backend ASKED. `names_other`: conntrack says that everything went to OTHER."""
    through = flow_of(THROUGH, ASKED, protocol="UDP", port=53)
    others = flow_of(UNKNOWN, OTHER, protocol="UDP", port=53)
    candidates = tuple(end for end in (through.server, others.server) if end is not None)
    unknown = replace(others, server=None, candidates=candidates)
    direct = flow_of(DIRECT, ASKED, protocol="UDP", port=53, service=None)
    shared = tuple(
        Path(flow=UNKNOWN, direction=direction, hops=tuple(replace(hop, hop=number) for number, hop in enumerate(hops, 1)))
        for direction, hops in zip(Direction, _shared(), strict=True)
    )
    paths = (*paths_of(DIRECT, ASKED), *paths_of(THROUGH, ASKED), *shared)
    recording = replace(record(simulator), flows=(direct, through, unknown), paths=paths)
    return replace(recording, after=(NodeFacts(node=wire.CLIENT_NODE, conntrack=_to_other()),)) if names_other else recording


def _shared() -> tuple[tuple, ...]:  # type: ignore[type-arg]
    request, reply = paths_of(UNKNOWN, OTHER)
    return request.hops[:3], reply.hops[3:]


def _to_other() -> tuple[ConntrackEntry, ...]:
    return tuple(
        ConntrackEntry(
            protocol="udp", original_source=wire.CLIENT, original_destination=wire.SERVICE, reply_source=OTHER,
            reply_destination=wire.CLIENT, original_source_port=port, original_destination_port=53, reply_source_port=53,
            reply_destination_port=port,
        )
        for port in range(40_000, 40_020)
    )  # fmt: skip


def said(case: Case) -> dict[tuple[int, str], list[int]]:
    """The outcomes of each flow that is listed, by its id and direction."""
    return {(path.flow.id, path.path.direction.value): path.journeys.outcome.tolist() for path in case.paths}


DELIVERED, UNDETERMINED, LOST = OutcomeCode.DELIVERED, OutcomeCode.UNDETERMINED, OutcomeCode.LOST


def test_it_is_followed_through_the_service_and_directly() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3)
    lookups(simulator, 4, server=OTHER, first=5)
    simulator.service = None
    lookups(simulator, 2, first=12)
    assert said(follow(traced(simulator), tables_of(simulator))) == {
        (DIRECT, "request"): [DELIVERED] * 2,
        (DIRECT, "reply"): [DELIVERED] * 2,
        (THROUGH, "request"): [DELIVERED] * 3,
        (THROUGH, "reply"): [DELIVERED] * 3,
    }


@pytest.mark.parametrize("hop", [3, 5])
def test_its_fault_is_lost_on_its_path(hop: int) -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3, vanished=hop)
    lookups(simulator, 4, server=OTHER, first=5)
    case = follow(traced(simulator), tables_of(simulator))
    assert said(case) == {(THROUGH, "request"): [LOST] * 3, (THROUGH, "reply"): []}
    assert [(leg.from_, leg.to, leg.lost) for leg in case.paths[0].legs if leg.lost] == [(hop, hop + 1, 3)]


@pytest.mark.parametrize("hop", [2, 3, 5])
def test_another_backends_fault_is_not_its(hop: int) -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3)
    lookups(simulator, 4, server=OTHER, first=5, vanished=hop)
    assert said(follow(traced(simulator), tables_of(simulator))) == {
        (THROUGH, "request"): [DELIVERED] * 3,
        (THROUGH, "reply"): [DELIVERED] * 3,
    }


def test_what_conntrack_names_is_another_backends_before_any_tap_shows_it() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 4, server=OTHER, vanished=1)
    assert said(follow(traced(simulator, names_other=True), tables_of(simulator))) == {}


def test_what_nothing_names_is_a_flow_without_a_server() -> None:
    """It vanished before anything named its backend, in sight of the node's VXLAN device."""
    simulator = wire.Simulator()
    lookups(simulator, 3, vanished=1)
    case = follow(traced(simulator), tables_of(simulator))
    assert said(case) == {(UNKNOWN, "request"): [LOST] * 3}
    assert [end.address for end in case.flows[0].candidates] == [ASKED, OTHER]


def test_one_port_at_both_backends_is_told_apart_by_the_packets() -> None:
    simulator = wire.Simulator()
    for number, server in enumerate((ASKED, OTHER, ASKED, OTHER)):
        simulator.udp(
            server, time_ns=wire.EPOCH + number * 1_000_000, payload=b"q%d" % number, client_port=40_000, ident=number + 1,
            vanished=4 if server == OTHER else None,
        )  # fmt: skip
    assert said(follow(traced(simulator), tables_of(simulator))) == {(THROUGH, "request"): [DELIVERED] * 2, (THROUGH, "reply"): []}
