"""Synthesised cases that only captures show: two packets in one, and a capture that could not keep up."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.truth import pcaps
from tests.truth.cases import Truth
from tests.truth.pcaps import Packet
from tests.truth.synthesis import RECEIVER, SENDER, Synthesised

# Bytes: Ethernet, IPv4 without options, UDP, VXLAN (RFC 7348, 5).
_ETHERNET, _IPV4, _UDP, _VXLAN = 14, 20, 8, 8
_OUTER = _ETHERNET + _IPV4 + _UDP + _VXLAN
_DNS = 53
_TWIN_BIT = 1  # programs/ask.py: an AAAA question has its A question's identifier but for this bit
_Question = tuple[int, int]  # the client's port, the identifier


def _offset(capture: dict[str, Any]) -> int:
    """Where the pods' frame begins."""
    return _OUTER if capture["task"]["role"] == "underlay" else 0


def _dns(frame: bytes) -> tuple[bool, _Question] | None:
    """Whether a pod's frame asks (it may answer), and which question it is about; None where it is none of both."""
    udp = _ETHERNET + _IPV4
    if frame[12:15] != b"\x08\x00\x45" or frame[23] != 17 or len(frame) < udp + _UDP + 2:
        return None
    source, destination = struct.unpack_from(">HH", frame, udp)
    (identifier,) = struct.unpack_from(">H", frame, udp + _UDP)
    if destination == _DNS:
        return True, (source, identifier)
    return (False, (destination, identifier)) if source == _DNS else None


def _checksum(header: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def glued(first: Packet, second: Packet) -> Packet:
    """Two VXLAN packets under the outer header of the first, as UDP segmentation leaves them that was never undone."""
    data = first.data + second.data[_ETHERNET + _IPV4 + _UDP :]
    length = len(data) - _ETHERNET
    ip = data[14:16] + struct.pack(">H", length) + data[18:24] + b"\0\0" + data[26:34]
    ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
    udp = data[34:38] + struct.pack(">H", length - _IPV4) + data[40:42]
    return replace(first, data=data[:14] + ip + udp + data[42:], wire_bytes=len(data))


def _glue(folder: Path) -> None:
    """Every other pair of questions that left at once shares one outer header; of the second nobody behind the sender's VXLAN device knows,
    so that no answer comes."""
    swallowed: set[_Question] = set()

    def collect(capture: dict[str, Any], packets: list[Packet]) -> list[Packet]:
        task = capture["task"]
        if (task["tap"]["node"], task["role"]) == (SENDER, "underlay"):
            asked = [found[1] for one in packets if (found := _dns(one.data[_OUTER:])) is not None and found[0]]
            twins = [two for one, two in pairwise(asked) if (two[0], two[1] ^ _TWIN_BIT) == one]
            swallowed.update(twins[::2])
        return packets

    def apply(capture: dict[str, Any], packets: list[Packet]) -> list[Packet]:
        kept = _without(capture, packets, swallowed)
        capture["received"] -= len(packets) - len(kept)
        capture["captured"] -= len(packets) - len(kept)
        return kept

    pcaps.change(folder, collect)
    pcaps.change(folder, apply)


def _without(capture: dict[str, Any], packets: Sequence[Packet], swallowed: set[_Question]) -> list[Packet]:
    """What a tap sees where the `swallowed` questions are inside the frames before them, or nowhere."""
    task, offset = capture["task"], _offset(capture)
    on_the_wire = task["role"] == "underlay"
    before = task["tap"]["node"] == SENDER and not on_the_wire
    kept: list[Packet] = []
    last: dict[_Question, int] = {}  # where in `kept` a question stands
    for one in packets:
        found = _dns(one.data[offset:])
        if found is None or found[1] not in swallowed or (before and found[0]):
            if found is not None and found[0]:
                last[found[1]] = len(kept)
            kept.append(one)
        elif found[0] and on_the_wire:
            place = last.get((found[1][0], found[1][1] ^ _TWIN_BIT))
            if place is not None:  # else the capture began between the two
                kept[place] = glued(kept[place], one)
    return kept


_EACH = 8


def _too_fast(folder: Path) -> None:
    """The kernel had no room in the capture's ring for one packet of eight (pcap_stats(3PCAP): ps_recv counts those as well)."""

    def apply(capture: dict[str, Any], packets: list[Packet]) -> list[Packet]:
        task = capture["task"]
        if (task["tap"]["node"], task["role"]) != (RECEIVER, "underlay"):
            return packets
        kept = [one for number, one in enumerate(packets) if number % _EACH != _EACH // 2]
        capture["captured"] = len(kept)
        capture["dropped_by_kernel"] = len(packets) - len(kept)
        return kept

    pcaps.change(folder, apply)


SYNTHESISED = (
    Synthesised(
        title="two VXLAN packets under one outer header (UDP segmentation that was never undone)",
        truth=Truth(cause="tunnel-gso-bug", direction="request", start=f"{SENDER}/vxlan", end=f"{SENDER}/underlay"),
        backend="flannel",
        rework=_glue,
        traffic=(("ask", "dns", "{kube-dns}", "{question}", "--rate", "20", "--twins"),),
    ),
    Synthesised(
        title="a capture that could not keep up: the kernel dropped one packet of eight",
        truth=Truth(cause="capture-blind", severity="warning", code=4),
        backend="flannel",
        rework=_too_fast,
    ),
)
