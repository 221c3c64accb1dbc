"""What nodes sent each other in variants, in each form of the report."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.model.report import Completeness, Decides, NodeComparison, SourcePortTally, TraceReport, VariantTally
from kubectl_vxtrace.report import between_nodes, document, handoff, table, wide
from kubectl_vxtrace.report.html import page
from tests.report.build import report

LOSING = NodeComparison(
    from_="ada-ec-1",
    to="ada-ec-2",
    source="10.128.0.72",
    destination="10.128.0.95",
    vxlan_port=4789,
    other_port=64789,
    decides=Decides.PORT,
    summary="ada-ec-1 to ada-ec-2: all 32 to port 4789 are lost",
    variants=(
        VariantTally(port=4789, checksum=True, bytes=128, sent=32, left=32, arrived=0),
        VariantTally(port=64789, checksum=False, bytes=1460, sent=32, left=None, arrived=32),
    ),
    source_ports=(SourcePortTally(source_port=61001, port=4789, sent=8, left=None, arrived=0),),
)
PASSING = replace(LOSING, from_="ada-ec-2", to="ada-ec-1", decides=Decides.NOTHING, summary="ada-ec-2 to ada-ec-1: all arrive")


def _report(*ways: NodeComparison) -> TraceReport:
    return replace(report(), ab=ways, completeness=Completeness(complete=True, notes=tuple(f"--ab: {way.summary}" for way in ways)))


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


LOST = ["ada-ec-1", "ada-ec-2", "4789", "with", "128", "32", "32", "0"]
UNKNOWN = ["ada-ec-1", "ada-ec-2", "64789", "without", "1460", "32", "?", "32"]
ALL = ["ada-ec-2", "ada-ec-1", "4789", "with", "128", "32", "32", "0"]


def test_the_table_has_the_counts_of_what_loses() -> None:
    text = table.render(_report(PASSING, LOSING), width=None, color=False)
    rows = _rows(text)
    assert between_nodes.TITLE in text
    assert LOST in rows
    assert UNKNOWN in rows
    assert ALL not in rows
    assert "NOTE           --ab: ada-ec-2 to ada-ec-1: all arrive" in text
    assert between_nodes.TITLE not in table.render(_report(PASSING), width=None, color=False)
    many = table.render(_report(*[LOSING] * 9), width=None, color=False)
    assert _rows(many).count(LOST) == 4
    assert max(map(len, table.render(_report(replace(LOSING, to="n" * 90)), width=80, color=False).splitlines())) <= 100


def test_wide_and_the_page_have_all_counts() -> None:
    text = wide.render(_report(PASSING, LOSING), width=None, color=False)
    assert [row for row in _rows(text) if row in (LOST, UNKNOWN, ALL)] == [ALL, LOST, UNKNOWN]
    html = page.render(_report(PASSING, LOSING))
    assert html.count("<td>without</td>") == 2
    assert "<h2>Datagrams between the nodes</h2>" in html
    assert "<li>ada-ec-1 to ada-ec-2: all 32 to port 4789 are lost</li>" in html
    assert "Datagrams between the nodes" not in page.render(report())


def test_markdown_says_it() -> None:
    text = document.to_markdown(_report(LOSING))
    assert "--ab: ada-ec-1 to ada-ec-2: all 32 to port 4789 are lost" in text
    assert LOST in _rows(text)


def test_the_document_has_it_only_where_it_was_asked_for() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    made = document.to_builtins(_report(LOSING))
    jsonschema.Draft202012Validator(document.schema()).validate(made)
    assert (made["ab"][0]["from"], made["ab"][0]["decides"], made["ab"][0]["source_ports"][0]["left"]) == ("ada-ec-1", "port", None)
    assert "ab" not in document.to_builtins(report())
    assert "ab" not in document.schema()["required"]


def test_the_hand_off_says_what_decides() -> None:
    text = handoff.render(_report(PASSING, LOSING), ())
    assert "## What decides" in text
    assert "- ada-ec-1 to ada-ec-2: all 32 to port 4789 are lost" in text
    assert "all arrive" not in text
    assert "## What decides" not in handoff.render(_report(PASSING), ())
