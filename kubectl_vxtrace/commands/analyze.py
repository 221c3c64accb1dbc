"""`analyze`: the verdict from a bundle, a trace folder, or captures recorded by hand."""

from collections.abc import Sequence
from pathlib import Path

from kubectl_vxtrace import scratch
from kubectl_vxtrace.bundle import source
from kubectl_vxtrace.bundle.given import Given
from kubectl_vxtrace.commands import delivery
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags


def run(paths: Sequence[Path], given: Given, console: Console, *, form: ReportFlags, exits: ExitFlags) -> int:
    """Report on what is on disk, with what the user says of it; returns the exit code.

    Raises:
        UsageError, CannotRunError: there is nothing to report on, or it cannot be read.
    """
    scratch.sweep()
    with scratch.folder() as place:
        report = delivery.report_of(source.open_recording(paths, place, given), console)
        delivery.show(report, form, bundle=None)
    return delivery.final_code(report, exits, interrupted=False)
