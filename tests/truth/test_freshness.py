"""Whether the page was written by the code that is here."""

from pathlib import Path

import pytest

from tests.truth import freshness, results


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for room in freshness.ROOMS:
        (tmp_path / "kubectl_vxtrace" / room).mkdir(parents=True)
        (tmp_path / "kubectl_vxtrace" / room / "code.py").write_text(f"# {room}\n")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "PAGE", tmp_path / "truth.md")
    return tmp_path


def test_a_page_of_this_code_is_fresh(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.PAGE.write_text(f"2026-01-01. {freshness.written()}\n")
    assert freshness.main() == 0
    assert capsys.readouterr().out == ""


def test_the_rooms_that_changed_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.PAGE.write_text(f"2026-01-01. {freshness.written()}\n")
    (root / "kubectl_vxtrace" / "journeys" / "code.py").write_text("# other\n")
    assert freshness.main() == 1
    assert "older than kubectl_vxtrace/journeys:" in capsys.readouterr().out


def test_a_page_without_fingerprints_is_older_than_all(root: Path) -> None:
    assert freshness.changed("# What is true\n\n2026-01-01.\n") == list(freshness.ROOMS)
