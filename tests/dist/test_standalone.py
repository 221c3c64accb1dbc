"""What `make standalone` packed: it runs on a bare Debian 11, asks glibc for nothing newer than RHEL 8 has, and says what the source tree says."""

import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kubectl_vxtrace import __version__
from tests.calico.recorded import SCENARIOS, recording
from tests.calico.test_recorded import bundled
from tests.dist import building, krew, older, packing

ARCHIVE = krew.BUILT / krew.archive_name()
# glibc's own libraries (ld.so(8) among them); everything else has to come along.
GLIBC = re.compile(r"(?:ld-linux-x86-64|lib(?:c|dl|m|pthread|rt|util))\.so\.[0-9]")
MOST_PACKED, MOST_UNPACKED = 28_000_000, 60_000_000
AT = "/try"


def why_not() -> str | None:
    """Why there is nothing to test."""
    if not ARCHIVE.exists():
        return "nothing is packed; `make standalone` packs it"
    with tarfile.open(ARCHIVE) as packed:
        names = {name.split("/")[1] for name in packed.getnames() if name.startswith(f"{packing.LICENCES}/")}
    if not {f"{name}-{version.rpartition(':')[2]}" for name, version in older.SOURCES.items()} <= names:
        return "what is packed was packed for this machine; `make standalone` packs for older ones"
    return None


