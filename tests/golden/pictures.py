"""The pictures of the documents, from the held reports.

`python -m tests.golden.pictures` draws them anew: path.svg is the drawing of a path as the HTML report has it, with its style sheet's
colours; the others show that page, light and dark, and need Chromium.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from tests.command import ROOT
from tests.golden.cases import HERE

PLACE: Final = ROOT / "docs" / "img"
SHOWN: Final = HERE / "policy-drop" / "report.html"
SCREENSHOTS: Final = {"report.png": (), "report-dark.png": ("--blink-settings=preferredColorScheme=0",)}
"""File names, and what makes the browser prefer that colour scheme (third_party/blink/public/mojom/css/preferred_color_scheme.mojom)."""
_SIZE_PX: Final = "1180,1000"


def path_drawing() -> str:
    """The first drawing of a path, as an image that stands for itself."""
    found = re.search(r"<svg .*?</svg>", SHOWN.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    head, _, rest = found[0].partition(">")
    return f"{head}><style>\n{_style()}\n</style>{rest}\n"


def _style() -> str:
    """The rules of the page's style sheet that drawings follow."""
    lines = files("kubectl_vxtrace.report.html").joinpath("page.css").read_text(encoding="utf-8").splitlines()
    colours = lines[: lines.index("}") + 1]
    return "\n".join([*colours, *(line for line in lines if line.startswith("svg ") and "path {" not in line)])


def _screenshot(name: str, flags: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
                f"--window-size={_SIZE_PX}", f"--screenshot={PLACE / name}", *flags, SHOWN.as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def main() -> int:
    """Draw all; 1 where there is no Chromium, and the screenshots are as they were."""
    PLACE.mkdir(exist_ok=True)
    (PLACE / "path.svg").write_text(path_drawing(), encoding="utf-8")
    if shutil.which("chromium") is None:
        print("no chromium: the screenshots are as they were", file=sys.stderr)
        return 1
    for name, flags in SCREENSHOTS.items():
        _screenshot(name, flags)
    return 0


if __name__ == "__main__":
    sys.exit(main())
