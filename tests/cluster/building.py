"""Running what builds: minutes long, with children of its own, ended as a whole when the start is cut short."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.datapath.tools import LabError


def run(what: str, argv: Sequence[str], *, cwd: Path, log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run to the end; all it says goes to `log`, which is gone after success.

    Raises:
        LabError: it failed, with its last words.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
            process.wait()
            raise
    if code != 0:
        words = log.read_text(errors="replace").strip()
        raise LabError(f"{what} failed (all of it in {log}):\n{words[-1500:]}")
    log.unlink()
