"""Captures in folders and archives of any depth, hostile ones among them."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle import containers, zstandard
from kubectl_vxtrace.bundle.gather import Gathered, gather
from kubectl_vxtrace.errors import CannotRunError

EMPTY = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
MODIFIED = bytes.fromhex("34cdb2a1020004000000000000000000ffff000001000000")
SECTION = bytes.fromhex("0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000")


def _tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # typeshed wants the mode as a literal
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def _found(place: Path, *paths: Path) -> Gathered:
    scratch = place / "scratch"
    scratch.mkdir(exist_ok=True)
    return gather(paths or [place / "given"], scratch)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    place = tmp_path / "given"
    place.mkdir()
    return place


@pytest.mark.parametrize("content", [EMPTY, MODIFIED, SECTION, gzip.compress(EMPTY)], ids=["pcap", "modified", "pcapng", "gz"])
def test_a_capture_is_known_by_its_first_bytes_whatever_it_is_called(content: bytes, given: Path, tmp_path: Path) -> None:
    (given / "dump").write_bytes(content)
    (file,) = _found(tmp_path).files
    assert (file.name, file.path, file.failure) == ("given/dump", str(given / "dump"), None)


def test_folders_in_folders_with_other_files_in_between(given: Path, tmp_path: Path) -> None:
    (given / "captures" / "n1").mkdir(parents=True)
    (given / "captures" / "n1" / "pod.pcap").write_bytes(EMPTY)
    (given / "captures" / "n1" / "ip-resources.txt").write_text("Summary:")
    (given / "captures" / "report.json").write_bytes(b"{}")
    found = _found(tmp_path)
    assert [file.name for file in found.files] == ["given/captures/n1/pod.pcap"]
    assert found.failures == ()


def test_a_link_to_a_folder_is_not_followed(given: Path, tmp_path: Path) -> None:
    (given / "pod.pcap").write_bytes(EMPTY)
    (given / "again").symlink_to(given)
    assert len(_found(tmp_path).files) == 1


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives_in_archives(mode: str, given: Path, tmp_path: Path) -> None:
    """As in a support bundle: an archive for each node, with a capture tool's archive in it."""
    inner = _tar(tmp_path / "inner", {"tmp/pod.pcap": EMPTY, "tcpdump.log": b"listening"}, "w:gz").read_bytes()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("nic.pcap", EMPTY)
    _tar(given / "bundle.tar.gz", {"sb/n1/archive.tar": inner, "sb/n2/captures.zip": zipped.getvalue(), "sb/version.yaml": b"1"}, mode)
    found = _found(tmp_path)
    assert [file.name for file in found.files] == [
        "given/bundle.tar.gz/sb/n1/archive.tar/tmp/pod.pcap",
        "given/bundle.tar.gz/sb/n2/captures.zip/nic.pcap",
    ]
    assert [Path(file.path).read_bytes() for file in found.files] == [EMPTY, EMPTY]
    assert found.failures == ()


def _zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=content, capture_output=True, check=True).stdout


@pytest.mark.skipif(not zstandard.available(), reason="needs backports.zstd, or Python 3.14")
def test_zstandard(given: Path, tmp_path: Path) -> None:
    capture = EMPTY + os.urandom(1 << 20)
    (given / "n1-pod.pcap.zst").write_bytes(_zstd(capture))
    (given / "ticket.tar.zst").write_bytes(_zstd(_tar(tmp_path / "t", {"n2-pod.pcap": capture}).read_bytes()))
    found = _found(tmp_path)
    assert [file.name for file in found.files] == ["given/n1-pod.pcap.zst", "given/ticket.tar.zst/n2-pod.pcap"]
    assert [Path(file.path).read_bytes() for file in found.files] == [capture, capture]


def test_without_zstandard_it_is_said_how_to_unpack(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zstandard, "_ZSTD", None)
    (given / "n1-pod.pcap.zst").write_bytes(zstandard_header())
    (file,) = _found(tmp_path).files
    assert file.failure is not None
    assert "unzstd" in file.failure


