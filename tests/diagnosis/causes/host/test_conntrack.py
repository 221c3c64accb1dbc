"""conntrack-full, dns-conntrack-race, snat-port-collision."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import ConntrackEntry, NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.nodes import facts, rule
from tests.diagnosis.places import CLIENT, SERVER, SERVICE, START_NS, TAPS, VTEP_A, A, B

COUNT, MAX = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
DROP, FAILED = "conntrack.drop", "conntrack.insert_failed"
FULL = {COUNT: "262140", MAX: "262144"}
HALF = {COUNT: "131072", MAX: "262144"}


def tracked(
    growth: Mapping[str, int],
    settings: Mapping[str, str] | None = None,
    *,
    leg: tuple[int, int] = (1, 2),
    node: str = A,
    conntrack: tuple[ConntrackEntry, ...] = (),
    rules: tuple[Rule, ...] = (),
) -> World:
    """24 requests lost at `leg`; counters of `node` grew so, and it has these entries and rules."""

    def told(look: NodeFacts, more: Mapping[str, int]) -> NodeFacts:
        if look.node != node:
            return look
        counters = {name: 50 + more.get(name, 0) for name in (DROP, FAILED)}
        return replace(look, counters={**look.counters, **counters}, sysctls=dict(settings or {}), conntrack=conntrack, rules=rules)

    before = tuple(told(facts(name), {}) for name in (A, B))
    after = tuple(told(facts(name, later=True), growth) for name in (A, B))
    return replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=before, after=after)


def best(case: Case) -> Finding:
    return next(finding for finding in diagnose(case) if finding.severity is Severity.ERROR)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(tracked({DROP: 24}, FULL), id="at the client's node"),
        pytest.param(tracked({DROP: 24}, FULL, leg=(5, 6), node=B), id="at the server's node"),
        pytest.param(tracked({DROP: 30, FAILED: 6}, FULL), id="beside some collisions"),
    ],
)
def test_a_full_table(world: World) -> None:
    found = best(world.case())
    assert (found.cause, found.confidence, found.packets) == ("conntrack-full", Confidence.CERTAIN, 24)
    assert {EvidenceKind.CONFIG, EvidenceKind.COUNTER} <= {one.kind for one in found.evidence}
    assert dropped_packets(world.case(), diagnose(world.case()))[0].sum() == 24


@pytest.mark.parametrize(
    ("world", "cause", "confidence"),
    [
        pytest.param(tracked({DROP: 24}, HALF), "conntrack-full", Confidence.LIKELY, id="it was not full when we looked"),
        pytest.param(tracked({DROP: 24}), "conntrack-full", Confidence.LIKELY, id="the settings were not read"),
        pytest.param(tracked({DROP: 3}, FULL), "conntrack-full", Confidence.POSSIBLE, id="too little was counted"),
        pytest.param(tracked({}, FULL), "unknown", Confidence.POSSIBLE, id="nothing was dropped"),
        pytest.param(tracked({DROP: 24, FAILED: 24}, HALF), "unknown", Confidence.POSSIBLE, id="all of it were collisions"),
        pytest.param(tracked({DROP: 24}, FULL, node=B), "unknown", Confidence.POSSIBLE, id="another node"),
        pytest.param(tracked({DROP: 24}, {COUNT: "9", MAX: "0"}), "conntrack-full", Confidence.LIKELY, id="without a limit"),
    ],
)
def test_near_misses_of_a_full_table(world: World, cause: str, confidence: Confidence) -> None:
    found = best(world.case())
    assert (found.cause, found.confidence) == (cause, confidence)


def racing(world: World, *, apart_ns: int = 40_000, twin_port: int = 0) -> Case:
    """Each lost query has a twin at the client's interface, sent `apart_ns` before it from the same port."""
    ports = [40000 + number for number in range(24)]
    twins = tuple(Fate(port=port + twin_port) for port in ports)
    case = replace(world, requests=(*(replace(lost(1, 1, 2), port=port) for port in ports), *twins)).case()
    table = case.tables[TAPS[0]]
    times = START_NS + np.tile(np.arange(24, dtype=np.int64) * 200_000_000, 2)
    times[24:] += apart_ns
    return replace(case, tables={**case.tables, TAPS[0]: replace(table, time_ns=times)})


RACE = tracked({FAILED: 24, DROP: 24}, HALF)


def test_two_queries_that_left_together_race_for_their_entry() -> None:
    found = best(racing(RACE))
    assert (found.cause, found.confidence, found.leg) == ("dns-conntrack-race", Confidence.CERTAIN, Leg(from_=1, to=2))
    assert any(one.kind is EvidenceKind.PACKETS and "same port" in one.text and one.frames for one in found.evidence)


@pytest.mark.parametrize(
    ("case", "cause", "confidence"),
    [
        pytest.param(racing(tracked({}, HALF)), "unknown", Confidence.POSSIBLE, id="no collision was counted"),
        pytest.param(racing(tracked({FAILED: 2, DROP: 2}, HALF)), "dns-conntrack-race", Confidence.POSSIBLE, id="too few collisions"),
        pytest.param(racing(RACE, apart_ns=80_000_000), "unknown", Confidence.POSSIBLE, id="one after the other"),
        pytest.param(racing(RACE, twin_port=1000), "unknown", Confidence.POSSIBLE, id="from different ports"),
        pytest.param(racing(replace(RACE, protocol="TCP")), "unknown", Confidence.POSSIBLE, id="TCP sends one SYN"),
    ],
)
def test_near_misses_of_the_race(case: Case, cause: str, confidence: Confidence) -> None:
    found = best(case)
    assert (found.cause, found.confidence) == (cause, confidence)


def entry(*, source: str = VTEP_A, server: str = SERVER) -> ConntrackEntry:
    """A connection of the client through the Service, sent from `source`."""
    return ConntrackEntry(
        protocol="UDP", original_source=CLIENT, original_destination=SERVICE, reply_source=server, reply_destination=source
    )


ORDERLY = rule("POSTROUTING", "-o vxlan.calico -j MASQUERADE", 90)


def test_connections_that_were_given_the_same_source_port() -> None:
    found = best(tracked({FAILED: 24, DROP: 24}, HALF, conntrack=(entry(),), rules=(ORDERLY,)).case())
    assert (found.cause, found.confidence) == ("snat-port-collision", Confidence.LIKELY)
    texts = [one.text for one in found.evidence]
    assert any(VTEP_A in text and CLIENT in text for text in texts)
    assert any("without --random-fully" in text for text in texts)


@pytest.mark.parametrize(
    ("world", "cause"),
    [
        pytest.param(
            tracked({FAILED: 24, DROP: 24}, HALF, conntrack=(entry(source=CLIENT),)), "unknown", id="the source is the client's own"
        ),
        pytest.param(tracked({FAILED: 24, DROP: 24}, HALF, conntrack=(entry(server="10.244.9.9"),)), "unknown", id="to another server"),
        pytest.param(tracked({}, HALF, conntrack=(entry(),)), "unknown", id="no collision was counted"),
        pytest.param(tracked({FAILED: 24}, HALF, conntrack=(entry(),), leg=(2, 3)), "unknown", id="lost behind the routing"),
        pytest.param(tracked({FAILED: 24}, HALF, conntrack=(entry(),), node=B), "unknown", id="another node"),
    ],
)
def test_near_misses_of_a_port_collision(world: World, cause: str) -> None:
    assert best(world.case()).cause == cause
