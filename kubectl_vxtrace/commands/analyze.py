"""`analyze`: the verdict from a bundle, a trace folder, or captures recorded by hand."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from kubectl_vxtrace import scratch
from kubectl_vxtrace.bundle import source
from kubectl_vxtrace.bundle.given import Given
from kubectl_vxtrace.commands import delivery
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags

_STDIN = Path("-")


def run(paths: Sequence[Path], given: Given, console: Console, *, form: ReportFlags, exits: ExitFlags) -> int:
    """Report on what is on disk, with what the user says of it; returns the exit code.

    Raises:
        UsageError, CannotRunError: there is nothing to report on, or it cannot be read.
    """
    form.check()
    scratch.sweep()
    with scratch.folder() as place:
        found = delivery.examined(source.open_recording(_with_stdin(paths, place), place, given), console)
        delivery.show(found, form)
        delivery.write_pcap(form.pcap, found, console)
    return delivery.final_code(found.report, exits, interrupted=False)


def _with_stdin(paths: Sequence[Path], place: Path) -> list[Path]:
    """The paths, with a file in `place` that holds what stdin gives in place of `-`."""
    if _STDIN not in paths:
        return list(paths)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("- is stdin, and nothing is sent there", "send a bundle or a capture into it, or name a file")
    file = place / "stdin"
    try:
        with file.open("xb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
    except OSError as error:
        raise CannotRunError(
            f"cannot keep what stdin gives in {place}: {error.strerror}", "set TMPDIR to a place that has room, or name a file"
        ) from error
    return [file if path == _STDIN else path for path in paths]
