"""Capture files to packets as columns."""

from collections.abc import Collection
from pathlib import Path

from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets.headers import build
from kubectl_vxtrace.packets.reader import open_reader
from kubectl_vxtrace.packets.source import Source, unreadable

VXLAN_PORTS = (4789, 8472)
"""IANA's port (RFC 7348), and Linux' own default from before the RFC (drivers/net/vxlan), which flannel and Cilium use."""


def read_pcap(path: str | Path, *, tap: Tap | None = None, vxlan_ports: Collection[int] = VXLAN_PORTS) -> PacketTable:
    """Decode a pcap or pcapng file, also gzipped.

    Args:
        path: the file.
        tap: where it was captured; goes into the table as it is.
        vxlan_ports: UDP destination ports that carry VXLAN.

    Returns:
        One row for each whole record; `whole` is False where the file ends, or turns to garbage, inside a record.

    Raises:
        PcapError: it cannot be read, is no capture file, or is not of Ethernet. The message does not name the file.
    """
    with Source(path) as source:
        try:
            reader = open_reader(source.window())
            builder = build(reader, vxlan_ports)
        except OSError as error:
            raise unreadable(error) from error
        return builder.finish(tap, reader.whole)
