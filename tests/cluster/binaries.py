"""Kubernetes, etcd, CoreDNS and flannel, built from Go modules whose versions and checksums are committed; once for each go.sum."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import building, places
from tests.datapath.tools import LabError

MODULES = Path(__file__).parent / "binaries"
_VERSION = "k8s.io/component-base/version"
_COMMANDS = "k8s.io/kubernetes/cmd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A folder with go.mod and go.sum of its own: the requirements of these four conflict with each other.

    Attributes:
        packages: what is built: import path -> name of the binary.
        ldflags: further flags of the linker.
    """

    name: str
    packages: dict[str, str]
    ldflags: str = ""


def _kubernetes() -> Module:
    """kube-apiserver and its like say their version by these variables (hack/lib/version.sh in kubernetes)."""
    version = _required("kubernetes", "k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    commands = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")
    return Module(
        name="kubernetes",
        packages={f"{_COMMANDS}/{command}": command for command in commands},
        ldflags=f"-X {_VERSION}.gitVersion={version} -X {_VERSION}.gitMajor={major} -X {_VERSION}.gitMinor={minor}",
    )


def _required(module: str, path: str) -> str:
    """The version of `path` that a module's go.mod requires."""
    for line in (MODULES / module / "go.mod").read_text().splitlines():
        words = line.removeprefix("require").split()
        if words[:1] == [path] and len(words) > 1 and words[1].startswith("v"):
            return words[1]
    raise LabError(f"{MODULES / module / 'go.mod'} requires no {path}")


def modules() -> tuple[Module, ...]:
    """All four, the quick ones first."""
    return (
        Module(name="etcd", packages={"go.etcd.io/etcd/server/v3": "etcd"}),
        Module(name="flannel", packages={".": "flanneld"}),
        Module(name="coredns", packages={".": "coredns"}),
        _kubernetes(),
    )


def coredns_version() -> str:
    """As in go.mod: "v1.14.7"."""
    return _required("coredns", "github.com/coredns/coredns")


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where each binary lies."""

    paths: dict[str, Path]

    def __getitem__(self, name: str) -> str:
        return str(self.paths[name])


def ensure(say: Callable[[str], None]) -> Binaries:
    """Build what is not there yet.

    Raises:
        LabError: no Go, or a build failed, with the compiler's last words.
    """
    paths: dict[str, Path] = {}
    for module in modules():
        folder = places.cache_dir() / f"{module.name}-{_digest(module)}"
        if not all((folder / binary).exists() for binary in module.packages.values()):
            say(f"building {module.name} (once; kept in {folder})")
            _build(module, folder)
        paths |= {binary: folder / binary for binary in module.packages.values()}
    return Binaries(paths)


def _digest(module: Module) -> str:
    """Of everything that decides what comes out."""
    found = hashlib.sha256(repr((sorted(module.packages), module.ldflags)).encode())
    for path in sorted((MODULES / module.name).iterdir()):
        if path.suffix in (".mod", ".sum", ".go"):
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _build(module: Module, folder: Path) -> None:
    """Into a scratch folder first, so that a build that was cut short is not taken for a whole one.

    No cgo: the binaries then run in every container. The linker leaves out debugging symbols (-s -w), which halves them. The compiler
    collects its own garbage seldom (GOGC): it takes more memory and less time.
    """
    if shutil.which("go") is None:
        raise LabError(
            "building Kubernetes needs Go 1.25 or later (`go` on the PATH): https://go.dev/dl, or Debian's golang-go from backports"
        )
    scratch = folder.with_name(folder.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    argv = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {module.ldflags}".strip(), "-o", _target(module, scratch)]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOGC": "400"}
    log = folder.with_name(folder.name + ".log")
    building.run(f"building {module.name}", [*argv, *module.packages], cwd=MODULES / module.name, log=log, environment=environment)
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def _target(module: Module, scratch: Path) -> str:
    """go build's -o: a file for one package, which may be called anything; a folder for several, which are called as their binaries are."""
    binaries = list(module.packages.values())
    return str(scratch / binaries[0]) if len(binaries) == 1 else f"{scratch}/"
