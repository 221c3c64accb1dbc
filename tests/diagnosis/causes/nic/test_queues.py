"""xdp-drop, receive-overrun, qdisc-drop, neighbour-table-full, and what looks like them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.nic import queues
from kubectl_vxtrace.model.facts import KernelDrop, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import arp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, POD_B, SECOND_NS, SERVER, START_NS, VTEP_B, VX, A, B

Counts = Mapping[str, int]


def grown(
    world: World, node: str, *, counters: Counts | None = None, links: Mapping[str, Counts] | None = None, xdp: bool = False
) -> World:
    """`world` with two looks, between which counters of `node` and of its interfaces grew by so much, from 50."""

    def look(name: str, *, later: bool) -> NodeFacts:
        made = facts(name, later=later)
        if name != node:
            return made
        more = {key: 50 + (growth if later else 0) for key, growth in (counters or {}).items()}
        changed = tuple(
            replace(
                link,
                xdp=xdp and link.name == NIC,
                counters={
                    **link.counters,
                    **{key: 50 + (growth if later else 0) for key, growth in (links or {}).get(link.name, {}).items()},
                },
            )
            for link in made.links
        )
        return replace(made, links=changed, counters={**made.counters, **more})

    sides = [tuple(look(name, later=later) for name in (A, B)) for later in (False, True)]
    return replace(world, before=sides[0], after=sides[1])


def dropped(world: World, node: str, reason: str, count: int = 24) -> Case:
    """`world` as a case in which the kernel of `node` named a drop 2 ms after each packet was seen last."""
    words = tuple(
        KernelDrop(node=node, time_ns=START_NS + number * SECOND_NS // 5 + 2_000_000, reason=reason, location="somewhere")
        for number in range(count)
    )
    case = world.case()
    return replace(case, recording=replace(case.recording, kernel_drops=words, duration_s=15.0))


GONE = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=())
SOME = replace(HEALTHY, requests=(lost(6, 3, 4), Fate(count=18)), replies=())
XDP_COUNTER = f"ethtool.{NIC}.rx_queue_0_xdp_drops"


@pytest.mark.parametrize(
    ("counters", "confidence"),
    [
        pytest.param({XDP_COUNTER: 24}, Confidence.CERTAIN, id="it counted them"),
        pytest.param({XDP_COUNTER: 5000}, Confidence.LIKELY, id="it counted many more"),
        pytest.param({XDP_COUNTER: 23}, Confidence.POSSIBLE, id="it counted too few"),
        pytest.param({}, Confidence.POSSIBLE, id="it counts nothing"),
    ],
)
def test_a_program_that_drops_before_the_tap(counters: Counts, confidence: Confidence) -> None:
    (found,) = asked(grown(GONE, B, counters=counters, xdp=True).case(), queues)
    assert (found.cause, found.confidence, found.leg) == ("xdp-drop", confidence, Leg(from_=3, to=4))
    assert bool(found.not_ruled_out) is (confidence is Confidence.POSSIBLE)


def test_the_program_stands_before_a_block_where_it_counted() -> None:
    finding = diagnose(grown(GONE, B, counters={XDP_COUNTER: 24}, xdp=True).case())[0]
    assert (finding.cause, finding.confidence) == ("xdp-drop", Confidence.CERTAIN)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(grown(GONE, B, counters={XDP_COUNTER: 24}), id="no program is attached any more"),
        pytest.param(grown(GONE, A, xdp=True), id="a program at the sender, which sees nothing that leaves"),
        pytest.param(grown(HEALTHY, B, counters={XDP_COUNTER: 24}, xdp=True), id="it drops others'"),
    ],
)
def test_what_is_no_xdp_drop(world: World) -> None:
    assert asked(world.case(), queues) == []


@pytest.mark.parametrize(
    ("world", "confidence"),
    [
        pytest.param(grown(SOME, B, links={NIC: {"rx.missed_errors": 6}}), Confidence.CERTAIN, id="the ring was full"),
        pytest.param(grown(SOME, B, counters={f"ethtool.{NIC}.rx_no_buffer_count": 7}), Confidence.CERTAIN, id="by the driver"),
        pytest.param(grown(SOME, B, counters={"softnet.dropped": 6}), Confidence.CERTAIN, id="the CPU's backlog was full"),
        pytest.param(grown(SOME, B, links={NIC: {"rx.missed_errors": 900}}), Confidence.LIKELY, id="it missed many more"),
        pytest.param(grown(GONE, B, links={NIC: {"rx.missed_errors": 24}}), Confidence.POSSIBLE, id="nothing passed"),
        pytest.param(
            grown(replace(SOME, requests=(lost(1, 3, 4), Fate(count=23))), B, links={NIC: {"rx.missed_errors": 1}}),
            Confidence.LIKELY,
            id="one frame",
        ),
    ],
)
def test_a_receiver_without_room(world: World, confidence: Confidence) -> None:
    (found,) = asked(world.case(), queues)
    assert (found.cause, found.confidence) == ("receive-overrun", confidence)
    assert bool(found.not_ruled_out) is not (confidence is Confidence.CERTAIN)


def test_the_vxlan_devices_own_queue_has_other_reasons_to_drop() -> None:
    world = replace(SOME, requests=(lost(6, 4, 5), Fate(count=18)))
    (found,) = asked(grown(world, B, links={VX: {"rx.dropped": 6}}).case(), queues)
    assert (found.cause, found.confidence, found.leg) == ("receive-overrun", Confidence.LIKELY, Leg(from_=4, to=5))


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(SOME, id="nothing was counted"),
        pytest.param(grown(SOME, B, links={NIC: {"rx.missed_errors": 5}}), id="fewer than were lost"),
        pytest.param(grown(SOME, B, links={NIC: {"rx.dropped": 6}}), id="rx dropped alone: unknown protocols and more"),
        pytest.param(grown(SOME, A, links={NIC: {"rx.missed_errors": 6}}), id="the sender's ring"),
        pytest.param(grown(SOME, B, counters={f"ethtool.{NIC}.pps_allowance_exceeded": 6}), id="the cloud's allowance"),
        pytest.param(grown(HEALTHY, B, links={NIC: {"rx.missed_errors": 6}}), id="nothing of this was lost"),
    ],
)
def test_what_is_no_overrun(world: World) -> None:
    assert asked(world.case(), queues) == []


QUEUED = replace(HEALTHY, requests=(lost(6, 2, 3), Fate(count=18)), replies=())


def test_a_queueing_discipline_that_counted_them() -> None:
    (finding,) = diagnose(grown(QUEUED, A, links={NIC: {"qdisc.dropped": 6}}).case())
    assert (finding.cause, finding.confidence, finding.leg) == ("qdisc-drop", Confidence.CERTAIN, Leg(from_=2, to=3))
    assert any("grew by 6; 6 frames were lost there" in proof.text for proof in finding.evidence)


def test_the_pods_own_shaper() -> None:
    world = replace(QUEUED, requests=(lost(6, 5, 6), Fate(count=18)))
    (found,) = asked(grown(world, B, links={POD_B: {"qdisc.dropped": 9}}).case(), queues)
    assert (found.cause, found.confidence, found.leg) == ("qdisc-drop", Confidence.CERTAIN, Leg(from_=5, to=6))


@pytest.mark.parametrize(
    ("case", "confidence"),
    [
        pytest.param(grown(QUEUED, A, links={NIC: {"qdisc.dropped": 400}}).case(), Confidence.LIKELY, id="many more"),
        pytest.param(
            grown(replace(QUEUED, requests=(lost(2, 2, 3), Fate(count=22))), A, links={NIC: {"qdisc.dropped": 2}}).case(),
            Confidence.LIKELY,
            id="two frames",
        ),
        pytest.param(
            dropped(replace(QUEUED, requests=(lost(24, 2, 3),)), A, "QDISC_DROP"), Confidence.LIKELY, id="the kernel's word, no counter"
        ),
    ],
)
def test_a_queueing_discipline_that_may_be_about_others(case: Case, confidence: Confidence) -> None:
    (found,) = asked(case, queues)
    assert (found.cause, found.confidence) == ("qdisc-drop", confidence)


def test_the_kernels_word_is_among_the_proofs() -> None:
    (found,) = asked(dropped(replace(QUEUED, requests=(lost(24, 2, 3),)), A, "QDISC_DROP"), queues)
    assert EvidenceKind.KERNEL in {proof.kind for proof in found.evidence}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(QUEUED.case(), id="no discipline counts anything"),
        pytest.param(grown(QUEUED, A, links={NIC: {"qdisc.dropped": 5}}).case(), id="fewer than were lost"),
        pytest.param(grown(QUEUED, A, links={VX: {"qdisc.dropped": 6}}).case(), id="that of the device before"),
        pytest.param(grown(QUEUED, B, links={NIC: {"qdisc.dropped": 6}}).case(), id="the other node's"),
        pytest.param(grown(SOME, A, links={NIC: {"qdisc.dropped": 6}}).case(), id="they had left the queue"),
        pytest.param(dropped(replace(QUEUED, requests=(lost(24, 2, 3),)), A, "NETFILTER_DROP"), id="another word of the kernel"),
        pytest.param(dropped(replace(QUEUED, requests=(lost(24, 2, 3),)), B, "QDISC_DROP"), id="another node's word"),
        pytest.param(
            dropped(grown(replace(QUEUED, requests=(lost(24, 2, 3),)), A, links={NIC: {"qdisc.dropped": 0}}), A, "QDISC_DROP"),
            id="the word of another queue: this one counted nothing",
        ),
    ],
)
def test_what_is_no_qdisc_drop(case: Case) -> None:
    assert asked(case, queues) == []


UNKNOWN_POD = replace(HEALTHY, requests=(lost(6, 5, 6), Fate(count=18)), replies=())


def without_neighbours(world: World) -> World:
    sides = [tuple(replace(one, neighbours=()) for one in side) for side in (world.before, world.after)]
    return replace(world, before=sides[0], after=sides[1])


FULL = without_neighbours(grown(UNKNOWN_POD, B, counters={"arp_cache.table_fulls": 6}))


def test_a_neighbour_table_that_was_full() -> None:
    (finding,) = diagnose(FULL.case())
    assert (finding.cause, finding.confidence) == ("neighbour-table-full", Confidence.CERTAIN)
    assert any("net.ipv4.neigh.default.gc_thresh3 of ada-ec-2: not read" in proof.text for proof in finding.evidence)


def test_a_table_that_was_full_less_often_is_less_sure() -> None:
    (found,) = asked(without_neighbours(grown(UNKNOWN_POD, B, counters={"ndisc_cache.table_fulls": 2})).case(), queues)
    assert (found.cause, found.confidence) == ("neighbour-table-full", Confidence.LIKELY)
    assert any("net.ipv6.neigh" in proof.text for proof in found.evidence)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(without_neighbours(UNKNOWN_POD).case(), id="it was not full"),
        pytest.param(grown(UNKNOWN_POD, B, counters={"arp_cache.table_fulls": 6}).case(), id="the pod has its entry"),
        pytest.param(replace(FULL, extra={6: (arp(VTEP_B, SERVER),)}).case(), id="the pod was asked for, so that an entry was made"),
        pytest.param(without_neighbours(grown(UNKNOWN_POD, A, counters={"arp_cache.table_fulls": 6})).case(), id="the other node's"),
        pytest.param(replace(FULL, requests=(lost(6, 4, 5), Fate(count=18))).case(), id="lost before the node forwards"),
        pytest.param(
            grown(replace(HEALTHY, requests=(lost(24, 1, 2),)), A, counters={"arp_cache.table_fulls": 24}).case(),
            id="the gateway on the VXLAN device has its entry",
        ),
    ],
)
def test_what_is_no_full_table(case: Case) -> None:
    assert asked(case, queues) == []
