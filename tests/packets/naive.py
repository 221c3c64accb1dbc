"""A plain reader of capture files, one record after the other: what the lock-step walk must equal."""

import struct


def pcap_offsets(data: bytes, start: int, order: str, header_bytes: int = 16) -> tuple[list[int], int, bool]:
    """Offsets of the whole records, the offset behind them, and whether an impossible length stopped it."""
    offsets: list[int] = []
    at = start
    while at + header_bytes <= len(data):
        (captured,) = struct.unpack_from(order + "I", data, at + 8)
        if captured > 262144:
            return offsets, at, True
        if at + header_bytes + captured > len(data):
            break
        offsets.append(at)
        at += header_bytes + captured
    return offsets, at, False


def pcapng_offsets(data: bytes, start: int, order: str) -> tuple[list[int], int, bool]:
    """The same for the blocks of one pcapng section; a new section is a stop."""
    offsets: list[int] = []
    at = start
    while at + 12 <= len(data):
        kind, length = struct.unpack_from(order + "II", data, at)
        least = {1: 20, 2: 32, 6: 32}.get(kind, 12)
        if kind == 0x0A0D0D0A or length % 4 or not least <= length < 16 * 1024 * 1024:
            return offsets, at, True
        if at + length > len(data):
            break
        if struct.unpack_from(order + "I", data, at + length - 4)[0] != length:
            return offsets, at, True
        offsets.append(at)
        at += length
    return offsets, at, False
