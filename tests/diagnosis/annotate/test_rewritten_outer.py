"""Outer addresses that differ between the NICs of both nodes."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Finding
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import table
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import NIC_A, NIC_B, TAPS, B

OTHER = "10.128.0.77"


def refused(grown: int = 24, requests: tuple[Fate, ...] = (lost(24, 4, 5),)) -> World:
    text = (
        '-p udp --comment "Drop IPv4 VXLAN packets from non-allowed hosts" -m multiport --dports 4789 -m addrtype --dst-type LOCAL -j DROP'
    )
    before, after = ruled(B, (rule("INPUT", "-j cali-INPUT", 900), 40), (rule("cali-INPUT", text, 0), grown))
    return replace(HEALTHY, requests=requests, replies=(), before=before, after=after)


def rewritten(world: World, *, source: str = NIC_A, destination: str = NIC_B, every: int = 1) -> Case:
    """The case, in which the receiver's NIC sees other outer addresses than left the sender's, in every so manieth frame."""
    case, tap = world.case(), TAPS[3]
    frames = [
        replace(frame, tunnel=(source, destination, *frame.tunnel[2:])) if frame.tunnel is not None and not number % every else frame
        for number, frame in enumerate(world.seen()[4])
    ]
    return replace(case, tables={**case.tables, tap: table(tap, frames)})


def said(found: Finding) -> str:
    return " ".join(proof.text for proof in found.evidence)


def test_a_rewritten_source_comes_before_the_settings_of_the_nodes() -> None:
    found = diagnose(rewritten(refused(), source=OTHER))[0]
    assert found.cause == "calico-unknown-vtep"
    assert f"the outer source was rewritten ({NIC_A} left, {OTHER} came) on the way from ada-ec-1/ens4 to ada-ec-2/ens4" in said(found)
    assert (found.remediation or "").startswith(
        f"First find what rewrites the outer source {NIC_A} to {OTHER} between ada-ec-1 and ada-ec-2"
    )
    assert "Only if that is meant: " in (found.remediation or "")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(rewritten(refused()), id="nothing was rewritten"),
        pytest.param(rewritten(refused(), source=OTHER, every=2), id="not all were"),
        pytest.param(rewritten(replace(refused(), requests=(lost(24, 5, 6),)), source=OTHER), id="died behind the tunnel"),
        pytest.param(rewritten(replace(refused(), requests=(lost(24, 2, 3),)), source=OTHER), id="died before the wire"),
    ],
)
def test_where_addresses_stay_or_no_longer_matter_nothing_is_said_of_them(case: Case) -> None:
    found = diagnose(case)[0]
    assert "rewritten" not in said(found)
    assert "rewrites" not in (found.remediation or "")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(rewritten(refused(), destination="10.128.0.96"), id="1:1 NAT of the receiver"),
        pytest.param(rewritten(refused(12, (lost(12, 4, 5), Fate(count=12))), source=OTHER), id="others pass with it"),
    ],
)
def test_a_rewriting_that_may_be_meant_is_evidence_alone(case: Case) -> None:
    found = diagnose(case)[0]
    assert "was rewritten" in said(found)
    assert "rewrites" not in (found.remediation or "")
