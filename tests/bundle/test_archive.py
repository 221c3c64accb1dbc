"""A bundle as a file: who may read it, what writing it spares, and what of somebody else's is not unpacked."""

import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle import archive, folder, source
from kubectl_vxtrace.bundle.containers import Budget
from kubectl_vxtrace.bundle.destination import Form
from kubectl_vxtrace.bundle.kinds import head_of, kind_of
from kubectl_vxtrace.errors import CannotRunError
from tests.bundle.packing import TOP, packed
from tests.bundle.test_folder import _write as write_folder
from tests.command import call


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A trace folder."""
    made = tmp_path / "place"
    made.mkdir()
    write_folder(made)
    return made


@pytest.fixture
def bundle(place: Path, tmp_path: Path) -> Path:
    packed(place, tmp_path / "b.zip")
    return tmp_path / "b.zip"


def unpacked(bundle: Path, target: Path) -> set[str]:
    with bundle.open("rb") as file:
        kind = kind_of(head_of(file))
    budget = Budget()
    budget.given(bundle.stat().st_size)
    archive.unpack(bundle, kind, target, budget)
    return {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}


@pytest.mark.root
def test_no_room_to_unpack_it(place: Path, small: Path, tmp_path: Path) -> None:
    (place / "a.pcap").write_bytes(os.urandom(100_000))
    packed(place, tmp_path / "b.zip")
    done = call("analyze", str(tmp_path / "b.zip"), TMPDIR=str(small))
    assert (done.returncode, done.stdout) == (1, "")
    assert "No space left on device\nhint: set TMPDIR to a place that has room" in done.stderr
    assert list(small.iterdir()) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("form", [Form.ZIP, Form.TGZ])
def test_a_bundle_that_was_cut_is_one_line(form: Form, share: float, place: Path, tmp_path: Path) -> None:
    (place / "a.pcap").write_bytes(os.urandom(10_000))
    raw = packed(place, tmp_path / "b", form).read_bytes()
    (tmp_path / "cut").write_bytes(raw[: int(len(raw) * share)])
    done = call("analyze", str(tmp_path / "cut"))
    assert (done.returncode, done.stdout) == (1, "")
    first, *_ = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert "cut" in done.stderr
    # Of a tar the captures before the cut are looked into, and these are none.
    assert "transferred whole" in done.stderr or form is Form.TGZ
    assert "Traceback" not in done.stderr


def test_what_nobody_reads_stays_packed(place: Path, tmp_path: Path) -> None:
    (place / folder.SUMMARY).write_text("for people")
    (place / "a.exe").write_text("for nobody")
    packed(place, tmp_path / "b.zip")
    found = unpacked(tmp_path / "b.zip", tmp_path / "target")
    assert found == {path.relative_to(place).as_posix() for path in place.rglob("*") if path.suffix in (".json", ".pcap")}
    assert list(place.rglob("*.txt"))
    assert folder.RECORDING in found
    assert source.open_recording([tmp_path / "b.zip"], _made(tmp_path / "scratch")).captures


def _made(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", [folder.RECORDING, "around/../around"])
def test_a_member_twice_is_refused(bundle: Path, name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as more:
        more.writestr(f"{TOP}/{name}", "{}")
    with pytest.raises(CannotRunError, match="no bundle has"):
        unpacked(bundle, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_member_twice_in_a_tar_is_refused(place: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tgz", "w:gz") as made:
        made.add(place, ".")
        made.add(place / folder.RECORDING, folder.RECORDING)
    with pytest.raises(CannotRunError, match="twice"):
        unpacked(tmp_path / "b.tgz", tmp_path / "target")


@pytest.mark.parametrize("around", ["", "ticket/"])
def test_a_bundle_in_a_zip_is_read(around: str, bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ticket.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.write(bundle, f"{around}b.zip")
        made.writestr(f"{around}notes.txt", "see inside")
    assert source.open_recording([tmp_path / "ticket.zip"], _made(tmp_path / "scratch")).session == "7f3a"


def bomb(path: Path, place: Path, *, name: str, mib: int) -> None:
    """A bundle with one member of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        made.write(place / folder.RECORDING, folder.RECORDING)
        with made.open(name, "w", force_zip64=True) as member:
            for _ in range(mib):
                member.write(bytes(1 << 20))


def test_a_bomb_is_refused_before_it_fills_anything(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as 8 GiB in 8.6 MB, on a smaller scale."""
    monkeypatch.setattr("kubectl_vxtrace.bundle.containers._FREE_BYTES", 8 << 20)
    bomb(tmp_path / "b.zip", place, name="a.pcap", mib=64)
    assert (tmp_path / "b.zip").stat().st_size < 100_000
    with pytest.raises(CannotRunError, match="far more than captures do"):
        unpacked(tmp_path / "b.zip", tmp_path / "target")
    assert not list((tmp_path / "target").rglob("*.pcap"))


def test_a_bomb_whose_directory_lies(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.bundle.containers._FREE_BYTES", 8 << 20)
    bomb(tmp_path / "b.zip", place, name="a.pcap", mib=64)
    raw = (tmp_path / "b.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(raw.replace(struct.pack("<I", 64 << 20), struct.pack("<I", 1 << 20)))
    with pytest.raises((CannotRunError, zipfile.BadZipFile)):
        unpacked(tmp_path / "b.zip", tmp_path / "target")
    assert sum(path.stat().st_size for path in (tmp_path / "target").rglob("*.pcap")) <= 8 << 20


def test_a_bomb_that_nobody_reads_stays_packed(place: Path, tmp_path: Path) -> None:
    bomb(tmp_path / "b.zip", place, name="nodes/a/before/links.txt", mib=64)
    assert unpacked(tmp_path / "b.zip", tmp_path / "target") == {folder.RECORDING}


def test_the_bomb_of_8_gib_by_its_directory(place: Path, tmp_path: Path) -> None:
    """What the directory says is believed to be as much: nothing of it comes out."""
    bomb(tmp_path / "b.zip", place, name="a.pcap", mib=1)
    raw = bytearray((tmp_path / "b.zip").read_bytes())
    at = raw.rindex(b"PK\x01\x02")  # the member's entry in the directory: its size is at 24 (APPNOTE.TXT, 4.3.12)
    raw[at + 24 : at + 28] = struct.pack("<I", 0xF0000000)
    (tmp_path / "b.zip").write_bytes(bytes(raw))
    with pytest.raises(CannotRunError, match="far more than captures do"):
        unpacked(tmp_path / "b.zip", tmp_path / "target")
