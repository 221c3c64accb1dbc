"""A bundle as it is written: who may read it, what is spared, that nothing half-written stays, and that it is the same each time."""

import fcntl
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle import folder, pack, source
from kubectl_vxtrace.bundle.destination import Form
from kubectl_vxtrace.errors import UsageError
from tests.bundle.packing import STARTED_S, TOP, packed
from tests.bundle.test_folder import _write as write_folder
from tests.command import ROOT
from tests.unpacking import contents

FORMS = pytest.mark.parametrize(("form", "name"), [(Form.ZIP, "b.zip"), (Form.TGZ, "b.tgz"), (Form.FOLDER, "b")])
WAYS = pytest.mark.parametrize("unnamed", [True, False])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A trace folder."""
    made = tmp_path / "place"
    made.mkdir()
    write_folder(made)
    (made / "a.pcap").write_bytes(os.urandom(100_000))
    return made


@pytest.fixture
def way(unnamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on which a file may have no name before it is whole, or none such."""
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE")


@FORMS
def test_it_is_read_back(form: Form, name: str, place: Path, tmp_path: Path) -> None:
    made = packed(place, tmp_path / "to" / name if form is Form.FOLDER else tmp_path / name, form)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert source.open_recording([made], scratch).session == "7f3a"


@FORMS
def test_the_same_bytes_each_time(form: Form, name: str, place: Path, tmp_path: Path) -> None:
    """Whatever the folder's files are called in its own order, however old they are, and who may read them."""
    first = packed(place, tmp_path / name, form)
    again = tmp_path / "again"
    shutil.copytree(place, again, copy_function=shutil.copyfile)
    for path in sorted(again.rglob("*"), reverse=True):
        path.chmod(0o777)
        os.utime(path, (1, 1))
    second = packed(again, tmp_path / f"2{name}", form)
    if form is Form.FOLDER:
        assert _files(first) == _files(second)
    else:
        assert first.read_bytes() == second.read_bytes()


