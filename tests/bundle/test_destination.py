"""What --bundle says."""

from pathlib import Path

import pytest

from kubectl_vxtrace.bundle.destination import Form, destination
from kubectl_vxtrace.errors import UsageError

NAME = "vxtrace-7f3a-20261123T120000Z"


@pytest.mark.parametrize(
    ("text", "form", "path"),
    [
        (None, Form.ZIP, f"{{cwd}}/{NAME}.zip"),
        ("ticket.zip", Form.ZIP, "ticket.zip"),
        ("ticket", Form.ZIP, "ticket"),
        ("a/ticket.tgz", Form.TGZ, "a/ticket.tgz"),
        ("ticket.TAR.GZ", Form.TGZ, "ticket.TAR.GZ"),
        ("new/", Form.FOLDER, f"new/{NAME}"),
        ("there", Form.FOLDER, f"there/{NAME}"),
        (".", Form.FOLDER, NAME),
    ],
)
def test_a_name_says_the_form(text: str | None, form: Form, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "a").mkdir()
    found = destination(text)
    found.check()
    assert (found.form, str(found.path(NAME))) == (form, path.format(cwd=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"there", "a"}


def test_stdout() -> None:
    found = destination("-")
    found.check()
    assert (found.form, found.path(NAME)) == (Form.ZIP, None)


@pytest.mark.parametrize("text", ["a.zip", "file/", "file/deep/", "file/b.zip", "nowhere/b.zip"])
def test_what_cannot_be_written_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.zip").touch()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"exists already|no bundle can be written in"):
        destination(text).check()