def zstandard_header() -> bytes:
    return bytes.fromhex("28b52ffd") + bytes(60)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("n1-pod.pcap", b"", "tcpdump was killed before it wrote"),
        ("n1-pod.pcap", b"tcpdump: listening on eth0\n", "not a capture but text"),
        ("n1-pod.pcap", b"\xff\xfe\xd4\x00\xc3\x00", "PowerShell"),
        ("n1-pod.pcap", b"\x00\x01\x02", "not a capture file"),
        ("n1-pod.pcap.gz", gzip.compress(b"nothing")[:-4], "damaged, or what is packed in it is no capture"),
        ("n1-pod.pcap.xz", lzma.compress(EMPTY), "unxz"),
        ("n1-pod.pcap.bz2", bz2.compress(EMPTY), "bunzip2"),
        ("n1.cap", b"snoop\x00\x00\x00\x00\x00\x00\x02", "editcap"),
        ("retina.etl", b"\x00\x00\x01\x00", "etl2pcapng"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_to_do(name: str, content: bytes, says: str, given: Path, tmp_path: Path) -> None:
    (given / name).write_bytes(content)
    found = _found(tmp_path)
    (file,) = found.files
    assert file.failure is not None
    assert says in file.failure
    assert "; " in file.failure
    assert found.failures == ()


def test_an_archive_of_another_kind_is_named(given: Path, tmp_path: Path) -> None:
    (given / "captures.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(40))
    (failure,) = _found(tmp_path).failures
    assert "captures.7z" in failure
    assert "unpack it" in failure


@pytest.mark.parametrize("name", ["../../evil.pcap", "/etc/evil.pcap", "a/../../../evil.pcap", "..\\evil.pcap", "\x1b[31mx.pcap"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hostile_names_are_never_places(name: str, kind: str, given: Path, tmp_path: Path) -> None:
    if kind == "zip":
        with zipfile.ZipFile(given / "a.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo(name), EMPTY)
    else:
        _tar(given / "a.tar", {name: EMPTY})
    before = {path for path in tmp_path.rglob("*") if "scratch" not in path.parts}
    (file,) = _found(tmp_path).files
    assert Path(file.path).parent == tmp_path / "scratch"
    assert ".." not in file.name.split("/")
    assert {path for path in tmp_path.rglob("*") if "scratch" not in path.parts} - {tmp_path / "scratch"} == before


def test_links_and_devices_in_an_archive_are_passed_over(given: Path, tmp_path: Path) -> None:
    with tarfile.open(given / "a.tar", "w") as tar:
        for name, kind in (
            ("s.pcap", tarfile.SYMTYPE),
            ("h.pcap", tarfile.LNKTYPE),
            ("f.pcap", tarfile.FIFOTYPE),
            ("c.pcap", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert _found(tmp_path) == Gathered(files=(), recordings=(), failures=())


def test_what_macos_adds_is_passed_over(given: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(given / "a.zip", "w") as archive:
        archive.writestr("n1-pod.pcap", EMPTY)
        archive.writestr("__MACOSX/._n1-pod.pcap", b"\x00\x05\x16\x07")
    (given / "._n1-pod.pcap").write_bytes(b"\x00\x05\x16\x07")
    found = _found(tmp_path)
    assert [file.name for file in found.files] == ["given/a.zip/n1-pod.pcap"]


def test_a_bomb_is_not_unpacked(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_FREE_BYTES", 1 << 20)
    with zipfile.ZipFile(given / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("n1-pod.pcap", EMPTY + bytes(64 << 20))
    with pytest.raises(CannotRunError, match="far more than captures do"):
        _found(tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "scratch").iterdir()) < 16 << 20


def test_a_bomb_that_nobody_wants_takes_no_time_either(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_FREE_BYTES", 1 << 20)
    _tar(given / "a.tgz", {"log.txt": bytes(64 << 20), "n1-pod.pcap": EMPTY}, "w:gz")
    with pytest.raises(CannotRunError, match="far more than captures do"):
        _found(tmp_path)


def test_archives_inside_give_nothing_to_the_budget(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_FREE_BYTES", 1 << 20)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.pcap", EMPTY + bytes(8 << 20))
    with zipfile.ZipFile(given / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.zip", inner.getvalue())
    with pytest.raises(CannotRunError, match="far more than captures do"):
        _found(tmp_path)


def test_an_archive_in_itself_ends(given: Path, tmp_path: Path) -> None:
    content = _tar(tmp_path / "0", {"x.pcap": EMPTY}).read_bytes()
    for number in range(10):
        content = _tar(tmp_path / str(number + 1), {"a.tar": content}).read_bytes()
    (given / "a.tar").write_bytes(content)
    found = _found(tmp_path)
    assert found.files == ()
    assert len(found.failures) == 1
    assert "unpack it" in found.failures[0]


def test_a_header_that_is_made_to_fill_memory(given: Path, tmp_path: Path) -> None:
    with tarfile.open(given / "a.tar", "w") as tar:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 20
        tar.addfile(info, io.BytesIO(bytes(1 << 20)))
    assert "a.tar" in _found(tmp_path).failures[0]


def test_a_cut_archive_gives_what_is_whole_and_the_beginning_of_what_was_cut(given: Path, tmp_path: Path) -> None:
    capture = EMPTY + os.urandom(100_000)
    whole = _tar(tmp_path / "t", {"n1-pod.pcap": capture, "n1-nic.pcap": capture}).read_bytes()
    (given / "a.tar").write_bytes(whole[: 512 + 100_352 + 512 + 50_000])
    found = _found(tmp_path)
    sizes = {file.name.rpartition("/")[2]: Path(file.path).stat().st_size for file in found.files}
    assert sizes["n1-pod.pcap"] == len(capture)
    assert sizes["n1-nic.pcap"] >= 4096
    assert "transferred whole" in found.failures[0]


def test_a_damaged_member_does_not_hide_the_others(given: Path, tmp_path: Path) -> None:
    path = given / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("n1-pod.pcap", EMPTY + b"\x55" * 100)
        archive.writestr("n1-nic.pcap", EMPTY)
    path.write_bytes(path.read_bytes().replace(b"\x55" * 100, b"\x56" * 100, 1))
    found = _found(tmp_path)
    assert "given/a.zip/n1-nic.pcap" in [file.name for file in found.files]
    assert len(found.failures) == 1


def test_no_room_to_unpack_is_said_as_that(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tar(given / "a.tar", {"n1-pod.pcap": EMPTY + bytes(1 << 20)})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    real = containers._writable

    class Full(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(containers, "_writable", lambda place: real(place) and Full())
    with pytest.raises(CannotRunError, match="No space left on device") as caught:
        gather([given], scratch)
    assert "TMPDIR" in caught.value.hint


MANY = 100_001


def test_a_folder_with_a_hundred_thousand_members(tmp_path: Path) -> None:
    """More than anybody's captures: said at once, and none of them opened."""
    place = tmp_path / "place"
    place.mkdir()
    for number in range(MANY):
        os.close(os.open(place / f"{number}.pcap", os.O_CREAT))
    began_s = time.process_time()
    with pytest.raises(CannotRunError, match="more than 100,000 files"):
        gather([place], tmp_path)
    assert time.process_time() - began_s < 5


def test_an_archive_with_a_hundred_thousand_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(MANY):
            archive.writestr(f"{number}.txt", b"")
    began_s = time.process_time()
    with pytest.raises(CannotRunError, match="more than 100,000 files"):
        gather([tmp_path / "a.zip"], tmp_path)
    assert time.process_time() - began_s < 20
