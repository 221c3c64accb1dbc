"""Synthesised cases: how a bundle's captures are changed."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from tests.truth import synthesised
from tests.truth.synthesised import cases, find

CLIENT, SERVER = b"\x0a\xf4\x72\x4b", b"\x0a\xf4\x38\x81"
QUESTION = b"\x01a\x00\x00\x01\x00\x01"


def ipv4(source: bytes, destination: bytes, payload: bytes) -> bytes:
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, 17, 0) + source + destination + payload


def udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def asks(port: int, identifier: int, *, answer: bool = False) -> bytes:
    """A pod's frame with a DNS question or answer."""
    body = struct.pack(">6H", identifier, 0x8180 if answer else 0x0100, 1, 0, 0, 0) + QUESTION
    ends = (SERVER, CLIENT, udp(53, port, body)) if answer else (CLIENT, SERVER, udp(port, 53, body))
    return b"\x02" * 12 + b"\x08\x00" + ipv4(*ends)


def tunnelled(frame: bytes) -> bytes:
    return b"\x04" * 12 + b"\x08\x00" + ipv4(b"\x0a\x80\0\x48", b"\x0a\x80\0\x5f", udp(50000, 4789, b"\x08\0\0\0\0\x10\0\0" + frame))


def folder(tmp_path: Path, frames: list[bytes]) -> Path:
    """A bundle with these frames at a pod, a VXLAN device and a NIC of both nodes."""
    captures = []
    for number, (node, role) in enumerate((node, role) for node in ("ada-ec-1", "ada-ec-2") for role in ("pod", "vxlan", "underlay")):
        raw = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 512, 1)
        for second, frame in enumerate(frames):
            data = tunnelled(frame) if role == "underlay" else frame
            raw += struct.pack("<IIII", second, 7, len(data), len(data)) + data
        name = f"{number}.pcap"
        (tmp_path / name).write_bytes(raw)
        counts = {"received": len(frames), "captured": len(frames), "dropped_by_kernel": 0}
        captures.append({"task": {"tap": {"node": node}, "role": role}, "file": name, "size_bytes": 0, "sha256": "", **counts})
    (tmp_path / "recording.json").write_text(json.dumps({"captures": [*captures, {"file": None}]}))
    return tmp_path


def lengths(place: Path) -> list[list[int]]:
    """Of each capture, how long each frame is; sizes and digests are those of the files."""
    found = []
    for capture in captures_of(place):
        raw = (place / capture["file"]).read_bytes()
        assert (capture["size_bytes"], capture["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
        at, one = 24, []
        while at < len(raw):
            kept, wire = struct.unpack_from("<II", raw, at + 8)
            assert kept == wire
            one.append(kept)
            at += 16 + kept
        found.append(one)
    return found


def captures_of(place: Path) -> list[dict[str, Any]]:
    return [one for one in json.loads((place / "recording.json").read_text())["captures"] if one["file"] is not None]


def rework(cause: str, place: Path) -> None:
    (one,) = (one for one in synthesised.SYNTHESISED if one.truth.cause == cause)
    one.rework(place)


def test_every_other_pair_of_questions_is_glued_on_the_wire_and_gone_behind_it(tmp_path: Path) -> None:
    pairs = [asks(40000 + number, identifier) for number, identifier in ((0, 8), (0, 9), (1, 20), (1, 21), (2, 30))]
    answers = [asks(40000, 8, answer=True), asks(40000, 9, answer=True), asks(40001, 21, answer=True)]
    place = folder(tmp_path, [*pairs, *answers])
    rework("tunnel-gso-bug", place)
    plain, outer = len(pairs[0]), len(pairs[0]) + 50
    before, behind = [plain] * 7, [plain] * 6
    wire = [outer + 8 + plain, *[outer] * 5]
    assert lengths(place) == [before, before, wire, behind, behind, wire]
    assert [(one["received"], one["captured"]) for one in captures_of(place)] == [(7, 7), (7, 7), (6, 6), (6, 6), (6, 6), (6, 6)]
    frame = (place / captures_of(place)[2]["file"]).read_bytes()[40 : 40 + wire[0]]
    assert struct.unpack(">H", frame[16:18])[0] == wire[0] - 14
    assert struct.unpack(">H", frame[38:40])[0] == wire[0] - 34
    assert frame[50 : 50 + plain] == pairs[0]
    assert frame.endswith(pairs[1])


def test_a_capture_that_could_not_keep_up_says_so(tmp_path: Path) -> None:
    place = folder(tmp_path, [asks(40000 + number, number) for number in range(16)])
    rework("capture-blind", place)
    counts = [(one["received"], one["captured"], one["dropped_by_kernel"]) for one in captures_of(place)]
    assert counts == [(16, 16, 0)] * 5 + [(16, 14, 2)]
    assert [len(one) for one in lengths(place)] == [16] * 5 + [14]


def test_each_case_is_found_by_its_title() -> None:
    assert [find(case.synthesised).truth for case in cases()] == [case.expected[0] for case in cases()]
