"""The pages of the causes, and the command that prints them."""

import pathlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kubectl_vxtrace.commands.explain import explained, listing, starting_with
from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.report.page import render
from tests import causes_index
from tests.causes_index import INDEX, index
from tests.command import ROOT, call

PAGES = {path.stem: path for path in (ROOT / "kubectl_vxtrace" / "diagnosis" / "causes").glob("*/*.md")}
SECTIONS = ["What it looks like", "How it comes about", "Evidence", "Told apart from", "How to fix it", "Sources"]
SLUGS = sorted(CAUSES)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def page(slug: str) -> str:
    return PAGES[slug].read_text()


def title(slug: str) -> str:
    return causes_index.title(PAGES[slug])


def test_every_cause_has_a_page_and_every_page_a_cause() -> None:
    assert sorted(PAGES) == SLUGS


def test_no_two_pages_have_the_same_title() -> None:
    titles = [title(slug) for slug in SLUGS]
    assert len(set(titles)) == len(titles)
    assert [each for each in titles if len(each) > 80 or each.endswith(".")] == []


@pytest.mark.parametrize("slug", SLUGS)
def test_a_page_is_whole(slug: str) -> None:
    text = page(slug)
    assert re.match(rf"# {slug}: \S.*\n", text)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    parts = re.split(r"^## .*$", text, flags=re.MULTILINE)
    assert all(len(part.split()) >= 4 for part in parts)
    assert 40 <= len(text.splitlines()) <= 80
    looks, _, evidence, apart, _, sources = parts[1:]
    assert re.search(r"```text\n(request to|reply from) .*\n   hop  node +interface +role +packets\n     1  ", looks)
    for listed in (evidence, apart, sources):
        assert listed.strip().splitlines()[0].startswith("- ")


@pytest.mark.parametrize("slug", SLUGS)
def test_look_alikes_are_named(slug: str) -> None:
    apart = page(slug).partition("## Told apart from")[2].partition("## ")[0]
    named = {pathlib.PurePath(address).stem for address in re.findall(r"\]\(([a-z0-9./-]+)\.md\)", apart)}
    assert named
    assert slug not in named


@pytest.mark.parametrize("name", [*SLUGS, "README"])
def test_links_lead_somewhere(name: str) -> None:
    path = INDEX if name == "README" else PAGES[name]
    for words, address in _LINK.findall(path.read_text()):
        if "://" not in address:
            assert (path.parent / address).is_file(), address
            assert words == pathlib.PurePath(address).stem
        else:
            assert address.startswith("https://")


def test_the_index_is_made_of_the_pages() -> None:
    assert INDEX.read_text() == index(), "python -m tests.causes_index writes it anew"


@pytest.mark.parametrize("slug", SLUGS)
def test_a_page_in_the_terminal_has_no_marks_and_fits(slug: str) -> None:
    text = explained(slug, width=72, color=False)
    prose = [line for line in text.splitlines() if not line.startswith("    ")]
    assert not re.search(r"`|\]\(|\*\*|^#", "\n".join(prose), re.MULTILINE)
    assert all(len(line) <= 72 or " " not in line.strip().removeprefix("- ") for line in prose)
    headings = [section.upper() for section in SECTIONS]
    assert [line for line in prose if line in headings] == headings


def test_a_page_is_drawn_as_text() -> None:
    markdown = (
        "# a-cause: A title\n\nSome `code`, a [page](other.md)\nand a [source](https://example.org/x).\n\n"
        "## Evidence\n\n- one `thing` that goes on\n  here\n- two\n\n```sh\n# not a heading\n\nip  link | grep `x`\n```\n"
    )
    assert render(markdown, width=44, color=False) == (
        "a-cause: A title\n\nSome code, a page and a source\n(https://example.org/x).\n\n"
        "EVIDENCE\n\n- one thing that goes on here\n- two\n\n"
        "    # not a heading\n\n    ip  link | grep `x`\n"
    )
    assert render("## A\n", width=None, color=True) == "\x1b[1mA\x1b[0m\n"


def test_an_unknown_name_lists_all_the_nearest_first() -> None:
    with pytest.raises(UsageError) as raised:
        explained("vni-missmatch", width=None, color=False)
    names = [line.split()[0] for line in raised.value.hint.splitlines()[1:]]
    assert names[0] == "vni-mismatch"
    assert sorted(names) == SLUGS
    with pytest.raises(UsageError, match=r"no cause is called '\.\./\.\./setup'"):
        explained("../../setup", width=None, color=False)


def test_a_part_of_a_name_puts_those_that_have_it_first() -> None:
    with pytest.raises(UsageError) as raised:
        explained("MTU", width=None, color=False)
    assert [line.split()[0] for line in raised.value.hint.splitlines()[1:3]] == ["pod-mtu", "underlay-mtu"]


def test_the_list_has_every_title() -> None:
    assert [tuple(line.split(maxsplit=1)) for line in listing().splitlines()] == [(slug, title(slug)) for slug in SLUGS]
    assert starting_with("vx") == ["vxlan-device-down", "vxlan-port-mismatch", "vxlan-tx-checksum"]


def test_the_command_prints_lists_and_refuses() -> None:
    done = call("explain", "unknown")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == explained("unknown", width=None, color=False)
    assert call("explain").stdout == listing()
    refused = call("explain", "gremlins")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert set(SLUGS) <= set(refused.stderr.split())


def test_causes_are_completed() -> None:
    done = call("__complete", "explain", "dup")
    assert done.stdout.split() == ["duplicate-node-address", "duplicate-pod-cidr", "duplicate-vtep-mac", ":4"]


def test_explaining_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom kubectl_vxtrace.commands.explain import explained\nexplained('unknown', width=None, color=False)\n"
        "print([name for name in ('numpy', 'kubernetes', 'msgspec', 'tabulate') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_an_installed_package_has_the_pages(tmp_path: Path) -> None:
    """What a wheel takes from the package, without a network: setuptools' own build of the sources."""
    code = f"from setuptools import setup; setup(script_args=['-q', 'build', '--build-base', {str(tmp_path / 'base')!r}])"
    pytest.importorskip("setuptools")
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    built = tmp_path / "base" / "lib" / "kubectl_vxtrace" / "diagnosis" / "causes"
    assert sorted(each.stem for each in built.glob("*/*.md")) == SLUGS
