"""A bundle that is an archive, as it was written or as somebody has packed it again: known and unpacked."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kubectl_vxtrace.bundle.containers import DAMAGED, Budget, make_folder, members, write
from kubectl_vxtrace.bundle.folder import RECORDING
from kubectl_vxtrace.bundle.kinds import Kind
from kubectl_vxtrace.errors import CannotRunError

# What a bundle may hold: names that this tool writes, at most three folders deep; no `..`, no absolute names, no links.
_MEMBER = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._@-]{0,252}/){0,3}[A-Za-z0-9][A-Za-z0-9._@-]{0,252}")
# What is read of it (see folder.read); the rest is for people, and stays packed.
_READ = re.compile(r"[^/]+\.(?:json|pcap)|nodes/[^/]+/(?:before|after)\.json")
_MAX_MEMBERS = 10_000
# What macOS adds to an archive for each file: its attributes.
_MACOS, _APPLE_DOUBLE = "__MACOSX/", "._"


def is_bundle(path: Path, kind: Kind, budget: Budget) -> bool:
    """Whether an archive is a bundle, also one that somebody unpacked and packed again, with a folder around it; of a damaged one the part
    that can be read counts."""
    names: list[str] = []
    with suppress(*DAMAGED), members(path, kind, budget) as found:
        names.extend(member.name for member in found)
    return RECORDING in _places(names).values()


def unpack(path: Path, kind: Kind, folder: Path, budget: Budget) -> None:
    """Unpack what is read of a bundle into `folder`, which is made; the folder around it, and what macOS adds, stay behind.

    Raises:
        CannotRunError: it has members that no bundle has, one of them twice, or is too large.
        any of containers.DAMAGED: it is damaged.
    """
    with members(path, kind, budget) as found:
        names = [member.name for member in found]
    places = _places(names)
    if (trouble := _trouble(names, places)) is not None:
        raise CannotRunError(f"{path.name} {trouble}, which no bundle has", "unpack it yourself and name the folder")
    make_folder(folder)
    with members(path, kind, budget) as found:
        for member in found:
            place = places.get(member.name, "")
            if _READ.fullmatch(place):
                destination = folder / place
                make_folder(destination.parent)
                with member.opened() as stream:
                    write(stream, destination)


def _trouble(names: Sequence[str], places: Mapping[str, str]) -> str | None:
    """What a bundle does not have, of an archive with members of these names that lie at these places; None if there is no such thing."""
    if len(names) > _MAX_MEMBERS:
        return f"has more than {_MAX_MEMBERS} files"
    foreign = next((name for name, place in places.items() if not _MEMBER.fullmatch(place)), None)
    if foreign is not None:
        return f"holds {foreign!r}"
    twice = next((name for name, times in Counter(places.get(name) for name in names).items() if name is not None and times > 1), None)
    return f"holds {twice!r} twice" if twice is not None else None


def _places(names: Sequence[str]) -> dict[str, str]:
    """Members of an archive by name, and where each lies in the bundle: behind the one folder that holds everything, if there is one."""
    own = [name for name in names if not name.startswith(_MACOS) and not name.rpartition("/")[2].startswith(_APPLE_DOUBLE)]
    tops = {name.removeprefix("./").partition("/")[0] if "/" in name.removeprefix("./") else "" for name in own}
    around = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
    return {name: name.removeprefix("./").removeprefix(around) for name in own}
