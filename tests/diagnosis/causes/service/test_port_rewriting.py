"""What is said of connections that the client's node sent on with another client port."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.journeys import PortRewriting
from kubectl_vxtrace.model.report import Confidence, Finding, Severity
from tests.diagnosis.build import HEALTHY, Fate

ASKED = replace(HEALTHY, requests=(Fate(port=41_000), Fate(port=41_001)), replies=(Fate(port=41_000), Fate(port=41_001)))


def said(*rewritten: PortRewriting) -> tuple[Finding, ...]:
    return diagnose(replace(ASKED.case(), rewritten_ports=rewritten))


def rewriting(port: int, *, in_conntrack: bool) -> PortRewriting:
    return PortRewriting(flow=1, client_port=port, seen_port=port + 9_000, in_conntrack=in_conntrack)


def test_nothing_where_ports_are_kept() -> None:
    assert said() == ()


@pytest.mark.parametrize(
    ("in_conntrack", "confidence"),
    [
        pytest.param((True, True), Confidence.CERTAIN, id="conntrack says so"),
        pytest.param((True, False), Confidence.LIKELY, id="packets alone show one of them"),
    ],
)
def test_new_ports_are_a_note_and_no_loss(in_conntrack: tuple[bool, bool], confidence: Confidence) -> None:
    (note,) = said(*(rewriting(41_000 + number, in_conntrack=known) for number, known in enumerate(in_conntrack)))
    assert note.cause == "nat-port-rewritten"
    assert (note.severity, note.confidence, note.packets, note.leg) == (Severity.INFO, confidence, 2, None)
    assert note.summary.endswith("2; this is a translation and no loss")
    assert [proof.text for proof in note.evidence] == [
        "client port 41000 as 50000, 41001 as 50001",
        f"of 2 conntrack names {sum(in_conntrack)}; packets that are the same but for the port show the others",
    ]


def test_of_many_connections_a_few_ports_are_shown() -> None:
    (note,) = said(*(rewriting(port, in_conntrack=True) for port in range(41_000, 41_008)))
    assert note.evidence[0].text.endswith("41004 as 50004 and 3 more")
