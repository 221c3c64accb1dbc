"""A bundle of the lab, shortened, from which hostile ones are made: a node's firewall takes what comes out of the tunnel."""

import tarfile
from functools import cache
from pathlib import Path

_PATH = Path(__file__).parent / "data" / "broken.tar.xz"
NODE = "ada-ec-1"


@cache
def files() -> dict[str, bytes]:
    """Its files by their names."""
    with tarfile.open(_PATH) as packed:
        return {member.name: file.read() for member in packed if (file := packed.extractfile(member)) is not None}


def answers() -> dict[str, bytes]:
    """What the tools of one node printed, by question."""
    prefix = f"nodes/{NODE}/before/"
    return {name.removeprefix(prefix).removesuffix(".txt"): raw for name, raw in files().items() if name.startswith(prefix)}
