"""What `analyze` makes of the paths that it is given."""

import zipfile
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle import folder, source
from kubectl_vxtrace.bundle.given import Given, GivenHop, read_given
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.recording import Recording

# A classic pcap without a packet: magic, version 2.4, snaplen, Ethernet.
EMPTY = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    """A folder of captures, and more."""
    place = tmp_path / "hand"
    place.mkdir()
    for name in ("n1-pod.pcap", "n1-primary-interface.pcap", "eth0.pcap"):
        (place / name).write_bytes(EMPTY)
    (place / "notes.txt").write_text("what I saw")
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


def _names(recording: Recording) -> list[str]:
    return [file.name for file in recording.loose]


def test_every_capture_in_a_folder_is_taken_up_and_nothing_else(hand: Path, scratch: Path) -> None:
    recording = source.open_recording([hand], scratch)
    assert _names(recording) == ["hand/eth0.pcap", "hand/n1-pod.pcap", "hand/n1-primary-interface.pcap"]
    assert [Path(file.path) for file in recording.loose] == [hand / name.split("/")[1] for name in _names(recording)]
    assert len(recording.notes) == 1
    assert recording.gaps == ()


def test_folders_and_files_together(hand: Path, scratch: Path, tmp_path: Path) -> None:
    more = tmp_path / "n2-pod.pcap"
    more.write_bytes(EMPTY)
    assert len(source.open_recording([hand, more], scratch).loose) == 4


def test_what_is_given_twice_is_one_file(hand: Path, scratch: Path) -> None:
    assert len(source.open_recording([hand, hand / "eth0.pcap"], scratch).loose) == 3


def test_files_of_one_name_are_told_apart(hand: Path, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "n1-pod.pcap").write_bytes(EMPTY)
    recording = source.open_recording([hand / "n1-pod.pcap", tmp_path / "n1-pod.pcap"], scratch)
    assert len(set(_names(recording))) == 2


def test_nothing_that_is_a_capture(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "pod.pcap").write_text("12:00:01 IP 10.1.0.1 > 10.1.0.2: ICMP echo request\n")
    with pytest.raises(CannotRunError, match=r"no capture file found") as caught:
        source.open_recording([tmp_path / "pod.pcap"], scratch)
    assert "not a capture but text" in caught.value.message
    assert "tcpdump -w" in caught.value.message


def test_a_missing_path_is_a_usage_error(scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        source.open_recording([tmp_path / "absent"], scratch)


def test_a_bundle_is_read_alone(hand: Path, scratch: Path, tmp_path: Path) -> None:
    bundle = _zip(tmp_path / "b.zip", folder.RECORDING, "n1-pod.pcap")
    for number, paths in enumerate(([bundle, hand], [hand, bundle], [bundle, bundle])):
        (scratch / str(number)).mkdir()
        with pytest.raises(UsageError, match="one whole recording"):
            source.open_recording(paths, scratch / str(number))


def test_a_zip_of_captures_and_loose_ones_are_one_recording(hand: Path, scratch: Path, tmp_path: Path) -> None:
    more = _zip(tmp_path / "more.zip", "around/n2-pod.pcap")
    assert _names(source.open_recording([hand, more], scratch))[-1].endswith("more.zip/around/n2-pod.pcap")


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


def test_flags_say_where_a_file_was_captured(hand: Path, scratch: Path) -> None:
    given = read_given(["n1=10.0.0.1"], ["n1:pod=n1-pod.pcap", f"leaf:tor={hand / 'eth0.pcap'}"])
    recording = source.open_recording([hand], scratch, given)
    assert [(file.node, file.role, file.fabric) for file in recording.loose] == [
        ("leaf", Role.UNDERLAY, True),
        ("n1", Role.POD, False),
        (None, None, False),
    ]
    assert recording.node_addresses == {"n1": "10.0.0.1"}


def test_a_file_that_only_a_flag_names_is_taken_up(hand: Path, scratch: Path) -> None:
    given = read_given([], [f"n1:bridge={hand / 'eth0.pcap'}"])
    recording = source.open_recording([hand / "n1-pod.pcap"], scratch, given)
    assert [file.role for file in recording.loose] == [None, Role.BRIDGE]


@pytest.mark.parametrize("name", ["other.pcap", "d/n1-pod.pcap"])
def test_a_hop_of_no_file_is_a_usage_error(name: str, hand: Path, scratch: Path) -> None:
    with pytest.raises(UsageError, match="names none of the files"):
        source.open_recording([hand], scratch, read_given([], [f"n1:pod={name}"]))


def test_a_hop_of_several_files_names_them(scratch: Path, tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", "n1/pod.pcap", "n2/pod.pcap")
    with pytest.raises(UsageError, match=r"2 files: .*n1/pod\.pcap, .*n2/pod\.pcap"):
        source.open_recording([archive], scratch, read_given([], ["n1:pod=pod.pcap"]))
    (scratch / "again").mkdir()
    assert source.open_recording([archive], scratch / "again", read_given([], ["n1:pod=n1/pod.pcap"])).loose[0].role is Role.POD


def test_a_bundle_says_itself_where_its_captures_were_made(scratch: Path, tmp_path: Path) -> None:
    bundle = _zip(tmp_path / "b.zip", folder.RECORDING)
    with pytest.raises(UsageError, match="says itself"):
        source.open_recording([bundle], scratch, Given(addresses={"n1": "10.0.0.1"}))


@pytest.mark.parametrize("text", ["n1", "=10.0.0.1", "n1=host", "n1=fd00::1"])
def test_malformed_nodes(text: str) -> None:
    with pytest.raises(UsageError, match="NAME=ADDRESS"):
        read_given([text], [])


@pytest.mark.parametrize("texts", [("n1=10.0.0.1", "n1=10.0.0.2"), ("n1=10.0.0.1", "n2=10.0.0.1")])
def test_nodes_that_contradict_each_other(texts: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="contradicts"):
        read_given(texts, [])


@pytest.mark.parametrize("text", ["pod=a.pcap", ":pod=a.pcap", "n1:nic=a.pcap", "n1:pod=", "n1:pod"])
def test_malformed_hops(text: str) -> None:
    with pytest.raises(UsageError, match="--hop"):
        read_given([], [text])


def test_a_node_s_name_may_hold_colons() -> None:
    assert read_given([], ["a:b:pod=x.pcap"]).hops == (GivenHop(node="a:b", role=Role.POD, file="x.pcap"),)
