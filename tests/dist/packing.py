"""The plugin with its own Python, as a folder and as krew's archive of it. Needs nothing but Python, so that it runs in a bare root as well.

Usage: python -m tests.dist.packing --wheel WHEEL --into FOLDER, with the Python that is packed; it must have a shared library.
"""

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = "kubectl-vxtrace"
LICENCES = "licences"

_SPECIFICATION = Path(__file__).with_name("kubectl-vxtrace.spec")
# What pip notes of an installation beside what a package says of itself.
_NOTES = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")
_LICENCE_NAMES = ("licen", "copying", "notice", "copyright")


def pack(wheel: Path, into: Path, *, first: Sequence[Path] = (), licences: Path | None = None, strip: bool = False) -> None:
    """Write what the archive holds into a new folder: the program with its files, LICENSE, and the licences of everything in it.

    first: wheels that are installed before, so that no others are taken in their place. licences: of what Python was built with, a folder for
    each. strip: take what only a debugger reads out of all libraries. Raises CalledProcessError: something cannot be installed or packed.
    """
    work = into.with_name(f"{into.name}-work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(into, ignore_errors=True)
    environment = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    pip: list[str | Path] = [work / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet"]
    if first:
        subprocess.run([*pip, "--no-deps", *first], env=environment, check=True)
    subprocess.run([*pip, f"{wheel}[krew]"], env=environment, check=True)
    # Sets keep their order then, and the same modules come as the same bytes (PyInstaller's manual, "Creating a Reproducible Build").
    environment |= {"PYTHONHASHSEED": "1", "PYTHONWARNINGS": "ignore", "VXTRACE_SCRIPT": str(work / "venv" / "bin" / PROGRAM)}
    places = [f"--distpath={work / 'dist'}", f"--workpath={work / 'build'}"]
    command: list[str | Path] = [work / "venv" / "bin" / "pyinstaller", "--noconfirm", "--log-level=ERROR", *places, _SPECIFICATION]
    subprocess.run(command, env=environment, check=True)
    into.mkdir(parents=True)
    # krew refuses links. numpy finds its own libraries without those that PyInstaller makes.
    for link in (work / "dist").rglob("*"):
        if link.is_symlink() and os.readlink(link).startswith("numpy.libs/"):
            link.unlink()
    shutil.copytree(work / "dist" / PROGRAM, into / PROGRAM)
    if strip:
        subprocess.run(["strip", "--strip-unneeded", *sorted((into / PROGRAM).rglob("*.so*"))], check=True)
    shutil.copy(ROOT / "LICENSE", into / "LICENSE")
    _move_licences(into / PROGRAM / "_internal", into / LICENCES)
    (packer,) = (work / "venv").glob("lib/*/site-packages/pyinstaller-*.dist-info")
    _take_licences(packer, into / LICENCES)  # its bootloader is what the program starts as
    if licences is not None:
        shutil.copytree(licences, into / LICENCES, dirs_exist_ok=True)
    shutil.rmtree(work)


def _move_licences(internal: Path, licences: Path) -> None:
    """Put the licences of packages together, and remove the rest that is only noted of their installation."""
    for metadata in sorted(internal.glob("*.dist-info")):
        _take_licences(metadata, licences)
        for path in _licences(metadata):
            path.unlink()
        shutil.rmtree(metadata / "licenses", ignore_errors=True)
        for name in _NOTES:
            (metadata / name).unlink(missing_ok=True)


def _take_licences(metadata: Path, licences: Path) -> None:
    """Copy them, with their folders, into one that is named after the package. One that brings none says in METADATA which it has."""
    for path in _licences(metadata) or [metadata / "METADATA"]:
        below = path.relative_to(metadata)
        target = licences / metadata.name.removesuffix(".dist-info") / Path(*(part for part in below.parts if part != "licenses"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _licences(metadata: Path) -> list[Path]:
    files = sorted(path for path in metadata.rglob("*") if path.is_file())
    return [path for path in files if "licenses" in path.relative_to(metadata).parts or path.name.lower().startswith(_LICENCE_NAMES)]


def archive(folder: Path, path: Path, time_s: int) -> None:
    """Pack a folder: members by name, one time, nobody's files; the same bytes for the same files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new:
        for each in sorted(folder.rglob("*"), key=lambda each: each.relative_to(folder).as_posix()):
            member = tarfile.TarInfo(each.relative_to(folder).as_posix())
            member.mtime = time_s
            if each.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                new.addfile(member)
            else:
                member.size, member.mode = each.stat().st_size, 0o755 if os.access(each, os.X_OK) else 0o644
                with each.open("rb") as content:
                    new.addfile(member, content)
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=time_s) as packed:
        packed.write(plain.getvalue())


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.dist.packing", description="Pack the plugin with the Python that runs this.")
    parser.add_argument("--wheel", type=Path, required=True, help="the plugin's")
    parser.add_argument("--into", type=Path, required=True, help="the folder that is written")
    parser.add_argument("--first", type=Path, action="append", default=[], help="a wheel that is taken instead of the index's")
    parser.add_argument("--licences", type=Path, help="the licences of what Python was built with, a folder for each")
    parser.add_argument("--strip", action="store_true", help="take what only a debugger reads out of all libraries")
    given = parser.parse_args(arguments)
    pack(given.wheel, given.into, first=given.first, licences=given.licences, strip=given.strip)


if __name__ == "__main__":
    main(sys.argv[1:])
