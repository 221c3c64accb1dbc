"""A trace folder of another version, and one that was changed: what is known is read, and the rest is said."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace import __version__
from kubectl_vxtrace.bundle import folder, reading
from kubectl_vxtrace.errors import CannotRunError
from tests.bundle.test_folder import _write as write_folder

Change = Callable[[dict[str, Any]], None]


def rewritten(place: Path, change: Change, name: str = folder.RECORDING, *, manifest: bool = False) -> None:
    """Change one of the folder's files, with its manifest or without."""
    value = json.loads((place / name).read_text())
    change(value)
    (place / name).write_text(json.dumps(value))
    if manifest:
        folder.write_manifest(place)


def newer(more: Change = lambda _: None) -> Change:
    def change(value: dict[str, Any]) -> None:
        value |= {"format": 2, "version": "9.0"}
        more(value)

    return change


def _with_fields(value: dict[str, Any]) -> None:
    value["orbit"] = [1]
    value["captures"][0]["colour"] = "red"


def test_fields_that_this_version_does_not_know(tmp_path: Path) -> None:
    recording = write_folder(tmp_path)
    rewritten(tmp_path, newer(_with_fields), manifest=True)
    found = reading.read(tmp_path)
    first, second = found.notes
    assert "was written by kubectl-vxtrace 9.0 in format 2" in first
    assert second.startswith("what kubectl-vxtrace 9.0 in format 2 wrote of orbit, captures.colour is unknown")
    assert replace(found, notes=(), version=recording.version) == recording


def test_kinds_that_this_version_does_not_know(tmp_path: Path) -> None:
    """A capture of a role to come: the others are read, and the recording is not complete."""
    recording = write_folder(tmp_path)

    def change(value: dict[str, Any]) -> None:
        strange = json.loads(json.dumps(value["captures"][0]))
        strange["task"]["role"] = "satellite"
        value["captures"].append(strange)

    rewritten(tmp_path, newer(change), manifest=True)
    found = reading.read(tmp_path)
    assert found.captures == recording.captures
    [gap] = set(found.gaps) - set(recording.gaps)
    assert gap.reason.startswith("1 captures that kubectl-vxtrace 9.0 in format 2 wrote could not be read")
    assert "satellite" in gap.reason


@pytest.mark.parametrize("name", ["nodes/ada-ec-1/after.json", folder.CLUSTER])
def test_a_file_that_this_version_cannot_read(name: str, tmp_path: Path) -> None:
    recording = write_folder(tmp_path)
    rewritten(tmp_path, newer())
    (tmp_path / name).write_text('["all new"]')
    found = reading.read(tmp_path)
    assert (found.after, found.snapshot) == ((recording.after, None) if name == folder.CLUSTER else ((), recording.snapshot))
    assert any("could not be read" in gap.reason for gap in found.gaps)


@pytest.mark.parametrize("change", [lambda value: value.update(captures="elsewhere"), lambda value: value.pop("overlay")])
def test_what_it_needs_is_not_there(change: Change, tmp_path: Path) -> None:
    write_folder(tmp_path)
    rewritten(tmp_path, newer(change))
    with pytest.raises(CannotRunError, match=r"9\.0 in format 2") as raised:
        reading.read(tmp_path)
    assert "krew upgrade" in raised.value.hint


def test_of_this_version_everything_is_read_or_nothing(tmp_path: Path) -> None:
    """A damaged bundle of our own is none of another version."""
    write_folder(tmp_path)
    rewritten(tmp_path, lambda value: value["captures"].append({"task": "?"}) or value.update(version=__version__))
    with pytest.raises(CannotRunError, match="cannot read"):
        reading.read(tmp_path)


@pytest.mark.parametrize("name", [folder.RECORDING, folder.CLUSTER, "nodes/ada-ec-1/before.json"])
def test_a_file_that_was_changed_is_said(name: str, tmp_path: Path) -> None:
    recording = write_folder(tmp_path)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw + b"\n")
    found = reading.read(tmp_path)
    assert found.notes == (f"{name} was changed after the bundle was written: its SHA-256 is not the manifest's",)
    assert replace(found, notes=()) == recording


def test_a_file_that_is_missing_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "nodes/ada-ec-1/after.json").unlink()
    assert reading.read(tmp_path).notes == ("nodes/ada-ec-1/after.json is missing in the bundle",)


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}'])
def test_a_manifest_that_cannot_be_read_is_said(content: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / folder.MANIFEST).write_text(content)
    [note] = reading.read(tmp_path).notes
    assert note.startswith("whether files were changed is not known")
