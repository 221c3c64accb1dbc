"""The images of the cluster, in one docker-archive: tools (with the tag of the plugin's default), pause, CoreDNS."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster import building, places
from tests.cluster.binaries import Binaries, coredns_version

TOOLS_TAG = "docker.io/nicolaka/netshoot:v0.16"
PAUSE_TAG = "registry.k8s.io/pause:3.10"
COREDNS_TAG = f"registry.k8s.io/coredns/coredns:{coredns_version()}"

# What the plugin's scripts run in a debug pod, what its tests run in workloads (python3, curl), busybox for another sh.
PACKAGES = (
    *("bind9-dnsutils", "busybox", "conntrack", "curl", "dnsmasq-base", "ethtool", "iproute2", "ipset", "iptables", "iputils-ping"),
    *("nftables", "procps", "python3", "tcpdump"),
)
_USELESS = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/zoneinfo",
    "var/cache/apt",
    "var/lib/apt/lists",
)
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MIRROR = "http://deb.debian.org/debian"


def ensure(binaries: Binaries, say: Callable[[str], None]) -> Path:
    """The archive, made if it is not there yet.

    Raises:
        LabError: debootstrap failed, with its last words.
    """
    recipe = json.dumps([PACKAGES, _USELESS, _release()])
    tools = places.cache_dir() / f"tools-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.tar"
    if not tools.exists():
        say(f"building the image's file system with debootstrap (once; kept in {tools})")
        _make_tools(tools)
    coredns = binaries.paths["coredns"]
    named = f"{tools.stem}-{coredns.parent.name}-{PAUSE_TAG.rpartition(':')[2]}"
    archive = places.cache_dir() / f"images-{hashlib.sha256(named.encode()).hexdigest()[:16]}.tar"
    if not archive.exists():
        _make_archive(archive, tools, coredns)
    return archive


def _release() -> str:
    """This machine's Debian release, by its code name."""
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    return "stable"


def _make_tools(layer: Path) -> None:
    """A small Debian with the tools, as a layer."""
    layer.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=layer.parent, prefix="image-") as scratch:
        root, whole = Path(scratch) / "root", Path(scratch) / "layer.tar"
        # In namespaces of its own: what it mounts and starts is gone with it, also when it is cut short.
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        argv = [*apart, "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", _release(), str(root), MIRROR]
        building.run("debootstrap", argv, cwd=Path(scratch), log=layer.with_suffix(".log"))
        for path in _USELESS:
            shutil.rmtree(root / path, ignore_errors=True)
        argv = ["tar", "--numeric-owner", "--one-file-system", "-C", str(root), "-cf", str(whole), "."]
        building.run("tar", argv, cwd=Path(scratch), log=layer.with_suffix(".log"))
        whole.rename(layer)


def _make_archive(archive: Path, tools: Path, coredns: Path) -> None:
    """pause is what holds a pod's namespaces: anything that sleeps will do. CoreDNS stands on the tools, to be stopped inside its pod."""
    with TemporaryDirectory(dir=archive.parent, prefix="image-") as scratch:
        binary, whole = Path(scratch) / "coredns.tar", Path(scratch) / "images.tar"
        with tarfile.open(binary, "w") as tar:
            tar.add(coredns, "coredns")
        sleeping: Mapping[str, object] = {"Cmd": ["sleep", "infinity"], "Env": [_PATH]}
        serving: Mapping[str, object] = {"Entrypoint": ["/coredns"], "Env": [_PATH]}
        write_archive(
            whole,
            [(TOOLS_TAG, sleeping, [tools]), (PAUSE_TAG, sleeping, [tools]), (COREDNS_TAG, serving, [tools, binary])],
        )
        whole.rename(archive)


def write_archive(archive: Path, images: Sequence[tuple[str, Mapping[str, object], Sequence[Path]]]) -> None:
    """A docker-archive of images: tag, configuration, layers (moby, image/spec/v1.2.md: manifest.json, configurations, layers)."""
    layers = {path: _digest(path) for _, _, paths in images for path in paths}
    manifest = []
    with tarfile.open(archive, "w") as tar:
        for tag, configuration, paths in images:
            rootfs = {"type": "layers", "diff_ids": [f"sha256:{layers[path]}" for path in paths]}
            image = {"architecture": _architecture(), "os": "linux", "config": configuration, "rootfs": rootfs}
            text = json.dumps(image).encode()
            name = hashlib.sha256(text).hexdigest() + ".json"
            _add(tar, name, text)
            manifest.append({"Config": name, "RepoTags": [tag], "Layers": [f"{layers[path]}.tar" for path in paths]})
        for path, digest in layers.items():
            tar.add(path, f"{digest}.tar")
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _architecture() -> str:
    """As images name it, which is as Debian does."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
