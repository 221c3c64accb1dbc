"""A node's clock is set while the captures run: what was seen stays seen.

Nodes of the lab and of the cluster share one clock, so a healthy trace's bundle is rewritten: on one node everything later than two seconds
after the start is moved, as its capture files, its clock's reading after the trace and the ends of its captures would be.
"""

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import Lab, direction_of, hop_packets
from tests.unpacking import unpacked

pytestmark = [pytest.mark.lab, pytest.mark.lab_only, pytest.mark.one_backend]

NODE = "ada-ec-2"
SECOND_NS = 1_000_000_000
STEPPED_AFTER_NS = 2 * SECOND_NS
STEPS_S = (-3600, -10, -2, 2, 10, 3600)
_FILE_HEADER, _RECORD = 24, struct.Struct("<IIII")
_NANOSECONDS = b"\x4d\x3c\xb2\xa1"


def _moved(path: Path, from_ns: int, step_ns: int) -> None:
    """Move the frames of a capture that are later than `from_ns`."""
    data = bytearray(path.read_bytes())
    assert data[:4] == _NANOSECONDS
    place = _FILE_HEADER
    while place < len(data):
        seconds, nanoseconds, captured, wire = _RECORD.unpack_from(data, place)
        time_ns = seconds * SECOND_NS + nanoseconds
        if time_ns >= from_ns:
            _RECORD.pack_into(data, place, *divmod(time_ns + step_ns, SECOND_NS), captured, wire)
        place += _RECORD.size + captured
    path.write_bytes(data)


def stepped(folder: Path, step_ns: int) -> None:
    """Rewrite an unpacked bundle as if the clock of NODE had been set."""
    recording = json.loads((folder / "recording.json").read_text())
    from_ns = recording["captures"][0]["started_ns"] + STEPPED_AFTER_NS
    for capture in recording["captures"]:
        if capture["task"]["tap"]["node"] == NODE and capture["file"] is not None:
            path = folder / capture["file"]
            _moved(path, from_ns, step_ns)
            capture["stopped_ns"] += step_ns
            capture["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "recording.json").write_text(json.dumps(recording))
    after = folder / "nodes" / NODE / "after.json"
    said = json.loads(after.read_text())
    said["clock"]["node_ns"] += step_ns
    said["taken_ns"] += step_ns
    after.write_text(json.dumps(said))
    (folder / "manifest.json").unlink()


def _directions(report: dict[str, Any]) -> list[tuple[str, list[int]]]:
    """Verdict and packets at the expected hops, of each direction of each flow."""
    directions = [direction_of(flow, name) for flow in report["flows"] for name in ("request", "reply")]
    return [(direction["verdict"], list(hop_packets(direction))) for direction in directions]


def _flows(counts: list[int]) -> list[tuple[int, int]]:
    """Requests and replies of each flow."""
    return list(zip(counts[::2], counts[1::2], strict=True))


def test_what_was_seen_stays_seen(place: Lab, tmp_path: Path) -> None:
    """Never "no traffic", never replies that are not counted where their requests are; delivered, or said not to be known."""
    healthy = place.trace("--bundle", "healthy.zip", cwd=tmp_path, duration="6s")
    assert (healthy.code, healthy.report["verdict"]) == (0, "delivered"), healthy.stderr
    unpacked(tmp_path / "healthy.zip", tmp_path / "healthy")
    for step_s in STEPS_S:
        folder = tmp_path / f"stepped{step_s}"
        shutil.copytree(tmp_path / "healthy", folder)
        stepped(folder, step_s * SECOND_NS)
        run = place.vxtrace("analyze", folder.name, "-o", "json", cwd=tmp_path)
        report = run.report
        assert (run.code, report["verdict"] in ("delivered", "undetermined")) == (4, True), (step_s, run.stdout)
        assert any(blind["node"] == NODE and "clock was set" in blind["reason"] for blind in report["completeness"]["blind"])
        assert report["flows"] or "frames between the ends were seen" in report["summary"]
        for verdict, packets in _directions(report):
            assert verdict in ("delivered", "undetermined"), (step_s, verdict, packets)
            assert verdict == "undetermined" or min(packets) == max(packets) > 0, (step_s, packets)
        if report["verdict"] == "delivered":
            counts = [max(packets) for _, packets in _directions(report)]
            # at the ends of the window a packet may count and its answer not
            assert all(abs(asked - answered) <= 2 for asked, answered in _flows(counts)), (step_s, counts)
