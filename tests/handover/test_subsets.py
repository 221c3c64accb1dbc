"""Fewer files make weaker answers, never other ones: whatever was lost, and whichever of the captures are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from kubectl_vxtrace.model.report import Severity, TraceReport, Verdict
from tests.handover import build
from tests.handover.build import Shots
from tests.wire.places import EPOCH, FIRST, SECOND, SERVICE, hops_to
from tests.wire.simulator import Simulator

HOPS = len(hops_to(FIRST))
FATE = st.one_of(st.none(), st.none(), st.none(), st.integers(1, HOPS - 1))
"""The last hop that a packet passed, None if it arrived."""
PROTOCOLS = ("ICMP", "UDP", "UDP through a Service")
OF_INTERFACES = (
    *(build.by_procedure, build.by_interface, build.in_folders, build.gzipped, build.rotated, build.ticket),
    *(build.one_pcapng, build.pcapng_of_each_node, build.troubleshoot),
)
OF_NODES = (build.everywhere, build.everywhere_before_sll2, build.retina)
"""Captures of all interfaces: none of them is missing by itself."""
SUBSETS = list(chain.from_iterable(combinations(range(HOPS), size) for size in range(1, HOPS + 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An exchange: what became of the request, and of the answer if it was to be given."""

    request: int | None
    reply: int | None
    is_answered: bool = True


EXCHANGES = st.lists(st.builds(Asked, request=FATE, reply=FATE, is_answered=st.booleans() | st.just(True)), min_size=3, max_size=30)


def captured(asked: Sequence[Asked], protocol: str, skew_ns: int) -> Shots:
    """What each tap of the two nodes saw of the exchanges; the server's clock is ahead."""
    world = Simulator(service=SERVICE if protocol == PROTOCOLS[2] else None, skew_ns={build.SERVER_NODE: skew_ns})
    for number, exchange in enumerate(asked):
        _send(world, protocol, number, reply=False, vanished=exchange.request)
        if exchange.request is None and exchange.is_answered:
            _send(world, protocol, number, reply=True, vanished=exchange.reply)
    return {tap: sorted(world.files[tap]) for tap in hops_to(FIRST)}


def _send(world: Simulator, protocol: str, number: int, *, reply: bool, vanished: int | None) -> None:
    time_ns, ip_id = EPOCH + number * SECOND // 20 + 400_000 * reply, (2_000 if reply else 1_000) + number
    if protocol == "ICMP":
        world.ping(FIRST, time_ns=time_ns, ident=77, seq=number, ip_id=ip_id, reply=reply, vanished=vanished)
    else:
        payload = b"\x12%c\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00question %02d" % (number, number)
        world.udp(FIRST, time_ns=time_ns, payload=payload, client_port=40_000 + number, ident=ip_id, reply=reply, vanished=vanished)


def some_of(shots: Shots, names: build.Habit, subset: tuple[int, ...]) -> dict[str, bytes]:
    """The files of some taps; of captures of all interfaces those of the nodes of these taps."""
    taps = [tap for index, tap in enumerate(shots) if index in subset]
    if names in OF_NODES:
        return {name: data for name, data in names(shots).items() if any(node in name for node, _ in taps)}
    return names({tap: shots[tap] for tap in taps})


def said_of(files: dict[str, bytes]) -> TraceReport:
    with TemporaryDirectory() as folder:
        return build.report_of(Path(folder), files)


def more_than_the_truth(report: TraceReport, asked: Sequence[Asked]) -> list[str]:
    """Everything that the report says of losses and that is not so."""
    found = []
    lost = [sum(exchange.request is not None for exchange in asked)]
    lost.append(sum(exchange.reply is not None and exchange.request is None and exchange.is_answered for exchange in asked))
    for number, most in enumerate(lost):
        said = sum(leg.lost for flow in report.flows for leg in flow.directions[number].legs)
        if said > most:
            found.append(f"{said} lost in direction {number}, true is {most}")
    is_whole = not sum(lost) and all(exchange.is_answered for exchange in asked)
    errors = [finding.cause for finding in report.findings if finding.severity is Severity.ERROR]
    if is_whole and errors:
        found.append(f"errors {errors} where nothing was lost")
    if report.verdict is Verdict.NO_TRAFFIC:
        found.append("no traffic, and the captures hold it")
    return found


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    asked=EXCHANGES,
    protocol=st.sampled_from(PROTOCOLS),
    skew_ns=st.sampled_from([0, 700_000, -3 * SECOND]),
    names=st.sampled_from((*OF_INTERFACES, *OF_NODES)),
    subset=st.sampled_from(SUBSETS),
)
def test_no_subset_says_more_than_the_truth(
    asked: list[Asked], protocol: str, skew_ns: int, names: build.Habit, subset: tuple[int, ...]
) -> None:
    shots = captured(asked, protocol, skew_ns)
    if not any(each for index, each in enumerate(shots.values()) if index in subset):
        return  # nothing came as far as the files that are given
    report = said_of(some_of(shots, names, subset))
    note(report.summary)
    assert more_than_the_truth(report, asked) == []


@pytest.mark.parametrize("subset", SUBSETS)
def test_every_subset_of_one_recording(subset: tuple[int, ...]) -> None:
    """Losses of both directions on the wire, in the server's node and in the client's."""
    fates = [None, 3, None, None, 4, None, 2, None]
    asked = [Asked(request=fates[number % 8], reply=(None, None, 3, 5)[number % 4]) for number in range(32)]
    files = some_of(captured(asked, "ICMP", 700_000), build.by_procedure, subset)
    assert more_than_the_truth(said_of(files), asked) == []
