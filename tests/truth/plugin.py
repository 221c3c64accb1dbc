"""The plugin, called as a user calls it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.truth.results import ROOT

LONGEST_S = 60.0


def call(command: Sequence[str], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Call it in a folder, for a report as JSON.

    Raises:
        ValueError: it wrote none; the text has its last words.
        subprocess.TimeoutExpired: it did not end.
    """
    done = subprocess.run(
        [sys.executable, "-m", "kubectl_vxtrace", *command, "-o", "json", "-q"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1", **environment},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if not done.stdout:
        raise ValueError(f"exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done
