"""Results on disk: an interrupted run goes on, other code starts anew."""

from pathlib import Path

import pytest

from tests.truth import results
from tests.truth.cases import Case
from tests.truth.judging import failed


def test_rows_come_back_as_they_were_and_only_for_the_same_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    rows = {name: failed(Case(name=name, backend="calico"), "text") for name in ("one", "two")}
    results.add("calico", "aaaa", rows["one"])
    results.add("flannel", "aaaa", rows["two"])
    with (tmp_path / "calico.jsonl").open("a") as file:
        file.write('{"code": "aaaa", "ro')  # the power went off here
    assert results.known("aaaa") == rows
    assert results.known("bbbb") == {}


def test_forgetting_some_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    for name in ("one", "two"):
        results.add("calico", "aaaa", failed(Case(name=name, backend="calico"), "text"))
    with (tmp_path / "calico.jsonl").open("a") as file:
        file.write('{"code": "aa')
    results.forget(["one"])
    assert set(results.known("aaaa")) == {"two"}
    results.forget()
    assert results.known("aaaa") == {}


def test_the_code_has_a_fingerprint_that_does_not_change_by_itself() -> None:
    assert results.fingerprint() == results.fingerprint()
