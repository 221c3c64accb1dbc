"""The text table."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.model.report import ClockBound, Impact, Latency, OffsetBound, Severity, TraceReport, Verdict
from kubectl_vxtrace.report import document, table
from kubectl_vxtrace.report.words import duration, shortened
from tests.report.build import report

EXPECTED = """\
kotsadm/kotsadm-58f859745b-x4nh8 -> kube-system/kube-dns (10.96.0.10:53/UDP)      calico-vxlan, VNI 4096, UDP 4789, MTU 1410

backend           node        asked    arrived    answered    back
10.244.56.129:53  ada-ec-2       24          0           0       0  LOST between hop 3 and hop 4

request to 10.244.56.129:53
   hop  node      interface        role        packets
     1  ada-ec-1  cali9d8b6a7d855  pod              24  10.244.114.75 > 10.96.0.10:53
     2  ada-ec-1  vxlan.calico     vxlan            24  translated: 10.244.114.75 > 10.244.56.129:53
     3  ada-ec-1  ens4             underlay         24  10.128.0.72 > 10.128.0.95:4789 VNI 4096
     ------------ 24 of 24 vanish here ------------
     4  ada-ec-2  ens4             underlay          0  capture is alive: 31 other packets
     5  ada-ec-2  vxlan.calico     vxlan             0  capture is alive: 31 other packets
     6  ada-ec-2  cali2b903875fe4  pod               0  capture is alive: 31 other packets

packets (1 of 24)
  id  time (UTC)       packet                         1 2 3 4 5 6    outcome
   1  12:00:01.123456  DNS A? kotsadm-rqlite.kotsadm  x x x . . .    lost

VERDICT        LOST, 24 of 24, between ada-ec-1/ens4 and ada-ec-2/ens4
WHY            the underlay loses what ada-ec-1 sends (cause: underlay-udp-blocked, certain)
               - 24 requests were handed to the driver
