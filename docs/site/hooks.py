"""What MkDocs is told at build time: the causes' pages come from the package, each page has its place, nothing is loaded from elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

CAUSES = Path(__file__).parents[2] / "kubectl_vxtrace" / "diagnosis" / "causes"
INDEX = "causes/README.md"
# Where a page of the index lies in the repository, and so how docs/causes/README.md leads to it.
IN_REPOSITORY = "](../../kubectl_vxtrace/diagnosis/causes/"
# What a browser loads by itself; links to elsewhere are for people.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|embed)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?(?:https?:)?//|@import|url\((?:https?:)?//"""
)
NO_LOAD = re.compile(r"""<link\b[^>]*\brel=["']?(?:canonical|prev|next)\b[^>]*>""")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the causes' pages, and put them and what the navigation does not name into it."""
    pages = {f"causes/{page.relative_to(CAUSES).as_posix()}": page for page in sorted(CAUSES.glob("*/*.md"))}
    for uri, page in pages.items():
        files.append(File.generated(config, uri, abs_src_path=str(page)))
    nav: list[dict[str, Any]] = config.nav or []
    places = sorted({uri.split("/")[1] for uri in pages})
    by_place = [{place: [uri for uri in pages if uri.split("/")[1] == place]} for place in places]
    for entry in nav:
        if "Causes" in entry:
            entry["Causes"] = [INDEX, *by_place]
    named = set(_named(nav))
    # A folder's own README leads to the rest of it.
    listed = {uri.removesuffix("README.md") for uri in named if uri.endswith("/README.md")}
    uris = sorted(file.src_uri for file in files.documentation_pages())
    more = [uri for uri in uris if uri not in named and not any(uri.startswith(folder) for folder in listed)]
    config.nav = [*nav, {"More": more}] if more else nav
    return files


def _named(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list | dict):
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from _named(part)


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead from the causes' index to the pages as the site has them."""
    return markdown.replace(IN_REPOSITORY, "](") if page.file.src_uri == INDEX else markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that needs a network.

    Raises:
        PluginError: a page or a style sheet loads something from another host.
    """
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix in (".html", ".css"):
            found = LOADED.search(NO_LOAD.sub("", file.read_text(encoding="utf-8")))
            if found is not None:
                raise PluginError(f"{file}: loads from elsewhere: {found[0]}")
