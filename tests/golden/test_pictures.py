"""The pictures of the documents."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.command import ROOT
from tests.golden.pictures import PLACE, SCREENSHOTS, path_drawing

PNG = b"\x89PNG\r\n\x1a\n"
WIDTH_AT, WIDTH_PX = slice(16, 20), 1180


def test_the_path_is_drawn_as_the_report_does() -> None:
    drawn = path_drawing()
    assert (PLACE / "path.svg").read_text() == drawn, "python -m tests.golden.pictures draws it anew"
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in drawn


@pytest.mark.parametrize("name", SCREENSHOTS)
def test_there_is_a_screenshot(name: str) -> None:
    image = (PLACE / name).read_bytes()
    assert image.startswith(PNG)
    assert int.from_bytes(image[WIDTH_AT]) == WIDTH_PX
    assert len(image) < 300_000


@pytest.mark.parametrize(
    ("document", "pictures"),
    [
        ("README.md", ("docs/img/path.svg",)),
        ("docs/index.md", ("img/path.svg",)),
        ("docs/report.md", ("img/path.svg", "img/report.png", "img/report-dark.png")),
    ],
)
def test_the_documents_show_them(document: str, pictures: tuple[str, ...]) -> None:
    text = Path(ROOT / document).read_text()
    assert [f"]({picture})" in text for picture in pictures] == [True] * len(pictures)
