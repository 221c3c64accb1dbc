"""The documents: links lead somewhere, and what they name is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kubectl_vxtrace"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *PACKAGE.rglob("*.md")])
# Where the names of the by-hand procedure's cluster may stand: its worked example, and what is about the lab, which has these names.
WORKED_EXAMPLE = {ROOT / "README.md", ROOT / "docs" / "cluster.md", ROOT / "docs" / "truth.md", ROOT / "docs" / "promises.md"}
# What stands for them elsewhere.
NEUTRAL = {
    "kotsadm-rqlite.kotsadm": "orders-database-0.shop",
    "kotsadm/kotsadm-58f859745b-x4nh8": "shop/storefront-58f859745b-x4nh8",
    "ada-ec-": "worker-",
}

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
# A path as the documents write it: folders and a file of the project, or a folder.
_PATH = re.compile(r"[a-z_.][a-z_0-9.-]*/(?:[A-Za-z0-9_.-]+/)*(?:[A-Za-z0-9_-]+\.(?:py|sh|md|yaml))?")
# A test as pytest names it.
_TEST = re.compile(r"(tests/[a-z0-9_/]+\.py)::(\w+)")
_ROW = re.compile(r"^\| [^|]*\| `([^`]+\.py)` \| `(\w+)` \|$", re.MULTILINE)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A document without its fenced examples."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths(path: Path) -> Iterator[str]:
    """The paths that a document names in code type, but for what is made."""
    yield from (code for code in _CODE.findall(prose(path)) if _PATH.fullmatch(code) and not code.startswith("build/"))


def is_there(path: str) -> bool:
    """Whether a path leads somewhere: from the project, the package, or one of its rooms."""
    return any((base / path).exists() for base in (ROOT, PACKAGE, *(room for room in PACKAGE.iterdir() if room.is_dir())))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for address in _LINK.findall(prose(document)):
        if "://" in address:
            continue
        file, _, anchor = address.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), address
        assert not anchor or anchor in anchors(target), address


@pytest.mark.parametrize("document", [ARCHITECTURE, *DECISIONS, ROOT / "README.md", ROOT / "docs" / "cluster.md"], ids=name)
def test_paths_are_there(document: Path) -> None:
    assert [path for path in paths(document) if not is_there(path)] == []


@pytest.mark.parametrize("document", [ROOT / "docs" / "promises.md", ROOT / "docs" / "security.md"], ids=name)
def test_tests_that_stand_behind_a_promise_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = _TEST.findall(text)
    assert len(named) > 8
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file}::{test}"
    files = re.findall(r"`(tests/[a-z0-9_/]+\.py)`", text)
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_picture_names_what_is_there() -> None:
    (picture,) = _FENCE.findall(ARCHITECTURE.read_text(encoding="utf-8"))
    named = re.findall(r"[a-z_]+/(?:[a-z_]+\.py)?|[a-z_]+\.py", picture)
    assert len(named) > 20
    assert [path for path in named if not is_there(path)] == []


def test_where_is_leads_to_the_name() -> None:
    rows = _ROW.findall(ARCHITECTURE.read_text(encoding="utf-8"))
    assert len(rows) > 20
    for file, wanted in rows:
        assert re.search(rf"^(?:def |class )?{wanted}\b", (PACKAGE / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file}: {wanted}"


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_a_decision_is_whole_and_short(decision: Path) -> None:
    text = decision.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Refused", "Consequences"]
    assert re.match(r"# \d+\. .+\n\n20\d\d-\d\d\. ", text)
    assert len(text.splitlines()) < 40


def test_decisions_are_listed_in_their_order() -> None:
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((.+)\)$", (ROOT / "docs" / "decisions" / "README.md").read_text(), re.MULTILINE)
    titles = [decision.read_text().partition("\n")[0].removeprefix("# ").partition(". ") for decision in DECISIONS]
    assert listed == [(number, title, decision.name) for (number, _, title), decision in zip(titles, DECISIONS, strict=True)]


def test_a_word_of_the_glossary_stands_once() -> None:
    """Each row but a table's head; a row may explain several words."""
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    words = [word.strip() for row in rows if row != "word" for word in re.sub(r"\([^)]*\)", "", row).split(",")]
    assert len(words) > 100
    assert [word for word in words if words.count(word) > 1] == []


def test_names_of_the_glossary_are_those_of_the_code() -> None:
    named = {code for code in _CODE.findall((ROOT / "docs" / "glossary.md").read_text()) if re.fullmatch(r"[A-Z]\w*[a-z]\w*", code)}
    code = "".join(module.read_text(encoding="utf-8") for module in PACKAGE.rglob("*.py"))
    assert len(named) > 40
    assert sorted(each for each in named if not re.search(rf"^(?:class )?{each}\b", code, re.MULTILINE)) == []


@pytest.mark.parametrize("document", sorted({*DOCUMENTS} - WORKED_EXAMPLE), ids=name)
def test_names_are_neutral(document: Path) -> None:
    assert re.findall(r"ada-ec|kotsadm|slackernews|rqlite", document.read_text(encoding="utf-8")) == []


def test_the_guide_s_report_is_that_of_the_readme() -> None:
    """With neutral names of the same length, so that its columns stay."""
    (readme, guide) = (_FENCE.findall((ROOT / path).read_text(encoding="utf-8"))[0] for path in ("README.md", "docs/report.md"))
    for name, neutral in NEUTRAL.items():
        assert len(name) == len(neutral)
        readme = readme.replace(name, neutral)
    assert guide == readme


def test_every_entry_of_the_site_s_navigation_is_a_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = re.findall(r"[\w/-]+\.md", text.partition("\nnav:\n")[2])
    assert len(pages) > 15
    assert [page for page in pages if not (ROOT / "docs" / page).exists()] == []