REASON = why_not()
standalone = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("standalone")
    subprocess.run(["tar", "-xzf", ARCHIVE, "-C", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def binaries(unpacked: Path) -> dict[str, str]:
    """What objdump says of each ELF file, by its path in the archive."""
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed (Debian: binutils)")
    files = [path for path in unpacked.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    told = {}
    for path in files:
        done = subprocess.run(["objdump", "--private-headers", path], capture_output=True, text=True, check=True)
        told[path.relative_to(unpacked).as_posix()] = done.stdout
    return told


def asked_of_glibc(headers: str) -> tuple[int, ...]:
    """The newest of glibc's symbol versions that a file asks for."""
    versions = re.findall(r"\bGLIBC_([0-9.]+)", headers.partition("Version References:")[2])
    return max((tuple(int(part) for part in version.split(".")) for version in versions), default=(0,))


@standalone
def test_nothing_asks_for_a_newer_glibc(binaries: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = {name: asked_of_glibc(headers) for name, headers in binaries.items()}
    with capsys.disabled():
        print("\nGLIBC   file")
        for name, version in sorted(asked.items(), key=lambda each: each[1]):
            print(f"{'.'.join(map(str, version)):<7} {name}")
    assert len(asked) > 20
    assert {name: version for name, version in asked.items() if version > older.NEWEST_GLIBC} == {}


@standalone
def test_all_other_libraries_come_along(binaries: dict[str, str]) -> None:
    brought = {Path(name).name for name in binaries}
    needed = {library: name for name, headers in binaries.items() for library in re.findall(r"NEEDED +(\S+)", headers)}
    assert {library: name for library, name in needed.items() if library not in brought and not GLIBC.fullmatch(library)} == {}


@standalone
def test_no_file_leads_to_where_it_was_built(binaries: dict[str, str]) -> None:
    paths = {name: path for name, headers in binaries.items() for path in re.findall(r"(?:RPATH|RUNPATH) +(\S+)", headers)}
    assert {name: path for name, path in paths.items() if not path.startswith("$ORIGIN")} == {}


@standalone
def test_it_is_small(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size, whole = ARCHIVE.stat().st_size, sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file())
    with capsys.disabled():
        print(f"\n{size / 1e6:.1f} MB packed, {whole / 1e6:.1f} MB unpacked")
    assert (size <= MOST_PACKED, whole <= MOST_UNPACKED) == (True, True)


@standalone
def test_the_licences_of_all_that_is_in_it_come_along(unpacked: Path) -> None:
    packages = {path.name.removesuffix(".dist-info") for path in unpacked.rglob("*.dist-info")}
    with_licence = {path.name for path in (unpacked / packing.LICENCES).iterdir() if any(each.is_file() for each in path.rglob("*"))}
    assert sorted(packages - with_licence) == []
    assert {name.partition("-")[0] for name in with_licence} >= {"python3.13", "openssl", "zlib", "bzip2", "xz", "gcc", "numpy", "pyinstaller"}


@pytest.fixture(scope="module")
def bare(unpacked: Path) -> Path:
    root = older.bare(print)
    assert [path for path in root.glob("usr/**/python*") if path.is_file() and os.access(path, os.X_OK)] == []
    return root


def in_it(bare: Path, unpacked: Path, *arguments: str, **shown: Path) -> subprocess.CompletedProcess[str]:
    """Call the program in the bare root, which has nothing else of this machine."""
    program = f"{AT}/{packing.PROGRAM}/{packing.PROGRAM}"
    folders = {AT: unpacked, **{f"/{name}": folder for name, folder in shown.items()}}
    argv = older.inside_root(bare, ["env", "-C", f"/{next(iter(shown), 'tmp')}", program, *arguments], shown=folders)
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


@standalone
@pytest.mark.root
def test_it_starts_on_a_bare_debian_11(bare: Path, unpacked: Path) -> None:
    done = in_it(bare, unpacked, "version")
    assert (done.returncode, done.stdout) == (0, f"Client Version: v{__version__}\n"), done.stderr
    done = in_it(bare, unpacked, "--help")
    assert done.returncode == 0, done.stderr
    assert "kubectl vxtrace COMMAND --help" in done.stdout


@standalone
@pytest.mark.root
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_there_it_says_what_the_source_tree_says(bare: Path, unpacked: Path, tmp_path: Path, scenario: str) -> None:
    skip_if_stale()
    (tmp_path / "captures").mkdir()
    bundled(recording(scenario, tmp_path / "captures"), scenario, tmp_path)
    arguments = ("analyze", "bundle.zip", "-o", "json")
    there = in_it(bare, unpacked, *arguments, bundle=tmp_path)
    # Without tshark, as there.
    environment = {"PATH": "/nowhere", "PYTHONPATH": str(building.ROOT)}
    command = [sys.executable, "-m", "kubectl_vxtrace", *arguments]
    here = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (there.returncode, there.stdout) == (here.returncode, here.stdout), there.stderr
    assert '"verdict"' in there.stdout


@standalone
def test_help_is_quick(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In processor time, which on an idle machine is the time that passes."""
    times_s = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([unpacked / packing.PROGRAM / packing.PROGRAM, "--help"], env={"PATH": "/nowhere"}, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    with capsys.disabled():
        print(f"\n--help: {min(times_s):.2f} s")
    assert min(times_s) <= 0.3


@standalone
@pytest.mark.root
def test_packed_again_it_is_the_same(tmp_path: Path) -> None:
    skip_if_stale()
    if not older.place().exists():
        pytest.skip("there is no Python to pack; `make standalone` builds it")
    with tarfile.open(ARCHIVE) as archive:
        time_s = int(archive.getmembers()[0].mtime)
    krew.pack_older(krew.wheel(tmp_path / "wheel"), tmp_path / "archive")
    packing.archive(tmp_path / "archive", tmp_path / ARCHIVE.name, time_s)
    assert (tmp_path / ARCHIVE.name).read_bytes() == ARCHIVE.read_bytes()


def skip_if_stale() -> None:
    built_s = ARCHIVE.stat().st_mtime
    sources = [*(building.ROOT / "kubectl_vxtrace").rglob("*"), *(building.ROOT / name for name in ("constraints.txt", "setup.cfg", "README.md"))]
    if any(path.stat().st_mtime > built_s for path in sources if path.is_file() and path.suffix != ".pyc"):
        pytest.skip("the archive is older than what it is built of; `make standalone`")


def test_a_folder_is_packed_the_same_wherever_it_is(tmp_path: Path) -> None:
    archives = []
    for number, names in enumerate((("b", "a"), ("a", "b"))):
        folder = tmp_path / str(number)
        for name in names:
            (folder / name).mkdir(parents=True)
            (folder / name / "program").write_text(name)
            (folder / name / "program").chmod(0o700)
        packing.archive(folder, tmp_path / f"{number}.tar.gz", 1_700_000_000)
        archives.append((tmp_path / f"{number}.tar.gz").read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "0.tar.gz") as archive:
        assert [(each.name, each.mode) for each in archive if each.isfile()] == [("a/program", 0o755), ("b/program", 0o755)]
