"""The packed plugin (`make krew`), installed as krew installs it."""

import hashlib
import platform
import resource
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.e2e.place import CLIENT, SERVICE, Lab

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "krew"
MANIFEST = BUILT / "vxtrace.yaml"
RECORDED = ROOT / "tests" / "topology" / "recorded" / "healthy"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="nothing is packed; `make krew` packs it")


def here(manifest: Path = MANIFEST) -> dict[str, str]:
    """The manifest's entry for this machine."""
    wanted = {"os": platform.system().lower(), "arch": ARCHITECTURES.get(platform.machine(), platform.machine())}
    found = [each for each in yaml.safe_load(manifest.read_text())["spec"]["platforms"] if each["selector"]["matchLabels"] == wanted]
    assert len(found) == 1
    entry: dict[str, str] = found[0]
    return entry


def archive() -> Path:
    return BUILT / here()["uri"].rpartition("/")[2]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The link that krew puts on the PATH, to the program in krew's store."""
    root = tmp_path_factory.mktemp("krew")
    store = root / "store" / "vxtrace" / "v0"
    store.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive(), "-C", store], check=True)
    link = root / "bin" / "kubectl-vxtrace"
    link.parent.mkdir()
    link.symlink_to(store / here()["bin"])
    return link


def run(plugin: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it with nothing of this environment."""
    return subprocess.run(
        [plugin, *arguments], env={"PATH": PATH} | environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_krew_can_unpack_it() -> None:
    """krew takes regular files and folders only, and no name with two dots in a row (internal/download/downloader.go)."""
    with tarfile.open(archive()) as packed:
        members = packed.getmembers()
    assert [each.name for each in members if not (each.isreg() or each.isdir()) or ".." in each.name or each.name.startswith("/")] == []
    named = {each.name: each for each in members}
    assert named[here()["bin"]].mode & stat.S_IXUSR
    assert named["LICENSE"].isreg()


def test_the_manifest_has_this_archive_s_digest_and_is_else_the_same() -> None:
    entry, source = here(), here(ROOT / "krew-manifest.yaml")
    assert entry["sha256"] == hashlib.sha256(archive().read_bytes()).hexdigest()
    assert MANIFEST.read_text() == (ROOT / "krew-manifest.yaml").read_text().replace(
        f'{source["uri"].rpartition("/")[2]}\n      sha256: "{source["sha256"]}"', f'{archive().name}\n      sha256: "{entry["sha256"]}"'
    )


def test_it_carries_the_pages_of_the_causes(plugin: Path, tmp_path: Path) -> None:
    done = run(plugin, "explain", "rp-filter", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rp-filter: ")
    assert "TOLD APART FROM" in done.stdout


def test_it_carries_every_page(plugin: Path, tmp_path: Path) -> None:
    listed = run(plugin, "explain", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    pages = {page.stem: page for page in (ROOT / "kubectl_vxtrace" / "diagnosis" / "causes").glob("*/*.md")}
    slugs = sorted(pages)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == slugs
    for slug in (slugs[0], slugs[-1]):
        title = pages[slug].read_text().partition("\n")[0].removeprefix("# ")
        assert run(plugin, "explain", slug, cwd=tmp_path).stdout.splitlines()[0] == title
    unknown = run(plugin, "explain", "rp-filtre", cwd=tmp_path)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "rp-filter" in unknown.stderr


def test_help_is_quick(plugin: Path, tmp_path: Path) -> None:
    """In processor time, which on an idle machine is the time that passes."""
    times_s = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run(plugin, "--help", cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stderr
        assert "kubectl vxtrace" in done.stdout
    assert min(times_s) < 0.6


def test_captures_are_analysed(plugin: Path, tmp_path: Path) -> None:
    done = run(plugin, "analyze", str(RECORDED), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "DELIVERED" in done.stdout


@pytest.mark.parametrize("users", [None, "/opt/lib"])
def test_tshark_runs_with_the_system_s_libraries(plugin: Path, tmp_path: Path, users: str | None) -> None:
    tshark, told = tmp_path / "tshark", tmp_path / "told"
    tshark.write_text(f'#!/bin/sh\necho "${{LD_LIBRARY_PATH-unset}}" >>{told}\nexit 2\n')
    tshark.chmod(0o755)
    given = {"PATH": f"{tmp_path}:{PATH}"} | ({} if users is None else {"LD_LIBRARY_PATH": users})
    run(plugin, "analyze", str(RECORDED), cwd=tmp_path, **given)
    assert set(told.read_text().split()) == {users or "unset"}


@pytest.mark.lab
@pytest.mark.one_backend
def test_a_trace(plugin: Path, place: Lab, tmp_path: Path) -> None:
    done = run(plugin, "pod", CLIENT, "--to", SERVICE, "--duration", "4s", cwd=tmp_path, KUBECONFIG=str(place.kubeconfig))
    assert done.returncode == 0, done.stderr
    assert "DELIVERED" in done.stdout
    assert list(tmp_path.glob("vxtrace-*.zip"))
