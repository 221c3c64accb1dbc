"""A Debian that is older than this machine, in a folder, with a Python of our own: what is packed there runs on systems that are as old.

It is made once and kept in the cache. Needs root, debootstrap, Debian's mirror and pip's index.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster import building
from tests.cluster.image import MIRROR

RELEASE = "bullseye"
"""Debian 11, whose glibc is 2.31."""

NEWEST_GLIBC = (2, 28)
"""The newest symbol version that anything in the archive may ask glibc for: that of RHEL 8, and of the wheels (PEP 600, manylinux_2_28)."""

# Debian's source packages of its stable release, with its own patches; apt checks their signatures. Where the mirror has a newer version
# instead, that is to be taken; the cache is then made anew.
SOURCES_RELEASE = "trixie"
SOURCES = {
    "python3.13": "3.13.5-2+deb13u5",
    "openssl": "3.5.7-1~deb13u2",
    "zlib": "1:1.3.dfsg+really1.3.1-1",
    "bzip2": "1.0.8-6",
    "xz-utils": "5.8.1-1+deb13u1",
}

# In constraints.txt; wheels.sh says why.
BUILT_HERE = ("numpy", "pyinstaller")

_HERE = Path(__file__).parent
_PYTHON, _WHEELS, _WHEELS_BUILD = _HERE / "python.sh", _HERE / "wheels.sh", _HERE / "wheels-build.txt"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def cache_dir() -> Path:
    """Where it is kept (XDG Base Directory Specification, $XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "vxtrace-pack"


def place() -> Path:
    """Where the root with Python is, or would be; another one for everything that goes into it."""
    recipe = [MIRROR, RELEASE, SOURCES_RELEASE, *_sources(), _PYTHON.read_text()]
    return cache_dir() / f"python-{_digest(recipe)}"


def root(say: Callable[[str], None]) -> Path:
    """The root with Python in /opt/python and licences in /opt/licences; made if it is not there yet.

    Raises LabError: something could not be fetched or built.
    """
    if not place().exists():
        say(f"building Python in a Debian of its own, which takes a quarter of an hour (once; kept in {place()})")
        _make(place(), _build_python)
    return place()


def wheels(say: Callable[[str], None]) -> Path:
    """A folder with the wheels that are not taken as they are published, built in the root; made if they are not there yet. Raises LabError."""
    pins = (_HERE.parents[1] / "constraints.txt").read_text().splitlines()
    built = [pin for name in BUILT_HERE for pin in pins if pin.startswith(f"{name}==")]
    inside = root(say)
    folder = cache_dir() / f"wheels-{_digest([inside.name, *built, _WHEELS.read_text(), _WHEELS_BUILD.read_text()])}"
    if not folder.exists():
        say(f"building {' and '.join(BUILT_HERE)} there, which takes ten minutes (once; kept in {folder})")
        with TemporaryDirectory(dir=folder.parent, prefix="making-") as scratch:
            made, log = Path(scratch) / "wheels", folder.with_name(f"{folder.name}.log")
            made.mkdir()
            run_in(inside, ["sh", f"/recipe/{_WHEELS.name}", *built], log=log, what="building", shown={"/recipe": _HERE, "/wheels": made})
            made.rename(folder)
    return folder


def _sources() -> list[str]:
    return [f"{name}={version}" for name, version in SOURCES.items()]


def _digest(recipe: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]


def bare(say: Callable[[str], None]) -> Path:
    """The same Debian as it is installed, without Python; made if it is not there yet. Raises LabError."""
    where = cache_dir() / f"bare-{RELEASE}"
    if not where.exists():
        say(f"making a bare Debian with debootstrap (once; kept in {where})")
        _make(where, lambda _root, _log: None)
    return where


def _make(where: Path, then: Callable[[Path, Path], None]) -> None:
    where.parent.mkdir(parents=True, exist_ok=True)
    log = where.with_name(f"{where.name}.log")
    with TemporaryDirectory(dir=where.parent, prefix="making-") as scratch:
        made = Path(scratch) / "root"
        building.run("debootstrap", [*_apart(), "debootstrap", "--variant=minbase", RELEASE, str(made), MIRROR], cwd=Path(scratch), log=log)
        then(made, log)
        made.rename(where)


def _build_python(made: Path, log: Path) -> None:
    argv = ["sh", f"/recipe/{_PYTHON.name}", MIRROR, SOURCES_RELEASE, *_sources()]
    run_in(made, argv, log=log, what="building Python", shown={"/recipe": _HERE})


def run_in(inside: Path, argv: Sequence[str], *, log: Path, what: str, shown: Mapping[str, Path] | None = None) -> None:
    """Run a command in a root, with nothing of this environment but what pip is told of its index.

    shown: see `inside_root`. Raises LabError: it failed.
    """
    shutil.copy("/etc/resolv.conf", inside / "etc" / "resolv.conf")
    environment = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and not name.endswith("CONSTRAINT")}
    if _CERTIFICATES.exists():  # this machine's, as a mirror may have one of its own
        shutil.copy(_CERTIFICATES, inside / "opt" / "certificates.crt")
        environment["PIP_CERT"] = "/opt/certificates.crt"
    building.run(what, inside_root(inside, argv, environment=environment, shown=shown), cwd=inside, log=log)


def inside_root(
    inside: Path, argv: Sequence[str], *, environment: Mapping[str, str] | None = None, shown: Mapping[str, Path] | None = None
) -> list[str]:
    """The command that runs another one in a root, with its own /proc, and whose mounts and processes are gone with it.

    shown: where in the root -> folder of this machine that can be read and written there.
    """
    script = ['set -e; root=$1; shift; mount -t proc proc "$root/proc"']
    folders: list[str] = []
    for at, folder in (shown or {}).items():
        script.append(f'mkdir -p "$root{at}"; mount --bind "$1" "$root{at}"; shift')
        folders.append(str(folder))
    script.append('exec chroot "$root" "$@"')
    variables = [f"{name}={value}" for name, value in {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **(environment or {})}.items()]
    return [*_apart(), "sh", "-c", "; ".join(script), "sh", str(inside), *folders, "env", "-i", *variables, *argv]


def _apart() -> list[str]:
    """In namespaces of its own: what it mounts and starts is gone with it, also when it is cut short."""
    return ["nice", "-n", "19", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
