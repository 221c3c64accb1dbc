"""The captures that run on the nodes of a place on this machine, as /proc shows them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

Tap = tuple[str, str, str]
"""Mount namespace, network namespace and file of a capture."""


def running() -> dict[int, Tap]:
    """Every tcpdump that writes a file in the network namespace of a node that is named here (lab and cluster may run side by side)."""
    networks = {node.stat().st_ino for node in Path("/run/netns").glob("ada-ec-*")}
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            is_ours = (entry / "ns/net").stat().st_ino in networks
            if is_ours and Path(argv[0]).name == "tcpdump" and "-w" in argv:
                spaces = [str((entry / "ns" / kind).readlink()) for kind in ("mnt", "net")]
                found[int(entry.name)] = (spaces[0], spaces[1], argv[argv.index("-w") + 1])
        except OSError:
            continue
    return found


def doubled(taps: Iterable[Tap]) -> list[str]:
    """The files that more than one capture writes."""
    return sorted(file for (_, _, file), number in Counter(taps).items() if number > 1)
