"""Every form of three reports is as it is held; what differs on purpose is rewritten by `python -m tests.golden.cases`."""

import json
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import analyse
from kubectl_vxtrace.report import document
from tests.calico.recorded import recording
from tests.calico.test_recorded import bundled
from tests.golden.cases import CALICO, CASES, HERE, examined, forms


@pytest.mark.parametrize("case", CASES)
def test_every_form_is_as_it_is_held(case: str, tmp_path: Path) -> None:
    made = forms(examined(case, tmp_path))
    assert {path.name for path in (HERE / case).iterdir()} == set(made)
    assert [name for name, text in made.items() if (HERE / case / name).read_text(encoding="utf-8") != text] == []


@pytest.mark.parametrize("case", CASES)
def test_the_table_fits_and_ends_with_the_verdict(case: str) -> None:
    text = (HERE / case / "table.txt").read_text(encoding="utf-8")
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert text.index("\nVERDICT") < text.index("\nBUNDLE")


@pytest.mark.parametrize("case", CALICO)
def test_its_bundle_gives_the_same_json(case: str, tmp_path: Path) -> None:
    captures = tmp_path / "captures"
    captures.mkdir()
    held = json.loads((HERE / case / "report.json").read_text(encoding="utf-8"))
    again = json.loads(document.to_json(analyse(bundled(recording(CALICO[case], captures), CALICO[case], tmp_path))))
    assert {**again, "metadata": None} == {**held, "metadata": None}
    assert list(again) == list(held)
