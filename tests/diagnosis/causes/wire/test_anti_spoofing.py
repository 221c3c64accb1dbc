"""cloud-anti-spoofing, and what looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.causes.wire import anti_spoofing
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.report import Confidence, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.places import CLIENT, NIC_A, SERVER, TAPS, B


def bare(world: World, *, source: str = CLIENT, extra: tuple[Frame, ...] = ()) -> Case:
    """The requests of `world`, unencapsulated and from this address at A's NIC; `extra`: what B's NIC saw besides."""
    case = replace(world, extra={4: extra}).case()
    at_nic = case.tables[TAPS[2]]
    frames = [Frame(source=source, destination=SERVER, source_port=40000 + row, destination_port=53) for row in range(len(at_nic))]
    return replace(case, tables={**case.tables, TAPS[2]: table(TAPS[2], frames)})


GONE = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=())
OWN = Frame(source=NIC_A, destination="10.128.0.95", source_port=1, destination_port=2)
TUNNELLED = Frame(source=CLIENT, destination=SERVER, tunnel=(NIC_A, "10.128.0.95", 50000, 4789, 4096))


@pytest.mark.parametrize(
    ("extra", "confidence"),
    [
        pytest.param((OWN,), Confidence.LIKELY, id="the node's own packets arrive"),
        pytest.param((TUNNELLED,), Confidence.LIKELY, id="encapsulated ones arrive"),
        pytest.param((), Confidence.POSSIBLE, id="nothing else was seen"),
        pytest.param((replace(OWN, source="10.128.0.1"),), Confidence.POSSIBLE, id="others' packets arrive"),
    ],
)
def test_bare_packets_of_a_pod_that_do_not_arrive(extra: tuple[Frame, ...], confidence: Confidence) -> None:
    (found,) = asked(bare(GONE, extra=extra), anti_spoofing)
    assert (found.cause, found.confidence, found.leg) == ("cloud-anti-spoofing", confidence, Leg(from_=3, to=4))
    assert any("firewall between the nodes" in doubt for doubt in found.not_ruled_out)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(GONE.case(), id="encapsulated"),
        pytest.param(bare(GONE, source=NIC_A), id="masqueraded to the node's address"),
        pytest.param(bare(replace(GONE, requests=(lost(4, 3, 4), Fate(count=20)))), id="others arrive"),
        pytest.param(bare(replace(HEALTHY, replies=())), id="nothing was lost: the other node is in the same subnet"),
        pytest.param(
            bare(replace(GONE, protocol="TCP", requests=(lost(24, 3, 4, outcome=OutcomeCode.REJECTED),))), id="each was answered by a reset"
        ),
    ],
)
def test_what_is_no_anti_spoofing(case: Case) -> None:
    assert asked(case, anti_spoofing) == []


def test_a_receiver_whose_nic_is_down_is_no_cloud() -> None:
    looks = tuple(
        replace(one, links=tuple(replace(link, up=False) if link.name == "ens4" else link for link in one.links)) if one.node == B else one
        for one in HEALTHY.after
    )
    assert asked(bare(replace(GONE, before=looks, after=looks)), anti_spoofing) == []
