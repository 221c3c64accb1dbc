"""-o packets and -o wide: one packet is one line, and nothing is cut."""

import calendar
import time
from dataclasses import replace
from itertools import repeat

from kubectl_vxtrace.model.report import PacketLine, TraceReport, Verdict
from kubectl_vxtrace.report import wide
from kubectl_vxtrace.report.lines import SeenPacket, lines
from tests.report.build import report


def _seen(line: PacketLine) -> SeenPacket:
    time_ns = calendar.timegm(time.strptime(line.sightings[0].time.partition(".")[0], "%Y-%m-%dT%H:%M:%S")) * 1_000_000_000 + 123_456_789
    hops, frames = [sighting.hop for sighting in line.sightings], [sighting.frame for sighting in line.sightings]
    return SeenPacket(line.flow, line.direction, line.client_port, line.outcome, line.summary, time_ns, hops, frames)


def _fields(given: TraceReport) -> list[dict[str, str]]:
    found = []
    for line in lines(given, map(_seen, given.packets)):
        words, _, text = line.removesuffix("\n").partition(" text=")
        first, *fields = words.split(" ")
        found.append({"time": first, "text": text, **dict(field.split("=", 1) for field in fields)})
    return found


def test_a_packet_is_one_line_with_its_time_first() -> None:
    [line] = lines(report(), map(_seen, report().packets))
    assert line == (
        "2026-11-23T12:00:01.123456789Z outcome=lost flow=1 dir=request proto=UDP client=10.244.114.75:41234 server=10.244.56.129:53 "
        "hops=6 seen=1,2,3 frames=7,7,7 last=ada-ec-1/ens4 leg=3>4 cause=underlay-udp-blocked text=DNS A? kotsadm-rqlite.kotsadm\n"
    )


def test_a_delivered_packet_was_lost_nowhere() -> None:
    [packet] = report().packets
    given = replace(report(), packets=(replace(packet, outcome=Verdict.DELIVERED),))
    assert not {"last", "leg", "cause"} & set(_fields(given)[0])


def test_foreign_text_stays_one_word_and_one_line() -> None:
    [packet] = report().packets
    [flow] = report().flows
    hostile = replace(packet, summary="a\nb \x1b[2J outcome=delivered")
    directions = tuple(replace(each, hops=tuple(replace(hop, node="x y\n") for hop in each.hops)) for each in flow.directions)
    [fields] = _fields(replace(report(), packets=(hostile,), flows=(replace(flow, directions=directions),)))
    assert (fields["outcome"], fields["last"]) == ("lost", "x_y\\x0a/ens4")
    assert fields["text"] == "a\\x0ab \\x1b[2J outcome=delivered"


def test_lines_come_one_by_one() -> None:
    """A report of a million packets is printed while it is made."""
    [packet] = report().packets

    found = lines(report(), repeat(_seen(packet)))
    assert next(found) == next(found)


def test_wide_has_what_the_table_leaves_out_and_cuts_nothing() -> None:
    text = wide.render(report(), width=80, color=False, bundle="ticket.zip")
    for said in (
        "10.128.0.72 > 10.128.0.95:4789 VNI 4096",
        "ada-ec-2-vxlan.pcap",
        "reply from 10.244.56.129:53: no traffic",
        "1:7,2:7,3:7",
    ):
        assert said in text
    assert text.splitlines()[-2:] == ["BUNDLE         ticket.zip  (attach this to the ticket)", "CLEANUP        all debug pods are gone"]
    assert wide.render(report(), width=None, color=False).partition("\nflows\n")[2].startswith("    flow  protocol")
    assert text.isascii()
