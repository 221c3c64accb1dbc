"""Ctrl-C and its relatives: a partial report, exit 130, and nothing left anywhere."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.listing import pods
from tests.e2e.place import CLIENT, Lab
from tests.promises import looks, matrix
from tests.promises.cells import TENTH, Cell

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the plugin puts its temporary files: a folder that nobody else writes to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def nothing_left(place: Lab, temporary: Path) -> Iterator[None]:
    """Pods, processes, mounts and files are afterwards what they were before."""
    before, machine = pods(place.kubeconfig), looks.machine()
    yield
    deadline = time.monotonic() + 10
    while (more := looks.grown(machine, looks.machine())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert more == []
    assert pods(place.kubeconfig) == before
    assert list(temporary.iterdir()) == []


def _start(place: Lab, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kubectl_vxtrace", "pod", CLIENT, "--to", "kube-dns", "--duration", "60s", "-o", "json"],
        cwd=cwd,
        env={**place.environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said")


@pytest.mark.usefixtures("nothing_left")
def test_a_signal_during_the_capture_gives_a_partial_report(place: Lab, tmp_path: Path) -> None:
    process = _start(place, tmp_path)
    _wait_for(process, "listening")
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    report = json.loads(stdout)
    assert report["verdict"] == "delivered"
    assert report["completeness"]["complete"] is False
    assert report["cleanup"] == {"state": "confirmed", "left": []}
    assert report["metadata"]["duration_s"] < 30
    [bundle] = tmp_path.glob("*.zip")
    assert place.vxtrace("analyze", bundle.name, "-o", "json", cwd=tmp_path).stdout == stdout


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("cell", TENTH, ids=lambda cell: cell.name)
def test_a_tenth_of_the_kill_matrix(place: Lab, cell: Cell) -> None:
    """`make promises` has all sixty: docs/promises.md."""
    seen, wrong = matrix.one(place, cell)
    assert wrong == [], seen.said


@pytest.mark.usefixtures("nothing_left")
def test_a_second_signal_gives_up_what_was_captured(place: Lab, tmp_path: Path) -> None:
    process = _start(place, tmp_path)
    _wait_for(process, "listening")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "warning: finishing; once more ends at once; debug pods may be left: kubectl delete pods" in stderr
    assert "warning: nothing of the captures was kept\n3 of 3 debug pods gone\n" in stderr


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("said", ["debug pods running", "listening"])
def test_a_third_signal_ends_at_once_and_says_what_is_left(place: Lab, said: str, tmp_path: Path) -> None:
    process = _start(place, tmp_path)
    _wait_for(process, said)
    began_s = time.monotonic()
    for _ in range(10):  # on a busy machine several come at once, and are one (signal(7)); the third that it notices ends it
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - began_s < 5
    assert (process.returncode, stdout) == (5, "")
    assert "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert last.startswith(
        "warning: ended at once; debug pods may be left: kubectl delete pods --namespace default --selector vxtrace/session="
    )
    # The second signal may have removed some.
    assert re.search(r"^([0-3]) of \1 debug pods removed$", place.vxtrace("cleanup", "--all", cwd=tmp_path).stdout, re.MULTILINE)


def test_what_a_killed_trace_leaves_on_this_machine_is_swept(place: Lab, temporary: Path, tmp_path: Path) -> None:
    process = _start(place, tmp_path)
    _wait_for(process, "listening")
    process.kill()
    process.communicate(timeout=30)
    assert [left.suffix for left in temporary.iterdir()] == [".run"]
    place.vxtrace("cleanup", "--all", cwd=tmp_path)
    assert list(temporary.iterdir()) == []
