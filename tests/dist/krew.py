"""krew's archive of one platform and the manifest with its digest, into build/krew: `make krew`, `make standalone`.

Usage: python -m tests.dist.krew PYTHON    packed with that Python, for systems as new as this machine
       python -m tests.dist.krew older     with a Python built in an older Debian, for systems as old (Linux on amd64; root)
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from kubectl_vxtrace import __version__
from tests.datapath.tools import LabError
from tests.dist import building, older, packing

BUILT = building.ROOT / "build" / "krew"
MANIFEST = BUILT / "vxtrace.yaml"
_SOURCE = building.ROOT / "krew-manifest.yaml"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def here() -> tuple[str, str]:
    """This machine's operating system and architecture, as krew names them."""
    return platform.system().lower(), _ARCHITECTURES.get(platform.machine(), platform.machine())


def archive_name() -> str:
    """The file's, as the manifest's address ends."""
    system, architecture = here()
    return f"{packing.PROGRAM}_v{__version__}_{system}_{architecture}.tar.gz"


def pack_here(python: str, wheel: Path, into: Path) -> None:
    """Pack with a Python of this machine. Raises CalledProcessError."""
    command: list[str | Path] = [python, "-m", "tests.dist.packing", "--wheel", wheel, "--into", into]
    subprocess.run(command, cwd=building.ROOT, check=True)


def pack_older(wheel: Path, into: Path) -> None:
    """Pack in the older root. Raises LabError, and CalledProcessError."""
    root, wheels = older.root(_say), older.wheels(_say)
    work = into.parent
    argv = ["env", "-C", "/checkout", "PYTHONDONTWRITEBYTECODE=1", "/opt/python/bin/python3"]
    argv += ["-m", "tests.dist.packing", "--wheel", f"/scratch/{wheel.relative_to(work)}", "--into", f"/scratch/{into.name}"]
    argv += ["--strip", "--licences", "/opt/licences", *(word for each in sorted(wheels.iterdir()) for word in ("--first", f"/wheels/{each.name}"))]
    older.run_in(root, argv, log=BUILT / "packing.log", what="packing", shown={"/checkout": building.ROOT, "/scratch": work, "/wheels": wheels})


def write_manifest(archive: Path) -> None:
    """krew-manifest.yaml with the digest of an archive."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    text, count = re.subn(rf'(/{re.escape(archive.name)}\n +sha256: ")[0-9a-f]*"', rf'\g<1>{digest}"', _SOURCE.read_text())
    if count != 1:
        raise LabError(f"{_SOURCE.name} names no {archive.name}")
    MANIFEST.write_text(text)


def wheel(into: Path) -> Path:
    """The plugin's wheel. setuptools packs what an earlier build left in build/lib."""
    shutil.rmtree(building.ROOT / "build" / "lib", ignore_errors=True)
    constraints = dict.fromkeys(("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"), str(building.ROOT / "constraints.txt"))
    environment = {**os.environ, **constraints, "SOURCE_DATE_EPOCH": str(building.epoch_s())}
    command: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", into, building.ROOT]
    subprocess.run(command, env=environment, check=True)
    (made,) = into.glob("*.whl")
    return made


def _say(words: str) -> None:
    print(words, file=sys.stderr)


def main(python: str) -> None:
    if python == "older" and (here() != ("linux", "amd64") or os.geteuid() != 0):
        sys.exit("this archive is built on Linux on amd64, as root: it is made in a root of its own")
    shutil.rmtree(BUILT, ignore_errors=True)
    BUILT.mkdir(parents=True)
    archive = BUILT / archive_name()
    with TemporaryDirectory(dir=BUILT, prefix="work-") as scratch:
        made, folder = wheel(Path(scratch) / "wheel"), Path(scratch) / "archive"
        try:
            if python == "older":
                pack_older(made, folder)
            else:
                pack_here(python, made, folder)
            packing.archive(folder, archive, building.epoch_s())
            write_manifest(archive)
        except LabError as error:
            sys.exit(f"error: {error}")
    print(archive.relative_to(building.ROOT))


if __name__ == "__main__":
    main(sys.argv[1])
