"""Folders among the system's temporary files: what a killed run left is swept, and nothing else."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubectl_vxtrace import scratch
from kubectl_vxtrace.scratch import Scratch, sweep
from tests.command import ROOT, call

_RUN = "import sys, time\nfrom kubectl_vxtrace.scratch import Scratch\nplace = Scratch()\nprint(place.path, flush=True)\ntime.sleep(60)"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


@pytest.fixture
def run() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another run, and its folder."""
    process = subprocess.Popen([sys.executable, "-c", _RUN], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()


def test_what_a_killed_run_left_is_swept_and_a_living_one_s_is_not(run: tuple[subprocess.Popen[str], Path]) -> None:
    process, place = run
    (place / "nodes" / "a").mkdir(parents=True)
    (place / "nodes" / "a" / "secret.pcap").write_bytes(b"x")
    assert place.stat().st_mode & 0o777 == 0o700
    assert (sweep(), place.is_dir()) == (0, True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (sweep(), place.exists()) == (1, False)


def test_its_own_is_not_swept_and_what_it_keeps_never(temporary: Path) -> None:
    place = Scratch()
    assert sweep() == 0
    kept = place.keep()
    assert kept.name.endswith("-recorded")
    assert place.keep() == kept
    assert (sweep(), list(temporary.iterdir())) == (0, [kept])


def test_what_is_removed_is_gone(temporary: Path) -> None:
    with scratch.folder() as place:
        (place / "a").touch()
    assert list(temporary.iterdir()) == []


def _foreign(place: Path) -> None:
    os.chown(place, 12345, -1)


def _link(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to(place.with_name("elsewhere"))


def _file(place: Path) -> None:
    place.rmdir()
    place.touch()


_ALMOST = [
    pytest.param("vxtrace-a.run", _foreign, id="another user's", marks=pytest.mark.root),
    pytest.param("vxtrace-a.run", _link, id="a link"),
    pytest.param("vxtrace-a.run", _file, id="a file"),
    pytest.param("vxtrace-a.new", lambda place: None, id="just made"),
    pytest.param("vxtrace-a-recorded", lambda place: None, id="kept"),
    pytest.param("vxtrace-notes", lambda place: None, id="somebody's"),
    pytest.param("other-a.run", lambda place: None, id="another program's"),
]


@pytest.mark.parametrize(("name", "change"), _ALMOST)
def test_nothing_else_is_swept(name: str, change: Callable[[Path], None], temporary: Path) -> None:
    (temporary / name).mkdir()
    change(temporary / name)
    before = set(temporary.iterdir())
    assert (sweep(), set(temporary.iterdir())) == (0, before)


def test_one_that_was_never_locked_is_swept_when_it_is_old(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (temporary / "vxtrace-a.new").mkdir()
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 100)
    assert sweep() == 1


def test_the_next_command_sweeps(run: tuple[subprocess.Popen[str], Path]) -> None:
    process, place = run
    process.send_signal(signal.SIGKILL)
    process.wait()
    call("analyze", "tests/topology/recorded/healthy")
    assert not place.exists()


def test_a_link_inside_is_not_followed(run: tuple[subprocess.Popen[str], Path], tmp_path: Path) -> None:
    process, place = run
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (place / "link").symlink_to(tmp_path / "mine")
    process.kill()
    process.wait()
    assert (sweep(), (tmp_path / "mine" / "file").exists()) == (1, True)
