"""The index of the causes' pages: `python -m tests.causes_index` writes the lists of docs/causes/README.md anew from the pages."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "docs" / "causes" / "README.md"
CAUSES = ROOT / "kubectl_vxtrace" / "diagnosis" / "causes"
# In the order of a packet's way.
PLACES = ("pod", "host", "vxlan", "nic", "wire", "service", "server", "capture")


def index() -> str:
    """docs/causes/README.md as it should be: what stands before the first list, and a list for each place."""
    return "\n\n".join([INDEX.read_text().partition("\n## ")[0].rstrip(), *map(_list, PLACES)]) + "\n"


def _list(place: str) -> str:
    """A place's heading, which is the first line of its package's docstring, and its pages by name."""
    docstring = ast.get_docstring(ast.parse((CAUSES / place / "__init__.py").read_text())) or place
    heading = docstring.partition("\n")[0].removeprefix("Causes ").rstrip(".")
    lines = [f"- [{page.stem}](../../{page.relative_to(ROOT)}): {title(page)}" for page in sorted((CAUSES / place).glob("*.md"))]
    return "\n".join([f"## {heading[:1].upper()}{heading[1:]}", "", *lines])


def title(page: Path) -> str:
    """What stands behind the name in a page's first line."""
    return page.read_text().partition("\n")[0].partition(": ")[2]


if __name__ == "__main__":
    INDEX.write_text(index())
