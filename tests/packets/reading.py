"""Decode frames given as bytes, for tests."""

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from kubectl_vxtrace.model.packets import PacketTable, address_text
from kubectl_vxtrace.packets import read_pcap
from tests.wire import frames


def table_of(*raw: bytes, snaplen: int = 262144, ports: Collection[int] = (4789, 8472)) -> PacketTable:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcap"
        frames.write_pcap(path, [(number, frame) for number, frame in enumerate(raw)], snaplen=snaplen)
        return read_pcap(path, vxlan_ports=ports)


def conversation(table: PacketTable, number: int) -> tuple[int, str, int, str, int] | None:
    """Protocol, source, port, destination, port of a row of `conversations`; None for -1."""
    if number < 0:
        return None
    rows = table.conversations
    return (
        int(rows.protocol[number]),
        address_text(rows.source[number]),
        int(rows.source_port[number]),
        address_text(rows.destination[number]),
        int(rows.destination_port[number]),
    )


def talk(table: PacketTable, row: int = 0) -> tuple[int, str, int, str, int] | None:
    """The conversation of a packet."""
    return conversation(table, int(table.conversation[row]))
