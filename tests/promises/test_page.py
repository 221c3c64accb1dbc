"""The measured part of docs/promises.md: what is wrong or was not run stands there as that."""

from pathlib import Path

import pytest

from tests.promises import page, results
from tests.promises.cells import MATRIX
from tests.promises.results import Row, Table


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page and results of one's own."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", tmp_path / "promises.md")
    page.PAGE.write_text(f"# By hand\n\n{page.BEGIN}\nof yesterday\n")
    return page.PAGE


def _matrix(*, wrong: str | None = None) -> Table:
    rows = [
        Row(name=cell.name, expected="130", got="130, no pod, 1 s", wrong=(wrong,) if wrong and not number else ())
        for number, cell in enumerate(MATRIX)
    ]
    return results.made("matrix", "lab", [*rows, Row(name="one cleanup", expected="0", got="0 | nothing")])


def test_what_is_by_hand_stays_and_what_was_not_run_is_said(here: Path) -> None:
    _, whole = page.write()
    assert not whole
    text = here.read_text()
    assert text.startswith(f"# By hand\n\n{page.BEGIN}\n")
    assert "yesterday" not in text
    assert text.count("**not run**") == len(page.TITLES) * len(page.PLACES)


def test_a_cell_that_is_wrong_stands_as_wrong(here: Path) -> None:
    results.keep(_matrix(wrong="a traceback on stderr"))
    text, whole = page.write()
    assert not whole
    assert "60 of 61 as promised" in text
    assert "| resolve | **130, no pod, 1 s: a traceback on stderr** |" in text
    assert "- On the lab, signals in every phase, resolve: INT: a traceback on stderr." in text
    assert "| one cleanup | 0 | 0 \\| nothing |" in text


def test_a_place_that_cannot_have_it_says_why(here: Path) -> None:
    results.keep(results.made("sick", "lab", (), why_not="no kubelet"))
    results.keep(results.made("chaos", "lab", (), why_not="no rules"))
    text, whole = page.write()
    assert "On the lab: not run: no kubelet." in text
    assert not whole


def test_all_that_is_kept_is_whole(here: Path) -> None:
    for kind in page.TITLES:
        for place in page.PLACES:
            one = _matrix() if (kind, place) == ("matrix", "lab") else results.made(kind, place, [Row(name="a", expected="b", got="b")])
            if (kind, place) not in page.ELSEWHERE:
                results.keep(one)
    text, whole = page.write()
    assert whole
    assert text.endswith("### What is not kept\n\nNothing that was put to the test.\n")
    assert page.say_fresh() == 0


def test_a_page_of_another_plugin_is_old(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.keep(_matrix())
    page.write()
    monkeypatch.setattr(page, "fingerprint", lambda _folders: "0123456789abcdef")
    assert page.say_fresh() == 1


def test_a_row_takes_the_place_of_the_one_before_it_if_the_plugin_is_the_same(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, got in (("a", "1"), ("b", "1"), ("a", "2")):
        results.add("chaos", "lab", [Row(name=name, expected="2", got=got)])
    found = results.kept("chaos", "lab")
    assert found is not None
    assert [(row.name, row.got) for row in found.rows] == [("b", "1"), ("a", "2")]
    monkeypatch.setattr(results, "fingerprint", lambda _folders: "0123456789abcdef")
    results.add("chaos", "lab", [Row(name="c", expected="2", got="2")])
    found = results.kept("chaos", "lab")
    assert found is not None
    assert [row.name for row in found.rows] == ["c"]
