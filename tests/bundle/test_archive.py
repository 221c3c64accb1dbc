"""A bundle as a file: who may read it, what writing it spares, and what of somebody else's is not unpacked."""

import os
import resource
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle import archive, folder, source
from kubectl_vxtrace.bundle.containers import Budget
from kubectl_vxtrace.bundle.kinds import head_of, kind_of
from kubectl_vxtrace.errors import CannotRunError, UsageError
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
    archive.pack(place, tmp_path / "b.zip")
    return tmp_path / "b.zip"


def unpacked(bundle: Path, target: Path) -> set[str]:
    with bundle.open("rb") as file:
        kind = kind_of(head_of(file))
    budget = Budget()
    budget.given(bundle.stat().st_size)
    archive.unpack(bundle, kind, target, budget)
    return {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}


def test_only_its_owner_may_read_it(place: Path, tmp_path: Path) -> None:
    """It holds packets, and so what applications send in clear text."""
    before = os.umask(0)
    try:
        archive.pack(place, tmp_path / "b.zip")
    finally:
        os.umask(before)
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600


def test_somebody_s_half_written_file_stays(place: Path, tmp_path: Path) -> None:
    (tmp_path / "b.zip.part").write_text("somebody's")
    archive.pack(place, tmp_path / "b.zip")
    assert (tmp_path / "b.zip.part").read_text() == "somebody's"
    assert zipfile.is_zipfile(tmp_path / "b.zip")


def test_a_long_name(place: Path, tmp_path: Path) -> None:
    archive.pack(place, tmp_path / ("b" * 251 + ".zip"))
    assert zipfile.is_zipfile(tmp_path / ("b" * 251 + ".zip"))


def test_where_there_are_no_hard_links(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    archive.pack(place, tmp_path / "b.zip")
    with pytest.raises(UsageError, match="exists already"):
        archive.pack(place, tmp_path / "b.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"place", "b.zip"}


def test_a_limit_on_the_size_of_files(place: Path, tmp_path: Path) -> None:
    (place / "a.pcap").write_bytes(os.urandom(100_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(UsageError, match="File too large"):
            archive.pack(place, tmp_path / "b.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {path.name for path in tmp_path.iterdir()} == {"place"}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "vxtrace-test", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.root
def test_a_full_disk(place: Path, small: Path) -> None:
    (place / "a.pcap").write_bytes(os.urandom(100_000))
    with pytest.raises(UsageError, match="No space left on device"):
        archive.pack(place, small / "b.zip")
    assert list(small.iterdir()) == []


@pytest.mark.root
def test_no_room_to_unpack_it(place: Path, small: Path, tmp_path: Path) -> None:
    (place / "a.pcap").write_bytes(os.urandom(100_000))
    archive.pack(place, tmp_path / "b.zip")
    done = call("analyze", str(tmp_path / "b.zip"), TMPDIR=str(small))
    assert (done.returncode, done.stdout) == (1, "")
    assert "No space left on device\nhint: set TMPDIR to a place that has room" in done.stderr
    assert list(small.iterdir()) == []


def test_what_nobody_reads_stays_packed(place: Path, tmp_path: Path) -> None:
    (place / folder.SUMMARY).write_text("for people")
    (place / "a.exe").write_text("for nobody")
    archive.pack(place, tmp_path / "b.zip")
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
    with zipfile.ZipFile(bundle, "a") as packed:
        packed.writestr(name, "{}")
    with pytest.raises(CannotRunError, match="no bundle has"):
        unpacked(bundle, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_member_twice_in_a_tar_is_refused(place: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tgz", "w:gz") as packed:
        packed.add(place, ".")
        packed.add(place / folder.RECORDING, folder.RECORDING)
    with pytest.raises(CannotRunError, match="twice"):
        unpacked(tmp_path / "b.tgz", tmp_path / "target")


@pytest.mark.parametrize("around", ["", "ticket/"])
def test_a_bundle_in_a_zip_is_read(around: str, bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ticket.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(bundle, f"{around}b.zip")
        packed.writestr(f"{around}notes.txt", "see inside")
    assert source.open_recording([tmp_path / "ticket.zip"], _made(tmp_path / "scratch")).session == "7f3a"


def bomb(path: Path, place: Path, *, name: str, mib: int) -> None:
    """A bundle with one member of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        packed.write(place / folder.RECORDING, folder.RECORDING)
        with packed.open(name, "w", force_zip64=True) as member:
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
