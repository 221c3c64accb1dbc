"""A hundredth of the hostile input of the benchmark (of captures see tests/packets/test_hostile.py as well), and that a failure is one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench import fuzz, fuzzbundles, seed
from tests.bench.fuzz import KINDS, Kind


@pytest.mark.parametrize(("kind", "inputs"), [("captures", 500), ("answers", 1000), ("bundles", 100)])
def test_hostile_input(kind: str, inputs: int) -> None:
    found = fuzz.fuzz(kind, range(inputs))
    assert [(crash.number, crash.error) for crash in found.crashed] == []
    assert found.tried == inputs
    assert len(found.found) > 1, "some must be whole, some not"


def _server_unreadable_and_no_tap_at_the_client(recording: dict[str, Any]) -> None:
    """That path has no hops."""
    recording["flows"][0]["server"]["address"] = "29"
    recording["paths"][2]["hops"][0]["tap"]["interface"] = "CALI"


@pytest.mark.parametrize("change", [_server_unreadable_and_no_tap_at_the_client])
def test_what_failed_once(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    members = {name: raw for name, raw in seed.files().items() if not name.endswith(".txt")}
    recording = json.loads(members["recording.json"])
    change(recording)
    assert fuzzbundles.judge(tmp_path, fuzzbundles.packed(members | {"recording.json": json.dumps(recording).encode()})) == "report"


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_depends_on_its_number_alone(kind: str) -> None:
    (_, first), (_, second) = fuzz._inputs(KINDS[kind], [3, 107], seed=1)
    assert list(fuzz._inputs(KINDS[kind], [107], seed=1)) == [(107, second)]
    assert list(fuzz._inputs(KINDS[kind], [3], seed=2)) != [(3, first)]


def _endless(folder: Path, data: bytes) -> str:
    while True:
        try:
            while True:
                pass
        except Exception:  # as careless code would
            continue


def _broken(folder: Path, data: bytes) -> str:
    raise ValueError("no")


@pytest.mark.parametrize(("judge", "said"), [(_broken, "ValueError: no (test_fuzz.py:"), (_endless, "_TooLongError: more than 0.2 s")])
def test_what_fails_or_hangs_is_kept(judge: object, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = KINDS["captures"]
    monkeypatch.setitem(KINDS, "captures", Kind(made=whole.made, judge=judge, goal=1, most_s=0.2))  # type: ignore[arg-type]
    (crash,) = fuzz.fuzz("captures", [7]).crashed
    assert crash.number == 7
    assert crash.error.startswith(said)
    assert crash.data == next(data for _, data in fuzz._inputs(whole, [7], seed=1))
