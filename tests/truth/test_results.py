"""Results on disk: an interrupted run goes on, other code starts anew."""

from dataclasses import asdict
from pathlib import Path

import pytest

from tests.truth import results
from tests.truth.cases import Case
from tests.truth.judging import Row, failed


def rows_of(name: str) -> list[dict[str, object]]:
    return [asdict(row) for row in failed(Case(name=name, backend="calico"), "text")]


def test_rows_come_back_as_they_were_and_only_for_the_same_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.add("calico", "aaaa", "one", rows_of("one"))
    results.add("flannel", "aaaa", "two", rows_of("two"))
    with (tmp_path / "calico.jsonl").open("a") as file:
        file.write('{"code": "aaaa", "ro')  # the power went off here
    known = results.known("aaaa")
    assert set(known) == {"one", "two"}
    assert tuple(map(Row.kept, known["one"])) == failed(Case(name="one", backend="calico"), "text")
    assert results.known("bbbb") == {}


def test_forgetting_some_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    for name in ("one", "two"):
        results.add("calico", "aaaa", name, rows_of(name))
    with (tmp_path / "calico.jsonl").open("a") as file:
        file.write('{"code": "aa')
    results.forget(["one"])
    assert set(results.known("aaaa")) == {"two"}
    results.forget()
    assert results.known("aaaa") == {}


def test_the_code_has_a_fingerprint_that_does_not_change_by_itself() -> None:
    assert results.fingerprint() == results.fingerprint()


def test_a_changed_file_changes_the_fingerprint_of_its_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("pass\n")
    before = {folder: results.fingerprint([folder]) for folder in ("one", "two")}
    (tmp_path / "one" / "code.py").write_text("pass  # other\n")
    (tmp_path / "two" / "notes.txt").write_text("no code\n")
    assert results.fingerprint(["one"]) != before["one"]
    assert results.fingerprint(["two"]) == before["two"]
