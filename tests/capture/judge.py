"""What libpcap itself makes of a filter: compiled without a device, and run over frames."""

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.wire.frames import write_pcap

needs_tcpdump = pytest.mark.skipif(shutil.which("tcpdump") is None, reason="needs tcpdump")


def compiles(expression: str, link: str = "EN10MB") -> str | None:
    """What libpcap says against the expression for a link type (its name at tcpdump), or None."""
    done = subprocess.run(["tcpdump", "-y", link, "-d", "--", expression], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr


def picked(expression: str, frames: Mapping[str, bytes], link_type: int = 1) -> set[str]:
    """The names of the frames of this link type that the expression lets through. Each is told by its time."""
    names = list(frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "all.pcap")
        write_pcap(path, [((index + 1) * 1_000_000_000, frames[name]) for index, name in enumerate(names)], link_type=link_type)
        done = subprocess.run(["tcpdump", "-Z", "root", "-r", str(path), "-w", "-", "--", expression], capture_output=True, check=True)
    found, position = set(), 24
    while position < len(done.stdout):
        seconds, _, captured, _ = struct.unpack_from("<IIII", done.stdout, position)
        found.add(names[seconds - 1])
        position += 16 + captured
    return found
