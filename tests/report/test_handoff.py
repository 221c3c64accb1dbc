"""The page for who runs the network between the nodes: what the packets themselves say of it, and no more."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import Examined, examine
from kubectl_vxtrace.bundle.source import open_recording
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Overlay
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.report import handoff
from kubectl_vxtrace.report.crossing import Crossing, Packets, crossings
from tests.handover.build import LOST_REPLIES, LOST_REQUESTS, PINGS, by_procedure, pcap, recorded
from tests.report.build import report


def looked_at(folder: Path, *, lost: bool = True, without: str = "", empty: str = "") -> Examined:
    captures = folder / "captures"
    captures.mkdir()
    for name, content in by_procedure(recorded(lost=lost)).items():
        if not without or without not in name:
            (captures / name).write_bytes(content if not empty or empty not in name else pcap([]))
    return examine(open_recording([captures], folder / "scratch"))


def test_both_directions_are_counted_at_both_nics(tmp_path: Path) -> None:
    examined = looked_at(tmp_path)
    found = crossings(examined.case)
    counts = {each.direction: (each.left.count, each.arrived.count, each.lost.count) for each in found}
    [flow] = examined.report.flows
    legs = {each.direction: next(leg for leg in each.legs if leg.from_ == 3) for each in flow.directions}
    assert counts == {direction: (leg.sent, leg.arrived, leg.lost) for direction, leg in legs.items()}
    assert {direction: lost for direction, (_, _, lost) in counts.items()} == {
        Direction.REQUEST: LOST_REQUESTS,
        Direction.REPLY: LOST_REPLIES,
    }
    for each in found:
        assert sum(count for _, count in each.lost.ports) == each.lost.count
        assert (each.port, each.unsure, each.blind) == (4789, 0, ())
        assert each.lost.first_ns is not None
        assert each.left.first_ns is not None
        assert each.left.first_ns < each.lost.first_ns


def test_the_page_of_a_loss(tmp_path: Path) -> None:
    examined = looked_at(tmp_path)
    found = crossings(examined.case)
    text = handoff.render(examined.report, found)
    request = next(each for each in found if each.direction is Direction.REQUEST)
    assert text.startswith("# Packets are lost between ada-ec-1 and ada-ec-2\n")
    counts = f"{request.left.count} | {request.arrived.count} | {LOST_REQUESTS} |"
    assert f"| {request.source} > {request.destination} | 4789 | {request.vni} | {counts}" in text
    assert "T" in text.split("- lost: ")[1].split("\n")[0]
    assert "A part arrives" in text
    assert "let through" not in text
    assert "--hop tor=tor.pcap" in text
    assert handoff.concerns(found)
    assert len(text.splitlines()) < 60


def test_the_command_shows_what_left_and_nothing_else(tmp_path: Path) -> None:
    """On what the sender's NIC saw: tcpdump's own reading of the expression."""
    found = crossings(looked_at(tmp_path).case)
    nic = tmp_path / "captures" / "ada-ec-1-primary-interface.pcap"
    expression = handoff.tcpdump(found).split("'")[1]
    assert "udp[42:4] = 0x" in expression
    shown = subprocess.run(["tcpdump", "-nr", nic, expression], capture_output=True, text=True, check=True)
    assert shown.stdout.count("ICMP echo request") == PINGS
    assert shown.stdout.count("ICMP echo reply") == PINGS - LOST_REQUESTS - LOST_REPLIES
    other = expression.replace("0x0af4724b", "0x0af4724c")
    assert other != expression
    assert subprocess.run(["tcpdump", "-nr", nic, other], capture_output=True, text=True, check=True).stdout == ""


def test_nothing_is_lost(tmp_path: Path) -> None:
    examined = looked_at(tmp_path, lost=False)
    found = crossings(examined.case)
    text = handoff.render(examined.report, found)
    assert text.startswith("# Nothing was lost between the hosts\n")
    assert "there is nothing here for the network" in text
    assert "tcpdump" not in text
    assert not handoff.concerns(found)


def test_a_nic_that_saw_nothing_is_no_loss(tmp_path: Path) -> None:
    examined = looked_at(tmp_path, without="ada-ec-2-primary")
    found = crossings(examined.case)
    text = handoff.render(examined.report, found)
    assert not handoff.concerns(found)
    assert "Nothing was lost between the hosts" not in text
    assert "there is nothing here" not in text


def test_a_nic_whose_file_is_empty_has_no_crossing_of_that_direction(tmp_path: Path) -> None:
    found = crossings(looked_at(tmp_path, empty="ada-ec-1-primary").case)
    assert all(each.sender.tap.node == "ada-ec-2" for each in found)


def test_no_packet_at_all() -> None:
    nothing = Recording(session="s", version="0", started_ns=0, overlay=Overlay(), flows=(), paths=())
    found = crossings(Case(recording=nothing, tables={}, paths=(), clocks=(), connections={}))
    assert found == ()
    assert handoff.render(report(), found).startswith("# No traced packet was seen on its way between two hosts\n")


@pytest.fixture
def loss(tmp_path: Path) -> Crossing:
    return next(each for each in crossings(looked_at(tmp_path).case) if each.direction is Direction.REQUEST)


@pytest.mark.parametrize(
    ("lost", "arrived", "said"),
    [
        (Packets(count=2, ports=((1, 2),), frame_bytes=(100, 100)), Packets(count=2, ports=((2, 2),), frame_bytes=(100, 100)), "LAG, ECMP"),
        (Packets(count=2, ports=((1, 2),), frame_bytes=(1500, 1500)), Packets(count=2, ports=((1, 2),), frame_bytes=(90, 100)), "MTU"),
    ],
)
def test_what_the_packets_point_at_is_asked(loss: Crossing, lost: Packets, arrived: Packets, said: str) -> None:
    asked = ("LAG, ECMP", "MTU")
    text = handoff.render(report(), [replace(loss, lost=lost, arrived=arrived)])
    assert [word for word in asked if word in text] == [said]


def test_where_nothing_arrives_the_port_is_asked_about(loss: Crossing) -> None:
    text = handoff.render(report(), [replace(loss, arrived=Packets(count=0))])
    assert f"Is UDP port 4789 let through from {loss.source} to {loss.destination}, by every" in text
    assert "A part arrives" not in text


def test_names_from_elsewhere_do_not_write_the_page(loss: Crossing) -> None:
    hostile = replace(loss, sender=replace(loss.sender, tap=replace(loss.sender.tap, node="a|b\n# c\x1b[2J<script>")))
    text = handoff.render(report(), [hostile])
    assert "\x1b" not in text
    assert "<script>" not in text
    assert "\n# c" not in text
