"""`analyze`: the verdict from a bundle, a trace folder, or captures recorded by hand."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from kubectl_vxtrace.bundle import source
from kubectl_vxtrace.commands import delivery
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags


def run(paths: Sequence[Path], console: Console, *, form: ReportFlags, exits: ExitFlags) -> int:
    """Report on what is on disk; returns the exit code.

    Raises:
        UsageError, CannotRunError: there is nothing to report on, or it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="vxtrace-") as scratch:
        report = delivery.report_of(source.open_recording(paths, Path(scratch)), console)
        delivery.show(report, form, bundle=None)
    return delivery.final_code(report, exits, interrupted=False)
