"""Many captures as one pcapng: our reader and tshark find every frame, in order of time, with what stands beside it."""

import io
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.packets.cut import read_frames
from kubectl_vxtrace.packets.pcapng_blocks import InterfaceNotes
from kubectl_vxtrace.packets.pcapng_writer import NotedFrames, write_merged
from tests.packets.test_cut import PACKETS, TIME_NS
from tests.wire import frames

COMMENTS = ["; kürz", "; a longer comment, with a length that is no multiple of four", ""]


def noted(path: Path, name: str, link_type: int = 1, every_ns: int = 7, lead_ns: int = 0) -> NotedFrames:
    """A capture of all PACKETS; every third has no comment, every second no id."""
    before = {1: b"", 113: bytes(14) + b"\x08\x00", 101: b""}[link_type]
    packets = [packet if link_type == 1 else before + packet[14:] for packet in PACKETS]
    frames.write_pcap(
        path, [(TIME_NS + lead_ns + n * every_ns, packet) for n, packet in enumerate(packets)], link_type=link_type, snaplen=77
    )
    table = read_pcap(path)
    number = np.arange(len(table))
    return NotedFrames(
        files=(path,),
        table=table,
        notes=InterfaceNotes(
            name=name, description="d", filter="udp", snaplen_bytes=77, started_ns=TIME_NS, stopped_ns=TIME_NS + 9, dropped=3
        ),
        time_ns=table.time_ns - lead_ns,
        packet_id=np.where(number % 2 == 0, number + 1, 0).astype(np.uint64),
        comment=np.where(number % 3 == 0, -1, number % len(COMMENTS)).astype(np.int32),
        direction=np.full(len(table), 2, np.uint8),
    )


def merge(captures: list[NotedFrames], path: Path) -> int:
    with path.open("wb") as file:
        return write_merged(
            file, captures, comments=COMMENTS, names={"10.0.0.1": "shop/api", "fd00::1": "six"}, about="LOST: x", program="us 1"
        )


@pytest.fixture
def captures(tmp_path: Path) -> list[NotedFrames]:
    return [
        noted(tmp_path / "a", "1 node-a ens4 underlay"),
        noted(tmp_path / "b", "2 node-b any pod", 113, lead_ns=10**9),
        noted(tmp_path / "c", "3 node-b tun0 underlay", 101, every_ns=3),
    ]


def test_every_frame_is_there_in_order_of_time(captures: list[NotedFrames], tmp_path: Path) -> None:
    path = tmp_path / "merged.pcapng"
    assert merge(captures, path) == 3 * len(PACKETS)
    table = read_pcap(path)
    assert table.whole
    # Our reader escapes spaces.
    assert [interface.name for interface in table.interfaces] == [str(capture.notes.name).replace(" ", "\\x20") for capture in captures]
    assert np.all(np.diff(table.time_ns) >= 0)
    for number, capture in enumerate(captures):
        rows = np.flatnonzero(table.interface == number)
        assert table.time_ns[rows].tolist() == capture.time_ns.tolist()
        assert table.wire_bytes[rows].tolist() == capture.table.wire_bytes.tolist()
        [source] = capture.files
        assert read_frames(path, table, rows.tolist()) == read_frames(source, capture.table, range(len(capture.table)))


def test_tshark_finds_what_stands_beside_the_packets(captures: list[NotedFrames], tmp_path: Path) -> None:
    path = tmp_path / "merged.pcapng"
    merge(captures, path)
    fields = ("frame.interface_name", "frame.interface_description", "frame.packet_id", "frame.comment", "frame.packet_flags_direction")
    run = subprocess.run(
        ["tshark", "-r", path, "-T", "json", "-Nn", *(word for field in (*fields, "ip.host") for word in ("-e", field))],
        capture_output=True,
        check=True,
    )
    said = [packet["_source"]["layers"] for packet in json.loads(run.stdout)]
    assert len(said) == 3 * len(PACKETS)
    for capture in captures:
        own = [layers for layers in said if layers["frame.interface_name"] == [capture.notes.name]]
        for row, layers in enumerate(own):
            assert layers["frame.interface_description"] == ["d"]
            assert layers["frame.packet_flags_direction"] == ["0x00000002"]
            assert layers.get("frame.packet_id") == (None if row % 2 else [str(row + 1)])
            assert "shop/api" in layers["ip.host"]
            if row % 3 == 0:
                assert "frame.comment" not in layers
            else:
                own_ns = int(capture.table.time_ns[row])
                second = datetime.fromtimestamp(own_ns // 10**9, UTC).strftime("%H:%M:%S")
                assert layers["frame.comment"] == [f"captured at {second}.{own_ns % 10**9:09} UTC" + COMMENTS[row % 3]]


def test_wiresharks_tools_take_the_file(captures: list[NotedFrames], tmp_path: Path) -> None:
    path = tmp_path / "merged.pcapng"
    merge(captures, path)
    said = subprocess.run(["capinfos", path], capture_output=True, check=True, text=True)
    assert said.stderr == ""
    assert "Capture comment:     LOST: x" in said.stdout
    assert "Capture application: us 1" in said.stdout
    assert said.stdout.count("Filter string = udp") == len(captures)
    assert said.stdout.count("Number of stat entries = 1") == len(captures)
    assert "Strict time order:   True" in said.stdout
    for tool in (f"editcap {path} {tmp_path / 'e'}", f"mergecap -w {tmp_path / 'm'} {path}"):
        subprocess.run(tool.split(" "), check=True, capture_output=True)
    assert [len(read_pcap(tmp_path / name)) for name in "em"] == [3 * len(PACKETS)] * 2


def test_no_capture_and_no_packet(tmp_path: Path) -> None:
    out = io.BytesIO()
    assert write_merged(out, [], comments=[], names={}, about="", program="") == 0
    (tmp_path / "m").write_bytes(out.getvalue())
    assert len(read_pcap(tmp_path / "m")) == 0


def test_a_capture_that_became_shorter_is_refused(captures: list[NotedFrames], tmp_path: Path) -> None:
    [path] = captures[1].files
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PcapError, match="shorter"):
        merge(captures, tmp_path / "merged.pcapng")
