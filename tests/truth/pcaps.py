"""Capture files of a bundle, changed: packets as records, and tcpdump's own numbers beside them."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEADER_BYTES = 24
_RECORD = struct.Struct("<IIII")  # pcap(5) as a little-endian machine writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A record: seconds, what the file counts below them, the bytes that were kept, and how many there were."""

    seconds: int
    fraction: int
    data: bytes
    wire_bytes: int


Change = Callable[[dict[str, Any], list[Packet]], list[Packet]]


def change(folder: Path, edit: Change) -> None:
    """Put every capture file through `edit`, which is given its entry in recording.json (and may change that) and its packets.

    Size and digest in recording.json are then those of the new file.
    """
    path = folder / "recording.json"
    recording = json.loads(path.read_text())
    for capture in recording["captures"]:
        if capture["file"] is None:
            continue
        file = folder / capture["file"]
        raw = file.read_bytes()
        new = raw[:_HEADER_BYTES] + _written(edit(capture, _read(raw)))
        file.write_bytes(new)
        capture |= {"size_bytes": len(new), "sha256": hashlib.sha256(new).hexdigest()}
    path.write_text(json.dumps(recording))


def _read(raw: bytes) -> list[Packet]:
    packets, place = [], _HEADER_BYTES
    while place + _RECORD.size <= len(raw):
        seconds, fraction, kept, wire = _RECORD.unpack_from(raw, place)
        place += _RECORD.size
        packets.append(Packet(seconds=seconds, fraction=fraction, data=raw[place : place + kept], wire_bytes=wire))
        place += kept
    return packets


def _written(packets: Iterable[Packet]) -> bytes:
    return b"".join(_RECORD.pack(one.seconds, one.fraction, len(one.data), one.wire_bytes) + one.data for one in packets)
