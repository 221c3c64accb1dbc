"""The merged capture of a recording whose truth is known, as tshark reads it, and handed back to the plugin."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from kubectl_vxtrace import merged
from kubectl_vxtrace.analysis import Examined, analyse, examine
from kubectl_vxtrace.bundle.source import open_recording
from tests.handover.build import LOST_REPLIES, LOST_REQUESTS, PINGS, by_procedure, recorded

SKEW_NS = 700_000
PROFILE = Path(__file__).parents[1] / "docs" / "wireshark" / "vxtrace"


@pytest.fixture
def examined(tmp_path: Path) -> Examined:
    folder = tmp_path / "captures"
    folder.mkdir()
    for name, content in by_procedure(recorded(skew_ns=SKEW_NS)).items():
        (folder / name).write_bytes(content)
    return examine(open_recording([folder], tmp_path / "scratch"))


@pytest.fixture
def path(examined: Examined, tmp_path: Path) -> Path:
    found = tmp_path / "merged.pcapng"
    with found.open("wb") as file:
        assert merged.write(examined.case, examined.report, file) == sum(map(len, examined.case.tables.values()))
    return found


def fields(path: Path, *names: str) -> list[list[str]]:
    run = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *(word for name in names for word in ("-e", name))],
        capture_output=True,
        check=True,
        text=True,
    )
    return [line.split("\t") for line in run.stdout.splitlines()]


def test_each_packet_has_one_number_at_all_its_hops(path: Path) -> None:
    seen = Counter(number for [number] in fields(path, "frame.packet_id"))
    delivered = 2 * (PINGS - LOST_REQUESTS) - LOST_REPLIES
    assert Counter(seen.values()) == {6: delivered, 3: LOST_REQUESTS + LOST_REPLIES}


def test_an_interface_bears_its_hop_its_place_and_its_role(path: Path) -> None:
    names = {name for [name] in fields(path, "frame.interface_name")}
    roles = [name.split(" ")[-1] for name in sorted(names)]
    assert [name.split(" ")[:2] for name in sorted(names)] == [[str(n), "ada-ec-1" if n < 4 else "ada-ec-2"] for n in range(1, 7)]
    assert roles == ["pod", "vxlan", "underlay", "underlay", "vxlan", "pod"]


def test_a_lost_packet_says_where_and_why(path: Path) -> None:
    said = Counter(comment.partition("; ")[2] for [comment] in fields(path, "frame.comment") if "lost" in comment)
    requests = {f"hop {n} of 6, flow 1 request: lost between hop 3 and hop 4, last seen at hop 3, cause underlay-loss" for n in (1, 2, 3)}
    replies = {f"hop {n} of 6, flow 1 reply: lost between hop 3 and hop 4, last seen at hop 3, cause underlay-loss" for n in (1, 2, 3)}
    assert said == {**dict.fromkeys(requests, LOST_REQUESTS), **dict.fromkeys(replies, LOST_REPLIES)}


def test_times_are_the_references_and_the_comment_keeps_the_nodes_own(path: Path) -> None:
    """On the way there are microseconds, the second node's clock is 0.7 ms ahead: by the nodes' own, answers come from the future."""
    by_packet: dict[str, list[float]] = {}
    for number, time in fields(path, "frame.packet_id", "frame.time_epoch"):
        by_packet.setdefault(number, []).append(float(time))
    assert max(max(times) - min(times) for times in by_packet.values()) < SKEW_NS / 1e9 / 2
    shifts: dict[str, set[float]] = {}
    for name, time, comment in fields(path, "frame.interface_name", "frame.time_epoch", "frame.comment"):
        if comment:
            own_s = float("0." + comment.removeprefix("captured at ").partition(" ")[0].partition(".")[2])
            shifts.setdefault(name.split(" ")[1], set()).add(round((own_s - float(time)) % 1, 6))
    [shift] = shifts["ada-ec-2"]
    assert shifts["ada-ec-1"] == {0}
    assert shift == pytest.approx(SKEW_NS / 1e9, abs=2e-4)


def test_handed_back_it_gives_the_same_verdict(path: Path, examined: Examined, tmp_path: Path) -> None:
    report = analyse(open_recording([path], tmp_path / "again"))
    legs = [[(leg.sent, leg.arrived, leg.lost) for leg in direction.legs] for direction in report.flows[0].directions]
    assert report.verdict == examined.report.verdict
    assert legs == [[(leg.sent, leg.arrived, leg.lost) for leg in direction.legs] for direction in examined.report.flows[0].directions]


def test_the_wireshark_profile_shows_hop_and_outcome(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROFILE, tmp_path / "wireshark" / "profiles" / PROFILE.name)
    monkeypatch.setenv("WIRESHARK_CONFIG_DIR", str(tmp_path / "wireshark"))
    run = subprocess.run(["tshark", "-C", PROFILE.name, "-r", path], capture_output=True, check=True, text=True)
    assert "rror" not in run.stderr
    lines = run.stdout.splitlines()
    assert any(" underlay " in line and "lost between hop 3 and hop 4" in line for line in lines)


def test_beside_its_captures_it_is_passed_over(examined: Examined, path: Path, tmp_path: Path) -> None:
    """Who unpacks a bundle and hands over its captures hands over each packet twice."""
    shutil.copy(path, tmp_path / "captures")
    again = analyse(open_recording([tmp_path / "captures"], tmp_path / "again"))
    assert again.flows == examined.report.flows
    assert any("merged.pcapng was passed over" in note for note in again.completeness.notes)
