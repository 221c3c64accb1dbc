"""From capture files that somebody else recorded to captures: read, put together, and placed on nodes and hops."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kubectl_vxtrace import packets
from kubectl_vxtrace.errors import CannotRunError, PcapError
from kubectl_vxtrace.model.packets import InterfaceTable, PacketTable
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Gap, LooseFile, Recording
from kubectl_vxtrace.packets.join import join
from kubectl_vxtrace.packets.links import LinkType
from kubectl_vxtrace.topology.naming import hint_of
from kubectl_vxtrace.topology.pieces import captures_of, piece_of
from kubectl_vxtrace.topology.placing import Handed, place
from kubectl_vxtrace.topology.spans import strangers

_EVERYWHERE = (LinkType.LINUX_SLL, LinkType.LINUX_SLL2)
"""Of `tcpdump -i any`, which cooks the frames of all interfaces alike (tcpdump.org/linktypes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A recording whose files have become captures, what each of them saw, and the taps at switches between nodes."""

    recording: Recording
    tables: dict[Tap, PacketTable]
    fabric: frozenset[Tap]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Capture:
    """One capture: its files in order of time, and one interface of it."""

    files: tuple[LooseFile, ...]
    handed: Handed


def settle(recording: Recording) -> Settled:
    """Turn the loose files of `recording` into captures.

    Raises:
        CannotRunError: not one of the files can be read.
    """
    readable = [file for file in recording.loose if file.failure is None]
    found = packets.read_files([Path(file.path) for file in readable])
    failed = [file for file in recording.loose if file.failure is not None]
    failed += [replace(file, failure=_said(each)) for file, each in zip(readable, found, strict=True) if isinstance(each, PcapError)]
    read = [(file, each) for file, each in zip(readable, found, strict=True) if not isinstance(each, PcapError)]
    if not read:
        reasons = [f"{file.name} cannot be read: {file.failure}" for file in failed]
        raise CannotRunError("\n".join(["there is no capture to look into", *reasons]), "give pcap or pcapng files, also packed or in archives")
    captures = _captures(read)
    placed = place([capture.handed for capture in captures], recording.node_addresses)
    ...