def _files(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_one_folder_is_around_everything(place: Path, tmp_path: Path) -> None:
    assert contents(packed(place, tmp_path / "b.zip")) == _files(place)
    with tarfile.open(packed(place, tmp_path / "b.tgz", Form.TGZ)) as archive:
        assert {member.name.partition("/")[0] for member in archive} == {TOP}
        assert {(member.mtime, member.mode, member.uid, member.uname) for member in archive} == {(STARTED_S, 0o600, 0, "")}
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(2026, 11, 23, 12, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {stat.S_IFREG | 0o600}


@pytest.mark.parametrize("time_s", [0, 2**40])
def test_a_time_that_no_zip_can_say(time_s: int, place: Path, tmp_path: Path) -> None:
    pack.pack(pack.Packing(folder=place, name=TOP, time_s=time_s), tmp_path / "b.zip", Form.ZIP)
    assert contents(tmp_path / "b.zip") == _files(place)


@WAYS
@FORMS
@pytest.mark.usefixtures("way")
def test_only_its_owner_may_read_it(form: Form, name: str, place: Path, tmp_path: Path) -> None:
    """It holds packets, and so what applications send in clear text."""
    before = os.umask(0)
    try:
        made = packed(place, tmp_path / name, form)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (made, *made.rglob("*"))}
    assert modes == ({0o700, 0o600} if form is Form.FOLDER else {0o600})


@WAYS
@FORMS
@pytest.mark.usefixtures("way")
def test_what_exists_is_not_touched(form: Form, name: str, place: Path, tmp_path: Path) -> None:
    if form is Form.FOLDER:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("somebody's")
    (tmp_path / f"{name}.part").write_text("somebody's")
    with pytest.raises(UsageError, match="exists already"):
        packed(place, tmp_path / name, form)
    assert {path.name for path in tmp_path.iterdir()} == {"place", name, f"{name}.part"}
    assert form is Form.FOLDER or (tmp_path / name).read_text() == "somebody's"


@WAYS
@pytest.mark.usefixtures("way")
def test_somebody_was_quicker(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name appears while the bundle is written."""
    wrote = pack.write

    def meanwhile(*arguments: object) -> None:
        wrote(*arguments)  # type: ignore[arg-type]
        (tmp_path / "b.zip").write_text("somebody's")

    monkeypatch.setattr(pack, "write", meanwhile)
    with pytest.raises(UsageError, match="exists already"):
        packed(place, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_text() == "somebody's"
    assert {path.name for path in tmp_path.iterdir()} == {"place", "b.zip"}


@WAYS
@pytest.mark.usefixtures("way")
def test_a_long_name(place: Path, tmp_path: Path) -> None:
    assert zipfile.is_zipfile(packed(place, tmp_path / ("b" * 251 + ".zip")))


def test_where_there_are_no_hard_links(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert zipfile.is_zipfile(packed(place, tmp_path / "b.zip"))
    with pytest.raises(UsageError, match="exists already"):
        packed(place, tmp_path / "b.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"place", "b.zip"}


@WAYS
@FORMS
@pytest.mark.usefixtures("way")
def test_a_limit_on_the_size_of_files(form: Form, name: str, place: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(UsageError, match="File too large"):
            packed(place, tmp_path / name, form)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {path.name for path in tmp_path.iterdir()} == {"place"}


@WAYS
@FORMS
@pytest.mark.usefixtures("way")
@pytest.mark.root
def test_a_full_disk(form: Form, name: str, place: Path, small: Path) -> None:
    with pytest.raises(UsageError, match="No space left on device"):
        packed(place, small / name, form)
    assert list(small.iterdir()) == []


_PACKING = """
import os, sys, time
from pathlib import Path
from kubectl_vxtrace.bundle import pack
from kubectl_vxtrace.bundle.destination import Form
if sys.argv[3] == "named":
    del os.O_TMPFILE
def files(self):
    yield Path(pack.__file__), "a/pack.py"
    print("packing", flush=True)
    time.sleep(60)
pack.Packing.files = files
pack.pack(pack.Packing(folder=Path(sys.argv[1]), name="a", time_s=0), Path(sys.argv[2]), Form(sys.argv[4]))
"""


@pytest.mark.parametrize(("way_", "form", "stay"), [("unnamed", Form.ZIP, 0), ("named", Form.ZIP, 1), ("named", Form.FOLDER, 1)])
def test_a_run_that_is_killed_while_it_packs(way_: str, form: Form, stay: int, place: Path, tmp_path: Path) -> None:
    """What it left is removed by the next one, once it is old; what a living one writes is not."""
    to = tmp_path / "to"
    to.mkdir()
    argv = [sys.executable, "-c", _PACKING, str(place), str(to / "b"), way_, form.value]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"packing\n"
        assert len(list(to.iterdir())) == stay
        _pack_later(place, to / "1.zip")
        assert len(list(to.iterdir())) == stay + 1
        running.send_signal(signal.SIGKILL)
    assert len(list(to.iterdir())) == stay + 1
    packed(place, to / "2.zip")
    assert len(list(to.iterdir())) == stay + 2
    _pack_later(place, to / "3.zip")
    assert {path.name for path in to.iterdir()} == {"1.zip", "2.zip", "3.zip"}


def _pack_later(place: Path, destination: Path) -> None:
    """Pack as if a few minutes had passed."""
    with pytest.MonkeyPatch.context() as patch:
        now = time.time()
        patch.setattr(time, "time", lambda: now + 300)
        packed(place, destination)


def test_what_somebody_else_calls_alike_stays(place: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("somebody's")
    (tmp_path / ".vxtrace-a.part").symlink_to(tmp_path / "outside")
    (tmp_path / ".vxtrace-b.part").write_text("locked")
    with (tmp_path / ".vxtrace-b.part").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _pack_later(place, tmp_path / "b.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"outside", ".vxtrace-a.part", ".vxtrace-b.part", "place", "b.zip"}
    assert folder.RECORDING in contents(tmp_path / "b.zip")
