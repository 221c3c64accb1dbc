"""What `make dist` built: whole, described, and the same bytes when it is built again."""

import email
import hashlib
import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from kubectl_vxtrace import __version__
from tests.dist import building

DIST = building.ROOT / "dist"
PLUGIN = building.ROOT / "build" / "dist-runtime" / "bin" / "kubectl-vxtrace"
PYTHON = building.ROOT / "build" / "dist-venv" / "bin" / "python"

built = pytest.mark.skipif(not (DIST / building.SUMS).exists(), reason="nothing is built; `make dist` builds it")


def _metadata() -> email.message.Message:
    with zipfile.ZipFile(DIST / building.WHEEL) as wheel:
        return email.message_from_bytes(wheel.read(f"kubectl_vxtrace-{__version__}.dist-info/METADATA"))


def _packed() -> list[Path]:
    folders = (building.ROOT / "kubectl_vxtrace", building.ROOT / "docs")
    below = (path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return [*below, *(building.ROOT / name for name in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md"))]


@built
def test_the_sums_are_those_of_the_files() -> None:
    lines = [line.split("  ") for line in (DIST / building.SUMS).read_text().splitlines()]
    assert {name for _, name in lines} == {building.WHEEL, building.SOURCES, building.BILL}
    assert all(hashlib.sha256((DIST / name).read_bytes()).hexdigest() == digest for digest, name in lines)


@built
def test_the_wheel_says_whose_it_is_and_where_it_comes_from() -> None:
    said = _metadata()
    assert (said["Version"], said["License"] or said["License-Expression"]) == (__version__, "Apache-2.0")
    assert said["Author"] == "kubectl-vxtrace maintainers"
    assert {url.partition(",")[0] for url in said.get_all("Project-URL", [])} >= {"Documentation", "Changelog", "Issues"}
    assert any(each.startswith("Programming Language :: Python :: 3.14") for each in said.get_all("Classifier", []))


@built
def test_the_wheel_has_all_that_is_read_at_run_time_and_no_tests() -> None:
    package = building.ROOT / "kubectl_vxtrace"
    wanted = {path.relative_to(building.ROOT).as_posix() for path in package.rglob("*") if path.suffix in (".py", ".sh", ".md", ".css")}
    with zipfile.ZipFile(DIST / building.WHEEL) as wheel:
        names = set(wheel.namelist())
    assert wanted <= names
    assert not [name for name in names if name.startswith("tests/")]


@built
def test_the_source_archive_has_documents_changelog_and_licence() -> None:
    with tarfile.open(DIST / building.SOURCES) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CHANGELOG.md", "LICENSE", "README.md", "docs/index.md", "docs/rbac.yaml", "krew-manifest.yaml"} <= names


@built
def test_the_bill_of_materials_has_every_requirement() -> None:
    bill = json.loads((DIST / building.BILL).read_text())
    assert bill["bomFormat"] == "CycloneDX"
    names = {each["name"].lower() for each in bill["components"]}
    assert {"kubernetes", "typer", "pyshark", "tabulate", "numpy", "msgspec", "kubectl-vxtrace"} <= names
    assert not names & {"pip", "pytest", "mypy", "twine"}


@built
@pytest.mark.skipif(not PLUGIN.exists(), reason="the wheel is installed nowhere; `make dist` does it")
def test_what_the_wheel_installs_runs(tmp_path: Path) -> None:
    listed = subprocess.run([PLUGIN, "explain"], env={"PATH": "/usr/bin:/bin"}, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert "underlay-udp-blocked" in listed.stdout


@built
@pytest.mark.skipif(not PYTHON.exists(), reason="there is no environment that builds; `make dist` makes one")
def test_built_again_from_another_place_it_is_the_same(tmp_path: Path) -> None:
    built_s = (DIST / building.SUMS).stat().st_mtime
    if any(path.stat().st_mtime > built_s for path in _packed()):
        pytest.skip("dist/ is older than what it is built of; `make dist`")
    copy = tmp_path / "elsewhere"
    shutil.copytree(building.ROOT, copy, ignore=shutil.ignore_patterns("build", "dist", ".venv", "*.egg-info", ".*_cache", "__pycache__"))
    for path in copy.rglob("*"):
        path.touch()
    script = "import sys; from pathlib import Path; from tests.dist import building; building.build(Path(sys.argv[1]), checkout=Path(sys.argv[2]))"
    subprocess.run([PYTHON, "-c", script, tmp_path / "again", copy], cwd=building.ROOT, check=True, timeout=300)
    for name in (building.WHEEL, building.SOURCES):
        assert (tmp_path / "again" / name).read_bytes() == (DIST / name).read_bytes(), name


def test_an_archive_is_made_even(tmp_path: Path) -> None:
    archives = []
    for number, names in enumerate((("b", "a"), ("a", "b"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in names:
            (folder / name).write_text(name)
        archive = tmp_path / f"{number}.tar.gz"
        with tarfile.open(archive, "w:gz") as new:
            for name in names:
                new.add(folder / name, name)
        building.even(archive, 1_700_000_000)
        archives.append(archive.read_bytes())
    assert archives[0] == archives[1]
