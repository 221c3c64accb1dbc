"""One cell: a trace that is held in its phase, struck, and looked at."""

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from tests.e2e.place import CLIENT, ROOT, SERVICE
from tests.promises import looks
from tests.promises.cells import ENDED, Cell, Seen
from tests.promises.held import Phase

TEMPORARY = "temporary"
"""Its folder for temporary files, in its own folder."""
_AIM_S = 0.15  # into the phase: what it asked first is under way
_BETWEEN_S = 0.05
_BEGINS_WITHIN_S = 180.0
_ENDS_WITHIN_S = 120.0
_POLL_S = 1.0
# A capture that is interrupted goes on until then; the others are to come to an end.
_DURATION = {Phase.CAPTURING: "30s"}


def strike(cell: Cell, kubeconfig: Path, environment: Mapping[str, str], folder: Path, *, to: str = SERVICE) -> Seen:
    """Run a trace in `folder`, which is empty, hold it in the cell's phase, send the signals, wait for its end.

    Raises:
        TimeoutError: it never came to that phase; the text has its last words.
        subprocess.TimeoutExpired: it did not end within two minutes.
    """
    session = secrets.token_hex(3)
    temporary = folder / TEMPORARY
    temporary.mkdir()
    reader, mark = os.pipe()
    arguments = ["pod", CLIENT, "--to", to, "--duration", _DURATION.get(cell.phase, "1500ms"), "-o", "json"]
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.promises.held", cell.phase.value, session, str(mark), *arguments],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(mark,),
            start_new_session=True,
        )
        os.close(mark)
        try:
            if not _told(reader):
                raise TimeoutError(f"{cell.name}: the phase never began: {_text(stderr)[-1000:]}")
            began_s = _blows(cell, process)
            process.wait(_ENDS_WITHIN_S)
            took_s = time.monotonic() - began_s
        finally:
            os.close(reader)
            if process.poll() is None:
                process.kill()
                process.wait()
        printed, said = _text(stdout), _text(stderr)
    return Seen(
        code=process.returncode,
        report=json.loads(printed)["verdict"] if printed else None,
        bundle=any(folder.glob("*.zip")),
        files=tuple(sorted(entry.name for entry in temporary.iterdir())),
        said=said,
        left=looks.pods(kubeconfig, session),
        took_s=took_s,
        session=session,
    )


def ended(cell: Cell, seen: Seen, kubeconfig: Path) -> Seen:
    """Wait until its pods have ended, which nobody asks them to, or their time is over."""
    began_s = time.monotonic()
    left, last_s = seen.left, 0.0
    while any(phase not in ENDED for phase in left.values()) and seen.took_s + last_s < cell.bound_s:
        time.sleep(_POLL_S)
        left = looks.pods(kubeconfig, seen.session)
        last_s = time.monotonic() - began_s
    return replace(seen, left=left, took_s=seen.took_s + last_s)


def _told(reader: int) -> bool:
    """Whether the phase has begun; False where the trace ended before, or time went by."""
    ready, _, _ = select.select([reader], [], [], _BEGINS_WITHIN_S)
    return bool(ready) and os.read(reader, 1) != b""


def _blows(cell: Cell, process: "subprocess.Popen[bytes]") -> float:
    """Send the signals; the monotonic time of the first."""
    time.sleep(_AIM_S)
    began_s = time.monotonic()
    for number in range(cell.blow.times):
        if number:
            time.sleep(_BETWEEN_S)
        if process.poll() is not None:
            break
        if cell.blow.to_group:
            os.killpg(process.pid, cell.blow.number)
        else:
            process.send_signal(cell.blow.number)
    return began_s


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
