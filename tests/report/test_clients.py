"""A report of several clients: each is named, those that lose most first."""

from dataclasses import replace

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import EndpointReport, Impact, TraceReport, Verdict
from kubectl_vxtrace.report import words
from kubectl_vxtrace.report.html import page
from kubectl_vxtrace.report.table import render
from tests.report.build import direction, report

COUNTS = {"shop/quiet": (24,) * 6, "shop/hurt": (24, 24, 24, 4, 4, 4), "shop/slightly": (24, 24, 24, 20, 20, 20)}


def clients() -> TraceReport:
    like = report().flows[0]
    flows = tuple(
        replace(
            like,
            id=number,
            client=EndpointReport(address=f"10.244.114.{number}", pod=pod, node="ada-ec-1"),
            directions=(direction(Direction.REQUEST, counts, Verdict.DELIVERED if counts[-1] == 24 else Verdict.LOST),),
        )
        for number, (pod, counts) in enumerate(COUNTS.items(), start=1)
    )
    findings = tuple(replace(finding, flow=2, packets=20) for finding in report().findings)
    return replace(report(), impact=Impact.PARTIAL, flows=flows, findings=findings, packets=())


def test_those_that_lose_most_come_first() -> None:
    text = render(clients(), width=160, color=False)
    rows = [line.split()[0] for line in text.splitlines() if line.startswith("shop/")]
    assert rows == ["shop/hurt", "shop/slightly", "shop/quiet"]
    assert "3 clients -> kube-system/kube-dns" in text
    assert "client shop/hurt" in text


def test_the_page_names_them() -> None:
    text = page.render(clients())
    assert all(pod in text for pod in COUNTS)
    assert "<th>client</th>" in text.replace(' scope="col"', "")


def test_one_client_has_no_column() -> None:
    assert not words.has_clients(report())
    assert "client" not in render(report(), width=160, color=False).splitlines()[4]
