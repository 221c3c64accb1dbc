"""`compare`: two recordings on disk."""

import json
from pathlib import Path

import pytest

from tests.command import call
from tests.handover.build import by_procedure, recorded


def _captures(place: Path, *, lost: bool) -> Path:
    place.mkdir()
    for name, content in by_procedure(recorded(lost=lost)).items():
        (place / name).write_bytes(content)
    return place


def test_two_folders_of_captures(tmp_path: Path) -> None:
    healthy, broken = _captures(tmp_path / "healthy", lost=False), _captures(tmp_path / "broken", lost=True)
    done = call("compare", str(healthy), str(broken))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"A  {healthy}, " in done.stdout
    assert "LOST between hop 3 and hop 4" in done.stdout


def test_json(tmp_path: Path) -> None:
    healthy = _captures(tmp_path / "healthy", lost=False)
    done = call("compare", str(healthy), str(healthy), "-o", "json")
    document = json.loads(done.stdout)
    assert (document["kind"], document["same"]) == ("Comparison", True)
    assert [side["verdict"] for side in document["sides"]] == ["delivered", "delivered"]


@pytest.mark.parametrize(("arguments", "said"), [(["nowhere.zip", "nowhere.zip"], "nowhere.zip does not exist"), (["one.zip"], "B")])
def test_what_cannot_be_compared(arguments: list[str], said: str) -> None:
    done = call("compare", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
