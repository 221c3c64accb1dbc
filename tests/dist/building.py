"""What a release consists of beside the archives for krew: wheel, source archive, bill of materials, sums; the same bytes each time."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from kubectl_vxtrace import __version__

ROOT = Path(__file__).parents[2]
SUMS = "SHA256SUMS"
_STEM = f"kubectl_vxtrace-{__version__}"
WHEEL, SOURCES, BILL = f"{_STEM}-py3-none-any.whl", f"{_STEM}.tar.gz", f"{_STEM}.cdx.json"

_FIRST_S = 315_532_800  # 1980-01-01T00:00:00Z (APPNOTE.TXT, 4.4.6)
# What every environment has, and the plugin does not need.
_NOT_OURS = ("pip", "setuptools")


def epoch_s() -> int:
    """The time that everything built here bears: that of the last commit; outside a repository the first that a zip can have."""
    try:
        done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
        return int(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return _FIRST_S


def build(into: Path, *, checkout: Path = ROOT) -> None:
    """Wheel and source archive of a checkout. `into` is made; what is in it under their names is replaced.

    Raises:
        CalledProcessError: one cannot be built.
    """
    into.mkdir(parents=True, exist_ok=True)
    # setuptools takes a wheel's times from this variable, and packs what an earlier build left in build/lib.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s()), "PYTHONHASHSEED": "0"}
    shutil.rmtree(checkout / "build" / "lib", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", into, checkout], env=environment, check=True, stdout=subprocess.DEVNULL)
    even(into / SOURCES, epoch_s())


def even(archive: Path, time_s: int) -> None:
    """Write a packed tar anew: members by name, one time, nobody's files. setuptools keeps the times and owners of the checkout."""
    plain = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname, member.pax_headers = time_s, 0, 0, "", "", {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    with archive.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=time_s) as packed:
        packed.write(plain.getvalue())


def describe(into: Path, python: Path) -> None:
    """The bill of materials (CycloneDX) of an environment in which nothing but the wheel is installed, with what it needs.

    python: of that environment. Raises CalledProcessError: it cannot be looked at.
    """
    command: list[str | Path] = [Path(sys.executable).with_name("cyclonedx-py"), "environment", "--output-reproducible", "--of", "JSON", python]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s())}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    document = json.loads(done.stdout)
    left_out = {each["bom-ref"] for each in document["components"] if each["name"] in _NOT_OURS}
    document["components"] = [each for each in document["components"] if each["bom-ref"] not in left_out]
    document["dependencies"] = [each for each in document["dependencies"] if each["ref"] not in left_out]
    (into / BILL).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def add_sums(into: Path) -> None:
    """The SHA-256 of every file, as `sha256sum --check` reads them."""
    files = sorted(path for path in into.iterdir() if path.name != SUMS)
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (into / SUMS).write_text("".join(lines), encoding="utf-8")
