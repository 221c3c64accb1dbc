"""The bundle: a trace folder as a zip file."""

import re
import stat
import zipfile
from pathlib import Path

from kubectl_vxtrace.errors import CannotRunError, UsageError

# What a bundle may hold: names that this tool writes, at most three folders deep; no `..`, no absolute names, no links.
_MEMBER = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._@-]{0,252}/){0,3}[A-Za-z0-9][A-Za-z0-9._@-]{0,252}")
_MAX_MEMBERS = 10_000
# A trace is at most 10 nodes with a handful of captures of 64 MiB; this stops bombs, not bundles.
_MAX_TOTAL_BYTES = 16 * 1024**3


def pack(folder: Path, destination: Path) -> None:
    """Zip `folder` into `destination`, which must not exist; a half-written file never stands under that name.

    Raises:
        UsageError: `destination` exists or cannot be written.
    """
    partial = destination.with_name(destination.name + ".part")
    try:
        with partial.open("xb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder).as_posix())
        if destination.exists():
            partial.unlink()
            raise UsageError(f"{destination} exists already", "name another file with --bundle")
        partial.rename(destination)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot write the bundle: {error}", "name another place with --bundle") from error


def unpack(bundle: Path, folder: Path) -> None:
    """Unpack `bundle` into the empty `folder`.

    Raises:
        CannotRunError: not a zip file, damaged, too large, or with members that no bundle has.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _refuse_foreign(bundle, members)
            for member in members:
                archive.extract(member, folder)
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise CannotRunError(f"cannot read {bundle}: {error}", "was it transferred whole?") from error


def _refuse_foreign(bundle: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > _MAX_TOTAL_BYTES:
        raise CannotRunError(f"{bundle} unpacks to more than a bundle holds")
    for member in members:
        mode = member.external_attr >> 16
        if not _MEMBER.fullmatch(member.filename) or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
            raise CannotRunError(f"{bundle} holds {member.filename!r}, which no bundle has", "unpack it yourself and name the folder")