NOT RULED OUT  a drop below ada-ec-2's tap
BLIND          ada-ec-3: not ready
NEXT           look: tcpdump on ada-ec-2; then allow UDP 4789
MORE           kubectl vxtrace explain underlay-udp-blocked
BUNDLE         ticket.zip  (attach this to the ticket)
CLEANUP        all debug pods are gone
"""


NOTHING_SEEN = replace(report(), verdict=Verdict.NO_TRAFFIC, impact=Impact.NONE, cause=None, flows=(), packets=(), findings=())


def _render(given: TraceReport, width: int | None = None, *, color: bool = False) -> str:
    return table.render(given, width=width, color=color, bundle="ticket.zip")


def test_a_loss_is_drawn_where_it_happens() -> None:
    assert _render(report()) == EXPECTED


def test_colour_adds_nothing_but_colour() -> None:
    import re

    assert re.sub(r"\x1b\[\d+m", "", _render(report(), color=True)) == EXPECTED


def test_sentences_are_wrapped_to_the_terminal() -> None:
    text = _render(report(evidence="word " * 60), width=80)
    closing = text[text.index("VERDICT") :].splitlines()
    assert max(map(len, closing)) <= 80


@pytest.mark.parametrize("width", [80, 100, 200])
def test_it_fits_the_terminal(width: int) -> None:
    long = report(pod="kotsadm/a-workload-with-a-long-name-58f859745b-x4nh8", evidence="word " * 40)
    [packet] = long.packets
    text = _render(replace(long, packets=(replace(packet, summary="DNS A? " + "a-long-label." * 12),)), width=width)
    assert max(map(len, text.splitlines())) <= width
    words = ("translated: 10.244.114.75 > 10.244.56.129:53", "capture is alive: 31 other packets", "10.128.0.95:4789", "x x x . . .")
    assert all(word in " ".join(text.split()) for word in words)


def test_names_lose_their_middle() -> None:
    assert shortened("cali9d8b6a7d855", 15) == "cali9d8b6a7d855"
    assert shortened("a-very-long-interface-name", 13) == "a-ver...-name"
    assert len(shortened("x" * 100, 12, "…")) == 12


def test_foreign_text_cannot_steer_the_terminal() -> None:
    hostile = report(pod="x/\x1b]0;title\x07", evidence="a\nVERDICT        delivered\x1b[2J")
    text = _render(hostile)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert [line for line in text.splitlines() if line.startswith("VERDICT")] == [
        "VERDICT        LOST, 24 of 24, between ada-ec-1/ens4 and ada-ec-2/ens4"
    ]


def test_the_page_of_the_top_cause_is_named_in_every_text_form() -> None:
    command = "kubectl vxtrace explain underlay-udp-blocked\n"
    assert _render(report(), width=60).count(command) == 1
    assert document.to_markdown(report()).count(command) == 1
    noted = replace(report().findings[0], cause="asymmetric-return", severity=Severity.INFO)
    assert _render(replace(report(), findings=(*report().findings, noted))).count("kubectl vxtrace explain") == 1
    assert "kubectl vxtrace explain" not in _render(replace(NOTHING_SEEN, findings=(noted,)))


@pytest.mark.parametrize(
    ("stepped", "said"),
    [
        ((False, False), []),
        (
            (True, False),
            ["CLOCK          the clock of ada-ec-2 was set while captures ran: no latency to or from other nodes is claimed there"],
        ),
        (
            (True, True),
            [
                "CLOCK          the clock of ada-ec-2 and ada-ec-3, or that of ada-ec-1, was set while captures ran: "
                "no latency to or from other nodes is claimed there"
            ],
        ),
    ],
)
def test_a_clock_that_was_set_is_said_in_one_line(stepped: tuple[bool, ...], said: list[str]) -> None:
    unknown = OffsetBound(low=None, high=None)
    clocks = tuple(
        ClockBound(reference="ada-ec-1", node=node, offset_ns=unknown, samples=9, stepped=one)
        for node, one in zip(("ada-ec-2", "ada-ec-3"), stepped, strict=True)
    )
    given = replace(report(), clocks=clocks)
    assert [line for line in _render(given).splitlines() if line.startswith("CLOCK")] == said
    assert document.to_markdown(given).count("\nCLOCK ") == len(said)


def test_without_any_flow_it_says_so() -> None:
    text = _render(NOTHING_SEEN)
    assert text.startswith("no packet of the traced traffic was seen")


def test_a_note_without_a_cause_names_none() -> None:
    note = replace(report().findings[0], cause="unknown", severity=Severity.INFO, summary="24 packets were seen elsewhere")
    lines = _render(replace(report(), findings=(*report().findings, note))).splitlines()
    assert [line for line in lines if line.startswith("NOTE")] == ["NOTE           24 packets were seen elsewhere"]
    named = replace(note, cause="asymmetric-return")
    assert "elsewhere (cause: asymmetric-return, certain)" in _render(replace(report(), findings=(*report().findings, named)))


def test_what_holds_of_several_paths_is_said_once() -> None:
    [main] = report().findings
    alike = [replace(main, not_ruled_out=(f"path {number}",)) for number in range(3)]
    others = [replace(each, cause="unknown", summary="12 requests vanished") for each in alike[:2]]
    once = replace(main, severity=Severity.WARNING, cause="rp-filter", summary="it may hurt")
    lines = _render(replace(report(), findings=(main, *alike, *others, once))).splitlines()
    assert [line for line in lines if line.startswith(("ALSO", "WARNING"))] == [
        "ALSO           the same on 3 other paths",
        f"ALSO           12 requests vanished (cause: unknown, {main.confidence}), on 2 paths",
        f"WARNING        it may hurt (cause: rp-filter, {main.confidence})",
    ]


def test_what_is_not_known_of_a_leg_is_drawn_beside_what_vanished() -> None:
    given = report()
    flow = given.flows[0]
    request, reply = flow.directions
    legs = tuple(replace(leg, lost=2, undetermined=22) if leg.lost else leg for leg in request.legs)
    text = _render(replace(given, flows=(replace(flow, directions=(replace(request, legs=legs), reply)),)))
    assert "------------ 2 of 24 vanish here, 22 undetermined ------------" in text


def _with_node(given: TraceReport, name: str) -> TraceReport:
    """The same with a longer name for its second node."""
    [flow] = given.flows
    assert flow.server is not None
    directions = tuple(
        replace(each, hops=tuple(replace(hop, node=name) if hop.hop > 3 else hop for hop in each.hops)) for each in flow.directions
    )
    return replace(given, flows=(replace(flow, directions=directions, server=replace(flow.server, node=name)),))


LONG_NODE = "ip-10-0-112-134.eu-central-1.compute.internal-pool-a"


def test_long_names_lose_their_middle_and_stand_whole_below() -> None:
    text = _render(_with_node(report(), LONG_NODE), width=80)
    assert max(map(len, text.splitlines())) <= 80
    below = text.partition("names in full\n")[2].splitlines()
    short, whole = " ".join(below[:2]).split()
    assert whole == LONG_NODE
    assert text.count(short) > 3
    assert "..." in short
    tables = text.partition("names in full\n")[0]
    assert LONG_NODE not in tables.partition("request to")[2].partition("packets (")[0]


def test_a_file_gets_every_name_whole() -> None:
    text = _render(_with_node(report(), LONG_NODE))
    assert "names in full" not in text
    assert text.count(LONG_NODE) >= 4


def test_what_was_rejected_has_not_vanished() -> None:
    given = report()
    [flow] = given.flows
    request, reply = flow.directions
    rejected = replace(
        given, verdict=Verdict.REJECTED, flows=(replace(flow, directions=(replace(request, verdict=Verdict.REJECTED), reply)),)
    )
    text = _render(rejected)
    assert "------------ 24 of 24 rejected here ------------" in text
    assert "vanish" not in text
    mixed = _render(replace(given, packets=(replace(given.packets[0], outcome=Verdict.REJECTED),)))
    assert "------------ 23 of 24 vanish here, 1 rejected ------------" in mixed


def test_a_leg_has_its_latency_and_how_unsure_that_is() -> None:
    known = Latency(min=1_000, median=31_400, max=90_000, uncertainty=0)
    across = Latency(min=0, median=1_234_000, max=2_000_000, uncertainty=900_000)
    [flow] = report().flows
    request, reply = flow.directions
    legs = tuple(replace(leg, latency_ns={1: known, 3: across}.get(leg.from_)) for leg in request.legs)
    text = _render(replace(report(), flows=(replace(flow, directions=(replace(request, legs=legs), reply)),)))
    assert "\n    latency: 1>2 31.4 us, 3>4 1.23 ms +- 900 us\n" in text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1_000, "1 us"), (31_449, "31.4 us"), (2_500_000_000, "2.5 s"), (-1_500_000, "-1.5 ms")],
)
def test_times_have_three_digits(time_ns: int, text: str) -> None:
    assert duration(time_ns) == text


def test_the_table_is_plain_ascii() -> None:
    """In every locale: nobody has to ask for it."""
    assert _render(report(), width=80).isascii()
