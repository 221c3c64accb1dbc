"""Whether a change leaves every report as it was: `python -m tests.same_reports FOLDER... --out REPORTS [--against EARLIER]`.

Every bundle, trace folder and folder of loose captures below the given folders is analysed, and its report kept as JSON and as the table.
With `--against`, the reports of an earlier run are compared byte for byte. Exit status: 0 nothing differs, 1 something does.
"""

import argparse
import difflib
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.bundle import folder, source
from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.report import document, table

MOST_LINES = 12


def recordings(root: Path) -> Iterator[Path]:
    """Everything below `root` that `analyze` takes as one recording: zip files, trace folders, folders that hold captures."""
    if root.is_file():
        if root.suffix == ".zip":
            yield root
        return
    if folder.is_trace_folder(root) or any(".pcap" in path.name for path in root.iterdir() if path.is_file()):
        yield root
        return
    for path in sorted(root.iterdir()):
        yield from recordings(path)


def report_of(path: Path) -> str:
    """The report of a recording as JSON and as the table, or what was said instead."""
    with tempfile.TemporaryDirectory(prefix="vxtrace-same-") as scratch:
        try:
            report = examine(source.open_recording([path], Path(scratch))).report
        except VxtraceError as error:
            return f"{error.exit_code}: {error.message}\n{error.hint}\n".replace(scratch, "SCRATCH")
        except Exception:  # what crashes has to crash alike
            return f"traceback: {traceback.format_exc().splitlines()[-1]}\n".replace(scratch, "SCRATCH")
        return (document.to_json(report) + table.render(report, width=None, color=False, bundle=None)).replace(scratch, "SCRATCH")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the reports, compare them, print what differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.same_reports", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="where the reports are kept, one file for each recording")
    parser.add_argument("--against", type=Path, help="reports of an earlier run")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    total, different = 0, 0
    for root in options.folders:
        for path in recordings(root):
            name = str(path.absolute()).strip("/").replace("/", "+") + ".txt"
            text = report_of(path)
            (options.out / name).write_text(text)
            total += 1
            if options.against is not None:
                before = (options.against / name).read_text() if (options.against / name).exists() else ""
                if before != text:
                    different += 1
                    print(f"DIFFERS {name}")
                    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), lineterm="", n=0)
                    print("\n".join(list(lines)[2 : 2 + MOST_LINES]))
    print(f"{total} reports" + ("" if options.against is None else f", {different} differ"))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
