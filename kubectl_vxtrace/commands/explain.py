"""`explain`: the page of a cause in the terminal, or the list of all causes.

Names and titles are read from the pages, so that neither `explain` nor completion waits for what a diagnosis imports.
"""

import difflib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.values import Color
from kubectl_vxtrace.report import page

_NEAREST = 5
_INDEX = "README.md"


def run(cause: str | None, color: Color) -> None:
    """Print the page of `cause`; without a name, all causes with their titles.

    Raises:
        UsageError: no cause has that name.
    """
    if cause is None:
        stdout.write(listing())
    else:
        stdout.write(explained(cause, width=stdout.columns(), color=stdout.colored(color)))


def explained(slug: str, *, width: int | None, color: bool) -> str:
    """The page of the cause `slug` as text for a terminal of `width` columns, with a final newline.

    Raises:
        UsageError: no cause has that name; the hint lists all, the nearest first.
    """
    pages = _pages()
    if slug not in pages:
        raise UsageError(f"no cause is called {slug!r}", "the causes, the nearest names first:\n" + _listed(_nearest(slug, sorted(pages))))
    return page.render(pages[slug].read_text(encoding="utf-8"), width=width, color=color)


def listing() -> str:
    """All causes with their titles, by name, one a line, with a final newline."""
    return _listed(sorted(_pages())) + "\n"


def starting_with(start: str) -> list[str]:
    """The causes whose name begins with `start`, for completion."""
    return sorted(slug for slug in _pages() if slug.startswith(start))


def _pages() -> dict[str, Traversable]:
    """The page of each cause, by its name: docs/causes, which the package holds as its folder `pages`."""
    folder = files("kubectl_vxtrace") / "pages"
    return {each.name.removesuffix(".md"): each for each in folder.iterdir() if each.name.endswith(".md") and each.name != _INDEX}


def _nearest(word: str, names: list[str]) -> Iterable[str]:
    """All names: those that contain `word`, then those that read like it, then the others."""
    word = word.lower()
    containing = [name for name in names if word and word in name]
    return dict.fromkeys([*containing, *difflib.get_close_matches(word, names, n=_NEAREST), *names])


def _listed(names: Iterable[str]) -> str:
    """One line for each name, with the title that its page begins with: `# name: title`."""
    pages = _pages()
    longest = max(map(len, pages))
    titles = {name: pages[name].read_text(encoding="utf-8").partition("\n")[0].partition(": ")[2] for name in names}
    return "\n".join(f"{name:{longest}}  {title}" for name, title in titles.items())
