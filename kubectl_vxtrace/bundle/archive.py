"""The bundle: a trace folder as a zip file, or as somebody has packed it again."""

import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kubectl_vxtrace.bundle.containers import DAMAGED, Budget, make_folder, members, write
from kubectl_vxtrace.bundle.folder import RECORDING
from kubectl_vxtrace.bundle.kinds import Kind
from kubectl_vxtrace.errors import CannotRunError, UsageError

# What a bundle may hold: names that this tool writes, at most three folders deep; no `..`, no absolute names, no links.
_MEMBER = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._@-]{0,252}/){0,3}[A-Za-z0-9][A-Za-z0-9._@-]{0,252}")
_MAX_MEMBERS = 10_000
# What macOS adds to an archive for each file: its attributes.
_MACOS, _APPLE_DOUBLE = "__MACOSX/", "._"


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


def is_bundle(path: Path, kind: Kind, budget: Budget) -> bool:
    """Whether an archive is a bundle, also one that somebody unpacked and packed again, with a folder around it; of a damaged one the part
    that can be read counts."""
    names: list[str] = []
    with suppress(*DAMAGED), members(path, kind, budget) as found:
        names.extend(member.name for member in found)
    return RECORDING in _places(names).values()


def unpack(path: Path, kind: Kind, folder: Path, budget: Budget) -> None:
    """Unpack a bundle into `folder`, which is made; the folder around it, and what macOS adds, stay behind.

    Raises:
        CannotRunError: it has members that no bundle has, or is too large. Nothing is written then.
        any of containers.DAMAGED: it is damaged.
    """
    with members(path, kind, budget) as found:
        places = _places([member.name for member in found])
    foreign = next((name for name, place in places.items() if not _MEMBER.fullmatch(place)), None)
    if foreign is not None or len(places) > _MAX_MEMBERS:
        what = f"holds {foreign!r}" if foreign is not None else f"has more than {_MAX_MEMBERS} files"
        raise CannotRunError(f"{path.name} {what}, which no bundle has", "unpack it yourself and name the folder")
    make_folder(folder)
    with members(path, kind, budget) as found:
        for member in found:
            if member.name in places:
                destination = folder / places[member.name]
                make_folder(destination.parent)
                with member.opened() as stream:
                    write(stream, destination)


def _places(names: Sequence[str]) -> dict[str, str]:
    """Members of an archive by name, and where each lies in the bundle: behind the one folder that holds everything, if there is one."""
    own = [name for name in names if not name.startswith(_MACOS) and not name.rpartition("/")[2].startswith(_APPLE_DOUBLE)]
    tops = {name.removeprefix("./").partition("/")[0] if "/" in name.removeprefix("./") else "" for name in own}
    around = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
    return {name: name.removeprefix("./").removeprefix(around) for name in own}
