"""The command as its own process, as a user without a cluster calls it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in the checkout, with these variables besides those that there are; its exit status is not looked at."""
    return subprocess.run(
        [sys.executable, "-m", "kubectl_vxtrace", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
