"""When captures ran that a dry run's script made on a node (capture/by_hand.sh), as it wrote beside their files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from kubectl_vxtrace.model.recording import LooseFile, Ran

FILE_NAME: Final = "capture-times.txt"
MOST_BYTES: Final = 64 * 1024
"""Each capture has a line of less than 400 bytes, and a node's path has less than a hundred hops."""

_LINE: Final = re.compile(r"(\d{1,12}|-) (\d{19}) (\d{19}|-) (\S{1,255})", re.ASCII)


def parse(text: str) -> dict[str, Ran]:
    """When each capture ran, by its file's name; lines of any other form say nothing."""
    return {
        match[4]: Ran(
            started_ns=int(match[2]),
            stopped_ns=int(match[3]) if match[3] != "-" else None,
            dropped_by_kernel=int(match[1]) if match[1] != "-" else None,
        )
        for match in map(_LINE.fullmatch, text.splitlines())
        if match is not None
    }


def with_times(files: Sequence[LooseFile], texts: Mapping[str, str]) -> list[LooseFile]:
    """The files with what stands of them in the capture-times.txt of their folder.

    Args:
        files: in their names the folder is what stands before the last slash.
        texts: what such a file holds, by its folder.
    """
    ran = {folder: parse(text) for folder, text in texts.items()}
    return [replace(file, ran=ran.get(file.name.rpartition("/")[0], {}).get(file.name.rpartition("/")[2])) for file in files]
