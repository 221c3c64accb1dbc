"""Traces in a row: what is there after the last is what was there after the tenth, and no more."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster import machine, places
from tests.e2e.place import CLIENT, ROOT, SERVICE, Lab
from tests.promises import looks
from tests.promises.results import Row

TIMES = {"lab": 50, "cluster": 20}
FIRST = 10
NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")
_SETTLES_WITHIN_S = 10.0
# A client's memory at its most differs by this from run to run, of which it is about a tenth.
_MEMORY_SLACK_KB = 8 * 1024
MEMORY = "client's memory at its most, MB"


def run(place: Lab, on: str, times: int | None, tell: Callable[[str], None]) -> list[Row]:
    """A row for each thing that could grow."""
    count = times or TIMES[on]
    codes: list[int] = []
    sessions: list[str] = []
    memory_kb: list[int] = []
    early: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="vxpromise-") as folder:
        temporary = Path(folder) / "temporary"
        temporary.mkdir()
        for number in range(1, count + 1):
            code, session, peak_kb = _trace(place, Path(folder), temporary)
            codes.append(code)
            sessions.append(session)
            memory_kb.append(peak_kb)
            if number == FIRST:
                early = _settled(place, on, temporary, sessions, {})
            if number % FIRST == 0:
                tell(f"{number} traces of {count}, {codes.count(0)} with exit 0")
        late = _settled(place, on, temporary, sessions, early)
    name = f"{count} traces"
    bad = [code for code in codes if code != 0]
    rows = [
        Row(name=f"{name}: exit codes", expected="0", got=f"{len(codes) - len(bad)} x 0", wrong=tuple(f"exit {code}" for code in bad[:5]))
    ]
    for kind, before in early.items():
        wrong = (f"{late[kind] - before} more",) if late[kind] > before else ()
        rows.append(Row(name=f"{name}: {kind}", expected=f"{before}, as after the tenth", got=str(late[kind]), wrong=wrong))
    return [*rows, _memory(name, memory_kb)]


def _memory(name: str, peaks_kb: Sequence[int]) -> Row:
    """The last ten against the first ten."""
    before, after = max(peaks_kb[:FIRST]), max(peaks_kb[-FIRST:])
    wrong = (f"{(after - before) / 1024:.0f} MB more",) if after > before + _MEMORY_SLACK_KB else ()
    expected = f"{before / 1024:.0f}, as of the first ten"
    return Row(name=f"{name}: {MEMORY}", expected=expected, got=f"{after / 1024:.0f}", wrong=wrong)


def _trace(place: Lab, folder: Path, temporary: Path) -> tuple[int, str, int]:
    """Exit status of one trace, its session, and its memory at its most in KiB."""
    command = ["pod", CLIENT, "--to", SERVICE, "--duration", "1s", "--bundle", "none", "-o", "json", "-q"]
    report = folder / "report.json"
    with report.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "kubectl_vxtrace", *command],
            cwd=folder,
            env={**place.environment(), "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = report.read_text()
    return process.returncode, json.loads(text)["metadata"]["session"] if text else "", usage.ru_maxrss


def _settled(place: Lab, on: str, temporary: Path, sessions: Sequence[str], bound: Mapping[str, int]) -> dict[str, int]:
    """The least of each that is seen within a while: what ends late is no leak."""
    least: dict[str, int] = {}
    until = time.monotonic() + _SETTLES_WITHIN_S
    while True:
        for kind, number in _counted(place, on, temporary, sessions).items():
            least[kind] = min(number, least.get(kind, number))
        if time.monotonic() > until or (bound and all(least[kind] <= bound[kind] for kind in least)):
            return least
        time.sleep(0.5)


def _counted(place: Lab, on: str, temporary: Path, sessions: Sequence[str]) -> dict[str, int]:
    found = {
        "objects in the API": len(place.objects()),
        "debug pods' processes": len(looks.processes()),
        "tracing instances": len(looks.instances([session for session in sessions if session])),
        "temporary files of the client": len(list(temporary.iterdir())),
    }
    return found | (_of_lab(place) if on == "lab" else _of_cluster())


def _of_lab(place: Lab) -> dict[str, int]:
    server = (place.kubeconfig.parent / "apiserver.pid").read_text().strip()
    return {"mounts": len(looks.mounts()), "descriptors of the lab's API server": len(list(Path(f"/proc/{server}/fd").iterdir()))}


def _of_cluster() -> dict[str, int]:
    nodes = [machine.found(places.state_dir(), node) for node in NODES]
    return {"mounts of the nodes": sum(len(node.run(["cat", "/proc/mounts"]).stdout.splitlines()) for node in nodes)}
