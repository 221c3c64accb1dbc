"""The HTML page: it says what the report says, and no text of a cluster becomes markup."""

import dataclasses
import re
from collections import Counter
from enum import Enum
from html.parser import HTMLParser
from typing import Any

from kubectl_vxtrace.model.report import Impact, TraceReport, Verdict
from kubectl_vxtrace.report.html import page
from tests.report.build import report

EVIL = "</td></style></title><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='x' \x1b[2J\u202e&amp; javascript:x"
VOID = {"meta", "br"}
MAX_BYTES = 3_000_000


class Page(HTMLParser):
    """The tags of a page, what they bear, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def evil(value: Any) -> Any:
    """The same record with hostile text behind each text; what differs still differs."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{field.name: evil(getattr(value, field.name)) for field in dataclasses.fields(value)})
    if isinstance(value, tuple):
        return tuple(map(evil, value))
    if isinstance(value, str) and not isinstance(value, Enum) and not re.match(r"\d{4}-", value):
        return value + EVIL
    return value


def with_packets(count: int) -> TraceReport:
    """A report that lists so many packets."""
    one = report().packets[0]
    return dataclasses.replace(report(), packets=tuple(dataclasses.replace(one, id=number) for number in range(1, count + 1)))


def test_the_page_says_what_the_report_says() -> None:
    made = report()
    found = Page(page.render(made))
    assert found.open == []
    finding = made.main_finding
    assert finding is not None
    for text in (
        "lost",
        made.summary.removeprefix("LOST, "),
        finding.summary,
        made.remediation,
        finding.evidence[0].text,
        made.completeness.blind[0].reason,
    ):
        assert str(text) in found.text
    for capture in made.captures:
        assert str(capture.file) in found.text
    assert found.tags["h1"] == 1
    assert found.tags["svg"] == sum(
        bool(each.hops) and each.verdict is not Verdict.NOT_APPLICABLE for flow in made.flows for each in flow.directions
    )


def test_nothing_runs_and_nothing_is_loaded() -> None:
    found = Page(page.render(report()))
    [policy] = [value for tag, name, value in found.attributes if tag == "meta" and name == "content" and "default-src" in value]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not {"script", "img", "link", "iframe", "object", "a", "form", "base"} & set(found.tags)
    assert not {name for _, name, _ in found.attributes} & {"src", "href", "style", "action"}


def test_hostile_text_stays_text() -> None:
    source = page.render(evil(report()))
    found, harmless = Page(source), Page(page.render(report()))
    assert set(found.tags) <= set(harmless.tags)
    assert {name for _, name, _ in found.attributes} <= {name for _, name, _ in harmless.attributes}
    assert "<script>alert(1)</script>" in found.text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", source)


def test_every_image_says_what_it_shows() -> None:
    source = page.render(report())
    assert source.count('role="img"') == source.count("<svg") > 0
    assert all("<title>" in part for part in source.split("<svg")[1:])


def test_a_report_without_anything() -> None:
    empty = dataclasses.replace(
        report(),
        verdict=Verdict.NO_TRAFFIC,
        impact=Impact.NONE,
        flows=(),
        packets=(),
        findings=(),
        clocks=(),
        captures=(),
        cause=None,
        remediation=None,
        cleanup=None,
    )
    found = Page(page.render(empty))
    assert (found.open, found.tags["table"], found.tags["svg"]) == ([], 0, 0)


def test_what_is_left_out_is_counted() -> None:
    [flow] = report().flows
    numbers = range(1, 100)
    flows = tuple(dataclasses.replace(flow, id=number) for number in numbers)
    findings = tuple(dataclasses.replace(report().findings[0], flow=number) for number in numbers)
    many = dataclasses.replace(report(), flows=flows, findings=findings)
    many = dataclasses.replace(many, packets=tuple(dataclasses.replace(report().packets[0], id=n, flow=n) for n in range(1, 100)) * 9)
    found = Page(page.render(many))
    drawn = found.tags["svg"]
    directions = sum(bool(each.hops) for each in flow.directions if each.verdict is not Verdict.NOT_APPLICABLE)
    assert f"... and {99 * directions - drawn} more directions" in found.text
    assert "more lines, which are in the JSON" in found.text


def test_many_packets_are_grouped() -> None:
    source = page.render(with_packets(50_000))
    assert "... and 49992 more went the same way" in source
    assert len(source.encode()) < MAX_BYTES
