"""`compare`: what differs between two recordings, of the same path yesterday and today, or of two that should be alike."""

from pathlib import Path

import msgspec

from kubectl_vxtrace import scratch
from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.bundle import source
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.flags.values import Notation
from kubectl_vxtrace.report import comparison, comparison_text
from kubectl_vxtrace.report.differences import Given
from kubectl_vxtrace.report.document import API_VERSION

KIND = "Comparison"


def run(one: Path, other: Path, console: Console, notation: Notation) -> None:
    """Print what differs.

    Raises:
        UsageError, CannotRunError: one of them does not exist, or cannot be read.
    """
    scratch.sweep()
    with scratch.folder() as place:
        given = [_given(path, place / str(number)) for number, path in enumerate((one, other))]
        found = comparison.compare(*given)
    if len({each.recording.anonymized for each in given}) > 1:
        console.warn("only one of the two is anonymized: names and addresses differ for that alone")
    document = {"apiVersion": API_VERSION, "kind": KIND, "same": found.same, **msgspec.to_builtins(found)}
    stdout.answer(notation, comparison_text.render(found, width=stdout.columns()), document)


def _given(path: Path, place: Path) -> Given:
    place.mkdir()
    examined = examine(source.open_recording([path], place))
    return Given(name=str(path), report=examined.report, recording=examined.case.recording)
