"""Files that are cut, of another time, or cannot be read; and that fewer of them say less, and nothing else."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pytest

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.report import TraceReport
from tests.handover import build
from tests.handover.build import SERVER_NODE
from tests.wire import links
from tests.wire.places import CLIENT_NODE, FIRST, NIC, SECOND, VXLAN

SHOTS = build.recorded()
FILES = build.by_procedure(SHOTS)
TRUTH = (build.LOST_REQUESTS, build.LOST_REPLIES)
NAMES = sorted(FILES)


def _lost(report: TraceReport) -> tuple[int, int]:
    return tuple(sum(leg.lost for flow in report.flows for leg in flow.directions[number].legs) for number in (0, 1))  # type: ignore[return-value]


def _blind(report: TraceReport) -> dict[str | None, str]:
    return {blind.node: blind.reason for blind in report.completeness.blind}


def test_files_that_are_all_cut_testify_up_to_their_ends(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, {name: content[:-7] for name, content in FILES.items()})
    assert build.lost(report) == TRUTH
    assert report.completeness.blind == ()
    assert all(capture.stopped is not None for capture in report.captures)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_long_before_the_others_ended_makes_no_loss(name: str, tmp_path: Path) -> None:
    files = build.by_procedure(build.recorded(lost=False))
    report = build.report_of(tmp_path, {**files, name: files[name][: len(files[name]) // 3]})
    assert _lost(report) == (0, 0)
    assert "and other captures go on" in str(report.completeness.blind)


def test_a_hole_in_the_middle_of_a_rotation_makes_no_witness(tmp_path: Path) -> None:
    files = build.rotated(SHOTS)
    name = build.procedure_name((SERVER_NODE, NIC))
    report = build.report_of(tmp_path, {**files, f"{name}1": files[f"{name}1"][:-7]})
    assert all(found <= true for found, true in zip(_lost(report), TRUTH, strict=True))
    assert "others follow" in str(report.completeness.blind)


RAW = 101
"""DLT_RAW: IP without a link's header (tcpdump.org/linktypes)."""


def test_files_of_different_links_are_one_recording(tmp_path: Path) -> None:
    """Captures of a pod without Ethernet, of a device that is cooked, and of others as they are."""
    first = next(iter(SHOTS))
    pod, device = (build.procedure_name(tap) for tap in (first, (CLIENT_NODE, VXLAN)))
    mixed = {
        **FILES,
        pod: build.pcap([(time_ns, frame[14:]) for time_ns, frame in SHOTS[first]], RAW),
        device: build.pcap([(time_ns, links.sll2(frame[14:], interface=5)) for time_ns, frame in SHOTS[CLIENT_NODE, VXLAN]], links.SLL2),
    }
    report = build.report_of(tmp_path, mixed)
    assert build.lost(report) == TRUTH
    assert report.completeness.blind == ()


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, {**FILES, **{f"again/{name}": content for name, content in FILES.items()}})
    assert build.lost(report) == TRUTH
    assert str(report.completeness.notes).count("it is a copy of") == len(FILES)


def test_a_capture_of_a_switch_stands_between_the_nics(tmp_path: Path) -> None:
    """It saw what left the client's node: then what is lost vanishes behind it."""
    files = {**FILES, "switch.pcap": build.pcap(SHOTS[CLIENT_NODE, NIC])}
    report = build.report_of(tmp_path, files, "--hop=tor=switch.pcap")
    [flow] = report.flows
    request = flow.directions[0]
    assert [(hop.node, hop.role) for hop in request.hops[2:5]] == [("ada-ec-1", "underlay"), ("tor", "underlay"), ("ada-ec-2", "underlay")]
    assert {(leg.from_, leg.to): leg.lost for leg in request.legs if leg.lost} == {(4, 5): build.LOST_REQUESTS}


def _at_another_time(shots: build.Shots, apart_ns: int) -> build.Shots:
    """The server's node as it was recorded at another time: other packets of the same talk."""
    shifted = {tap: [(time_ns + apart_ns, frame[:-30] + bytes(30)) for time_ns, frame in each] for tap, each in shots.items()}
    return {tap: each if tap[0] == CLIENT_NODE else shifted[tap] for tap, each in shots.items()}


