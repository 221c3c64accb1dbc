"""fdb-missing, and what looks like it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import FdbEntry, NodeFacts
from kubectl_vxtrace.model.report import Confidence, Leg
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.frames import Frame
from tests.diagnosis.nodes import facts, rule
from tests.diagnosis.places import MAC_B, VX, A, B

BEFORE, AFTER = facts(A), facts(A, later=True)


def no_fdb(look: NodeFacts) -> NodeFacts:
    return replace(look, fdb=tuple(entry for entry in look.fdb if entry.device != VX))


def sending(
    leg: tuple[int, int], before: NodeFacts | None, after: NodeFacts, *, extra: Mapping[int, tuple[Frame, ...]] | None = None
) -> World:
    looks = (before, facts(B)) if before is not None else (facts(B),)
    return replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=looks, after=(after, facts(B)), extra=extra or {})


@pytest.mark.parametrize(
    ("before", "after", "confidence", "admitted"),
    [
        pytest.param(no_fdb(BEFORE), no_fdb(facts(A, vx={"tx.dropped": 27})), Confidence.CERTAIN, 24, id="missing, all counted"),
        pytest.param(BEFORE, no_fdb(facts(A, vx={"tx.dropped": 27})), Confidence.LIKELY, 24, id="missing in one look"),
        pytest.param(no_fdb(BEFORE), no_fdb(facts(A, vx={"tx.dropped": 9})), Confidence.POSSIBLE, 0, id="fewer counted"),
        pytest.param(None, no_fdb(AFTER), Confidence.LIKELY, 0, id="no counter"),
    ],
)
def test_no_forwarding_entry(before: NodeFacts | None, after: NodeFacts, confidence: Confidence, admitted: int) -> None:
    case = sending((2, 3), before, after).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence, findings[0].leg) == ("fdb-missing", confidence, Leg(from_=2, to=3))
    assert MAC_B in findings[0].summary
    assert dropped_packets(case, findings)[0].sum() == admitted


def unread(look: NodeFacts) -> NodeFacts:
    return replace(no_fdb(look), absent={"fdb": "bridge is not installed"})


DROPPED = facts(A, vx={"tx.dropped": 24})


DEFAULT = FdbEntry(mac="00:00:00:00:00:00", device=VX, destination="10.128.0.95")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(BEFORE, facts(A, vx={"tx.dropped": 500}), id="tx.dropped alone is background noise"),
        pytest.param(no_fdb(BEFORE), no_fdb(AFTER), id="missing, but nothing was dropped in the device"),
        pytest.param(replace(BEFORE, fdb=(DEFAULT,)), replace(DROPPED, fdb=(DEFAULT,)), id="a default destination"),
        pytest.param(unread(BEFORE), unread(DROPPED), id="not read"),
        pytest.param(replace(no_fdb(BEFORE), lookups=()), replace(no_fdb(DROPPED), lookups=()), id="no route known"),
    ],
)
def test_forwarding_entry_near_misses(before: NodeFacts, after: NodeFacts) -> None:
    assert diagnose(sending((2, 3), before, after).case())[0].cause == "unknown"


def test_counters_of_a_device_that_was_made_anew_are_not_compared() -> None:
    after = no_fdb(facts(A, vx={"tx.dropped": 24}))
    anew = replace(after, links=tuple(replace(link, index=link.index + 10) for link in after.links))
    found = diagnose(sending((2, 3), no_fdb(BEFORE), anew).case())[0]
    assert (found.cause, found.confidence) == ("fdb-missing", Confidence.LIKELY)


def test_an_output_rule_explains_the_same_leg_and_counter() -> None:
    """A packet that OUTPUT drops counts as tx dropped of the VXLAN device as well; the entry is there."""
    drop = rule("OUTPUT", "-p udp --dport 4789 -j DROP", 0, hook="output")
    after = replace(facts(A, vx={"tx.dropped": 24}), rules=(replace(drop, packets=24),))
    found = diagnose(sending((2, 3), replace(BEFORE, rules=(drop,)), after).case())[0]
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.CERTAIN)
