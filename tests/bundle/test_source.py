"""What `analyze` makes of the paths that it is given."""

import zipfile
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle import folder, source
from kubectl_vxtrace.errors import CannotRunError, UsageError

# A classic pcap without a packet: magic, version 2.4, snaplen, Ethernet.
EMPTY = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    """A folder as the by-hand procedure leaves it, and more."""
    place = tmp_path / "hand"
    place.mkdir()
    for name in ("n1-pod.pcap", "n1-primary-interface.pcapng.gz", "eth0.pcap", "notes.txt"):
        (place / name).write_bytes(EMPTY)
    return place


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    return place


def _zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, EMPTY)
    return path


def test_captures_without_a_telling_name_are_passed_over_and_said(hand: Path, scratch: Path) -> None:
    recording = source.open_recording([hand], scratch)
    assert [capture.task.file for capture in recording.captures] == ["n1-pod.pcap", "n1-primary-interface.pcapng.gz"]
    said = [gap.reason for gap in recording.gaps]
    assert [text for text in said if text.startswith("eth0.pcap was passed over")]
    assert not [text for text in said if "notes.txt" in text]


def test_folders_and_files_together(hand: Path, scratch: Path, tmp_path: Path) -> None:
    more = tmp_path / "n2-pod.pcap"
    more.write_bytes(EMPTY)
    assert len(source.open_recording([hand, more], scratch).captures) == 3


def test_the_same_name_twice(hand: Path, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "n1-pod.pcap").write_bytes(EMPTY)
    with pytest.raises(UsageError, match=r"n1-pod\.pcap"):
        source.open_recording([hand, tmp_path / "n1-pod.pcap"], scratch)


def test_only_nameless_captures(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pcap").write_bytes(EMPTY)
    with pytest.raises(CannotRunError, match=r"x\.pcap") as caught:
        source.open_recording([tmp_path / "x.pcap"], scratch)
    assert "NODE-pod.pcap" in caught.value.hint


def test_a_bundle_is_read_alone(hand: Path, scratch: Path, tmp_path: Path) -> None:
    bundle = _zip(tmp_path / "b.zip", "n1-pod.pcap")
    for paths in ([bundle, bundle], [hand, bundle]):
        with pytest.raises(UsageError, match=r"b\.zip is one whole recording"):
            source.open_recording(paths, scratch)


def test_a_zip_with_a_folder_around_the_files(scratch: Path, tmp_path: Path) -> None:
    recording = source.open_recording([_zip(tmp_path / "b.zip", "around/n1-pod.pcap", "around/n2-pod.pcap")], scratch)
    assert [capture.task.tap.node for capture in recording.captures] == ["n1", "n2"]


@pytest.mark.parametrize("kept", [4, 40])
def test_a_cut_zip(kept: int, scratch: Path, tmp_path: Path) -> None:
    bundle = _zip(tmp_path / "b.zip", "n1-pod.pcap")
    bundle.write_bytes(bundle.read_bytes()[:kept])
    with pytest.raises(CannotRunError, match=r"cannot read .*b\.zip"):
        source.open_recording([bundle], scratch)


def test_a_newer_format_is_named_whatever_else_has_changed(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / folder.RECORDING).write_text('{"format": 7, "version": "9.9", "captures": {"now": "an object"}}')
    with pytest.raises(CannotRunError, match=r"9\.9 in format 7") as caught:
        source.open_recording([tmp_path], scratch)
    assert "upgrade" in caught.value.hint
