"""Capture files of frames: pcap or pcapng, whole or cut, plain or gzipped."""

import gzip
from collections.abc import Sequence
from pathlib import Path

from tests.wire import frames
from tests.wire.world import Capture

SUFFIXES = {"pcap": ".pcap", "pcapng": ".pcapng", "pcap.gz": ".pcap.gz"}


def write(path: Path, packets: Sequence[tuple[int, bytes]], capture: Capture) -> None:
    """Write (time as the node's clock showed it, frame) pairs in the order given, as `capture` says."""
    data = _pcapng(packets, capture) if capture.file_format == "pcapng" else _pcap(packets, capture)
    if capture.cut_record and packets:
        data = data[: -min(7, len(packets[-1][1]))]
    path.write_bytes(gzip.compress(data, compresslevel=1) if capture.file_format == "pcap.gz" else data)


def _pcap(packets: Sequence[tuple[int, bytes]], capture: Capture) -> bytes:
    records = [frames.pcap_record(at, frame, nanoseconds=capture.nanoseconds, snaplen=capture.snaplen) for at, frame in packets]
    return b"".join([frames.pcap_header(nanoseconds=capture.nanoseconds), *records])


def _pcapng(packets: Sequence[tuple[int, bytes]], capture: Capture) -> bytes:
    ticks = 1 if capture.nanoseconds else 1_000
    interface = frames.pcapng_interface(resolution=9 if capture.nanoseconds else None)
    blocks = [frames.pcapng_packet(at // ticks, frame, snaplen=capture.snaplen) for at, frame in packets]
    return b"".join([frames.pcapng_section(), interface, *blocks])
