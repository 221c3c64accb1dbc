"""Frames of bulk traffic as numpy records, and capture files made of such. Shares no code with the plugin."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.wire import frames

Records = NDArray[Any]
"""A structured array, one frame in each row, all equally long."""

_ETHERNET = [("ethernet", "V14")]
_IPV4 = [
    ("version_length", "u1"), ("tos", "u1"), ("total", ">u2"), ("id", ">u2"), ("fragment", ">u2"), ("ttl", "u1"), ("protocol", "u1"),
    ("checksum", ">u2"), ("source", ">u4"), ("destination", ">u4"),
]  # fmt: skip
_L4: dict[int, list[tuple[str, str]]] = {
    frames.UDP: [("source_port", ">u2"), ("destination_port", ">u2"), ("length", ">u2"), ("check", ">u2")],
    frames.TCP: [
        ("source_port", ">u2"), ("destination_port", ">u2"), ("seq", ">u4"), ("ack", ">u4"), ("offset_flags", ">u2"), ("window", ">u2"),
        ("check", ">u2"), ("urgent", ">u2"), ("options", "V12"),
    ],
    frames.ICMP: [("kind", "u1"), ("code", "u1"), ("check", ">u2"), ("source_port", ">u2"), ("seq", ">u2")],
}  # fmt: skip
_OUTER = [
    ("outer_ethernet", "V14"),
    *((f"outer_{name}", kind) for name, kind in _IPV4),
    *((f"outer_{name}", kind) for name, kind in _L4[frames.UDP]),
    ("vxlan_flags", ">u4"),
    ("vxlan_vni", ">u4"),
]
_PCAP = [("seconds", "<u4"), ("fraction", "<u4"), ("captured", "<u4"), ("wire", "<u4")]
_PCAPNG = [
    ("block", "<u4"), ("block_bytes", "<u4"), ("interface", "<u4"), ("ticks_high", "<u4"), ("ticks_low", "<u4"), ("captured", "<u4"),
    ("wire", "<u4"),
]  # fmt: skip
L4_BYTES = {protocol: np.dtype(fields).itemsize for protocol, fields in _L4.items()}
HEAD_BYTES = np.dtype(_ETHERNET).itemsize + np.dtype(_IPV4).itemsize
OUTER_BYTES = np.dtype(_OUTER).itemsize
_TIMESTAMPS = b"\x01\x01\x08\x0a" + bytes(8)
VNI, PORT = 4096, 4789


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packets:
    """n IP packets of one protocol, each `captured_bytes` of payload, of `payload_bytes` on the wire.

    source, destination: IPv4 addresses as numbers. `content` is shape (n, captured_bytes). seq, ack and flags are TCP's; ICMP: seq is the
    echo sequence, flags the type.
    """

    protocol: int
    time_ns: NDArray[np.int64]
    source: NDArray[np.uint32]
    destination: NDArray[np.uint32]
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    ip_id: NDArray[np.uint16]
    ttl: int
    seq: NDArray[np.uint32]
    ack: NDArray[np.uint32]
    flags: NDArray[np.uint16]
    payload_bytes: NDArray[np.int64]
    content: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tunnel:
    """What goes around packets: underlay addresses as numbers, the outer source port and IP ID of each."""

    source: NDArray[np.uint32]
    destination: NDArray[np.uint32]
    source_port: NDArray[np.uint16]
    ip_id: NDArray[np.uint16]


def build(packets: Packets, tunnel: Tunnel | None, pcapng: bool) -> Records:
    """The records of a capture file that hold these packets, each whole but for what `content` leaves out."""
    captured = packets.content.shape[1]
    outer = OUTER_BYTES if tunnel is not None else 0
    held = outer + HEAD_BYTES + L4_BYTES[packets.protocol] + captured
    inner = [*_ETHERNET, *_IPV4, *_L4[packets.protocol]]
    fields: list[Any] = [*(_PCAPNG if pcapng else _PCAP), *(_OUTER if tunnel is not None else []), *inner, ("content", "u1", (captured,))]
    if pcapng:
        fields += [("padding", "u1", (-held % 4,)), ("block_bytes_again", "<u4")]
    out: Records = np.zeros(len(packets.time_ns), dtype=np.dtype(fields))
    total = packets.payload_bytes + (HEAD_BYTES - 14 + L4_BYTES[packets.protocol])
    _record(out, packets.time_ns, held, total + 14 + outer, pcapng)
    _ip(out, "", packets.source, packets.destination, packets.ip_id, total, packets.ttl, packets.protocol, 0x4000)
    _l4(out, packets)
    out["content"] = packets.content
    if tunnel is not None:
        _wrap(out, tunnel, total + 14)
    return out


def _record(out: Records, time_ns: NDArray[np.int64], held: int, wire: NDArray[np.int64], pcapng: bool) -> None:
    out["captured"], out["wire"] = held, wire
    if pcapng:
        out["block"], out["block_bytes"], out["block_bytes_again"] = 6, out.dtype.itemsize, out.dtype.itemsize
        out["ticks_high"], out["ticks_low"] = time_ns >> 32, time_ns & 0xFFFFFFFF
    else:
        out["seconds"], out["fraction"] = time_ns // 1_000_000_000, time_ns % 1_000_000_000


def _ip(out: Records, prefix: str, source: Any, destination: Any, ip_id: Any, total: Any, ttl: int, protocol: int, fragment: int) -> None:
    values = {
        "version_length": 0x45, "total": total, "id": ip_id, "fragment": fragment, "ttl": ttl, "protocol": protocol, "source": source,
        "destination": destination,
    }  # fmt: skip
    for name, value in values.items():
        out[prefix + name] = value
    out[prefix + "ethernet"] = np.void(frames.ethernet(b""))


def _l4(out: Records, packets: Packets) -> None:
    out["source_port"] = packets.source_port
    if packets.protocol == frames.ICMP:
        out["kind"], out["seq"] = packets.flags, packets.seq
        return
    out["destination_port"] = packets.destination_port
    if packets.protocol == frames.UDP:
        out["length"] = packets.payload_bytes + L4_BYTES[frames.UDP]
        return
    out["seq"], out["ack"], out["window"], out["options"] = packets.seq, packets.ack, 64240, np.void(_TIMESTAMPS)
    out["offset_flags"] = (L4_BYTES[frames.TCP] // 4 << 12) | packets.flags


def _wrap(out: Records, tunnel: Tunnel, inner_bytes: NDArray[np.int64]) -> None:
    _ip(out, "outer_", tunnel.source, tunnel.destination, tunnel.ip_id, inner_bytes + OUTER_BYTES - 14, 64, frames.UDP, 0)
    out["outer_source_port"], out["outer_destination_port"] = tunnel.source_port, PORT
    out["outer_length"] = inner_bytes + OUTER_BYTES - HEAD_BYTES
    out["vxlan_flags"], out["vxlan_vni"] = 0x08000000, VNI << 8


def header(pcapng: bool) -> bytes:
    """What a capture file with nanoseconds begins with."""
    if pcapng:
        return frames.pcapng_section() + frames.pcapng_interface(resolution=9)
    return frames.pcap_header()


def append(path: Path, parts: Iterable[tuple[NDArray[np.int64], Records]]) -> int:
    """Write records to the end of a file in order of their times; how many."""
    pairs = [(times, records) for times, records in parts if len(records)]
    if not pairs:
        return 0
    order = np.argsort(np.concatenate([times for times, _ in pairs]), kind="stable")
    sizes = np.concatenate([np.full(len(records), records.dtype.itemsize) for _, records in pairs])
    behind = np.cumsum(sizes[order])
    offsets = np.empty_like(behind)
    offsets[order] = behind - sizes[order]
    out = np.empty(int(behind[-1]), np.uint8)
    start = 0
    for _, records in pairs:
        # opaque bytes at odd places: numpy copies each row at once
        size = records.dtype.itemsize
        places: NDArray[np.void] = np.ndarray((len(out) - size + 1,), f"V{size}", out, 0, (1,))
        places[offsets[start : start + len(records)]] = records.view(f"V{size}")
        start += len(records)
    with path.open("ab") as file:
        file.write(out.data)
    return len(order)
