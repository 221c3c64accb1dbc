"""A command whose stderr is a terminal."""

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


def on_a_terminal(
    command: Sequence[str], environment: Mapping[str, str], *, cwd: Path | None = None, stdout: IO[bytes] | None = None
) -> tuple[int, str]:
    """Its exit status, and what the terminal gets until it ends."""
    leader, follower = pty.openpty()
    with subprocess.Popen(command, cwd=cwd, env=environment, stdin=follower, stdout=stdout, stderr=follower) as process:
        os.close(follower)
        got = b""
        try:
            while piece := os.read(leader, 65536):
                got += piece
        except OSError:  # the other end is closed
            pass
        status = process.wait()
    os.close(leader)
    return status, got.decode()