def test_files_of_another_time_are_said_not_to_belong_to_the_others(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, build.by_procedure(_at_another_time(SHOTS, 86_400 * SECOND)))
    assert _lost(report) == (0, 0)
    assert len([note for note in report.completeness.notes if "do not belong together" in note]) == 1
    assert build.nodes_of(report) == (CLIENT_NODE, SERVER_NODE)
    assert "another time" in _blind(report)[SERVER_NODE]


def test_a_clock_that_is_a_day_off_is_no_other_time(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, build.by_procedure(build.recorded(skew_ns=86_400 * SECOND)))
    assert build.lost(report) == TRUTH


def test_a_quiet_capture_that_ends_before_the_others_begin_is_none_of_another_time(tmp_path: Path) -> None:
    """Two frames at a NIC, seconds before the traffic: its capture ran on and saw nothing."""
    arp = [(SHOTS[CLIENT_NODE, NIC][0][0] - 5 * SECOND + number, bytes(60)) for number in range(2)]
    shots = {tap: each if tap[0] == CLIENT_NODE else () for tap, each in build.recorded(one_way=True).items()}
    report = build.report_of(tmp_path, build.by_procedure({**shots, (SERVER_NODE, NIC): arp}))
    assert len(report.completeness.notes) == 1
    requests, replies = build.lost(report)
    assert requests > build.PINGS // 2
    assert replies == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "tcpdump was killed before it wrote"),
        (b"tcpdump: eth0: No such device\n", "not a capture but text"),
        (FILES[NAMES[0]][:10], "ends inside its file header"),
    ],
)
def test_what_cannot_be_read_is_said_once_with_the_right_reason(content: bytes, says: str, tmp_path: Path) -> None:
    name = build.procedure_name((SERVER_NODE, NIC))
    report = build.report_of(tmp_path, {**FILES, name: content})
    said = [*report.completeness.notes, *(blind.reason for blind in report.completeness.blind)]
    assert len([text for text in said if says in text]) == 1
    assert says in _blind(report)[SERVER_NODE]
    assert f"given/{name}" in _blind(report)[SERVER_NODE]
    assert _lost(report) == TRUTH  # found between the taps on both sides


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=r"no capture to look into[^$]*a-pod\.pcap cannot be read: it ends inside") as caught:
        build.report_of(tmp_path, {"a-pod.pcap": FILES[NAMES[0]][:10]})
    assert caught.value.message.count("ends inside") == 1


def test_missing_captures_of_a_node_are_one_line(tmp_path: Path) -> None:
    kept = {name: FILES[name] for name in NAMES if "pod" in name}
    report = build.report_of(tmp_path, kept)
    assert _blind(report) == dict.fromkeys((CLIENT_NODE, SERVER_NODE), "no capture was given of the VXLAN device and the NIC")
    assert len(report.completeness.blind) == 2


def test_frames_of_a_rotated_capture_are_read_from_the_file_that_they_are_in(tmp_path: Path) -> None:
    """What is shown of a packet is decoded again, from its own file."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    reports = build.report_of(whole, FILES), build.report_of(parts, build.rotated(SHOTS))
    summaries = [[(line.summary, line.outcome, line.sightings) for line in report.packets] for report in reports]
    assert summaries[0] == summaries[1]
    assert len({line.summary for line in reports[1].packets}) > 5


SUBSETS = [subset for count in range(1, len(NAMES)) for subset in combinations(NAMES, count)]


@pytest.mark.parametrize("subset", SUBSETS, ids=lambda names: "+".join(name.removesuffix(".pcap") for name in names))
def test_fewer_files_say_less_and_nothing_else(subset: tuple[str, ...], tmp_path: Path) -> None:
    report = build.report_of(tmp_path, {name: FILES[name] for name in subset})
    assert all(found <= true for found, true in zip(_lost(report), TRUTH, strict=True))
    assert report.cause in (None, "unknown", "underlay-loss", "capture-blind")
    assert {flow.server.address for flow in report.flows if flow.server is not None} <= {FIRST}


def test_the_files_of_subsets_are_as_they_were(tmp_path: Path) -> None:
    def content(place: Path) -> Mapping[str, bytes]:
        return {path.name: path.read_bytes() for path in place.iterdir()}

    build.report_of(tmp_path, FILES)
    assert content(tmp_path / "given") == FILES
