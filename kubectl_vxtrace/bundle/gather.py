"""What lies in the paths that were given: captures, recordings of ours, and what cannot be read, in folders and archives of any depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from kubectl_vxtrace.bundle import archive, capture_times
from kubectl_vxtrace.bundle.containers import DAMAGED, Budget, Member, members, unpack_one, write
from kubectl_vxtrace.bundle.folder import MERGED, is_trace_folder
from kubectl_vxtrace.bundle.kinds import Kind, head_of, is_capture_name, kind_of, why_not
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.recording import LooseFile

_MOST_DEPTH: Final = 6
"""Archives in archives; a support bundle that holds a node's archive that holds a capture tool's is three."""

_MOST_FILES: Final = 100_000
_MOST_PARTS: Final = 3
_APPLE_DOUBLE: Final = "._"
"""What macOS puts beside each file into an archive: its attributes, under the file's own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was found, in the order of its names.

    `files` have a failure where they claim to be captures and cannot be read; `recordings` are folders; `failures` say of archives why
    they, or some of their members, could not be unpacked.
    """

    files: tuple[LooseFile, ...]
    recordings: tuple[Path, ...]
    failures: tuple[str, ...]


def gather(paths: Sequence[Path], scratch: Path) -> Gathered:
    """Look through `paths`; what has to be unpacked goes into the empty folder `scratch`, under names of our own.

    Raises:
        CannotRunError: there is far more than anybody's captures, or no room to unpack it.
    """
    work = _Gathering(scratch)
    for path, name in zip(paths, _names(paths), strict=True):
        work.visit(path, name)
    files = capture_times.with_times(work.files, work.capture_times)
    return Gathered(files=tuple(files), recordings=tuple(work.recordings), failures=tuple(work.failures))


def _names(paths: Sequence[Path]) -> list[str]:
    """What paths are called: a folder by its name, a file as it was given, without the beginning of a long path."""
    short = [path.resolve().name if path.is_dir() else "/".join(path.parts[-_MOST_PARTS:]) for path in paths]
    return [name if short.count(name) == 1 else str(path) for path, name in zip(paths, short, strict=True)]


class _Gathering:
    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._budget = Budget()
        self._unpacked = self._visited = self._depth = 0
        self._met: set[Path] = set()
        self.files: list[LooseFile] = []
        self.recordings: list[Path] = []
        self.failures: list[str] = []
        self.capture_times: dict[str, str] = {}

    def visit(self, path: Path, name: str) -> None:
        """Take up a file or a folder that is called `name`."""
        self._visited += 1
        self._bounded(0)
        try:
            if path.is_dir():
                self._visit_folder(path, name)
            elif path.is_file() and not path.name.startswith(_APPLE_DOUBLE) and self._is_new(path):
                self._visit_file(path, name)
        except OSError as error:
            self.failures.append(f"cannot read {name}: {error.strerror or error}")

    def _bounded(self, more: int) -> None:
        """Refuse before so many more are looked at, where they are too many."""
        if self._visited + more > _MOST_FILES:
            raise CannotRunError(f"there are more than {_MOST_FILES:,} files", "name the folder that holds the captures")

    def _is_new(self, path: Path) -> bool:
        """Whether a file was not met before: a folder and a file in it may both have been given."""
        real = path.resolve()
        if real in self._met:
            return False
        self._met.add(real)
        return True

    def _visit_folder(self, path: Path, name: str) -> None:
        if is_trace_folder(path):
            self.recordings.append(path)
            return
        children = sorted(path.iterdir())
        self._bounded(len(children))
        captures = any(is_capture_name(child.name) for child in children if child.name != MERGED)
        for child in children:
            if child.name == MERGED and captures:
                self.failures.append(f"{name}/{MERGED} was passed over: it holds the packets of the captures beside it")
            # A link to a folder may lead back to where it lies.
            elif not (child.is_symlink() and child.is_dir()):
                self.visit(child, f"{name}/{child.name}")

    def _visit_file(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            head = head_of(file)
        kind = kind_of(head)
        if not self._depth and kind is not Kind.CAPTURE:
            self._budget.given(path.stat().st_size)
        if kind is Kind.CAPTURE:
            self.files.append(LooseFile(path=str(path.absolute()), name=name))
        elif kind is Kind.PACKED:
            self._visit_packed(path, name)
        elif kind in (Kind.ZIP, Kind.TAR):
            self._visit_archive(path, name, kind)
        elif path.name == capture_times.FILE_NAME:
            with path.open("rb") as file:
                self._take_times(file, name, b"")
        else:
            self._pass_over(name, head)

    def _take_times(self, stream: IO[bytes], name: str, head: bytes) -> None:
        """When the captures of a folder ran; `head`: what was read of it already."""
        text = (head + stream.read(capture_times.MOST_BYTES)).decode("utf-8", "replace")
        self.capture_times[name.rpartition("/")[0]] = text

    def _pass_over(self, name: str, head: bytes) -> None:
        reason = why_not(name, head)
        if reason is not None and is_capture_name(name):
            self.files.append(LooseFile(path="", name=name, failure=reason))
        elif reason is not None:
            self.failures.append(f"cannot read {name}: {reason}")

    def _visit_packed(self, path: Path, name: str) -> None:
        place = self._next_place()
        try:
            unpack_one(path, place, self._budget)
        except DAMAGED as error:
            # What came out before the damage is a capture that was cut.
            self._damaged(name, error)
        self.files.append(LooseFile(path=str(place), name=name))

    def _visit_archive(self, path: Path, name: str, kind: Kind) -> None:
        if self._depth == _MOST_DEPTH:
            self.failures.append(f"cannot read {name}: it lies in {_MOST_DEPTH} archives; unpack it, and give the folder")
            return
        self._depth += 1
        try:
            if archive.is_bundle(path, kind, self._budget):
                place = self._next_place()
                archive.unpack(path, kind, place, self._budget)
                self.recordings.append(place)
            else:
                self._visit_members(path, name, kind)
        except DAMAGED as error:
            self._damaged(name, error)
        finally:
            self._depth -= 1

    def _visit_members(self, path: Path, name: str, kind: Kind) -> None:
        with members(path, kind, self._budget) as found:
            for member in found:
                called = f"{name}/{_relative(member.name)}"
                try:
                    self._visit_member(member, called)
                except DAMAGED as error:
                    if kind is not Kind.ZIP:
                        raise  # there is no way to the members behind it
                    self._damaged(called, error)

    def _damaged(self, name: str, error: Exception) -> None:
        self.failures.append(f"cannot read {name}: {error}; was it transferred whole?")

    def _visit_member(self, member: Member, name: str) -> None:
        if name.rpartition("/")[2].startswith(_APPLE_DOUBLE):
            return
        place = self._next_place()
        try:
            with member.opened() as stream:
                head = head_of(stream)
                kind = kind_of(head)
                if kind is Kind.OTHER and name.rpartition("/")[2] == capture_times.FILE_NAME:
                    self._take_times(stream, name, head)
                    return
                if kind is Kind.OTHER:
                    self._pass_over(name, head)
                    return
                try:
                    write(stream, place, head)
                finally:
                    # Of a member that was cut, what came out of it.
                    self.visit(place, name)
        except NotImplementedError as error:
            self.failures.append(f"cannot read {name}: {error}; unpack it, and give the folder")
        except RuntimeError:
            self.failures.append(f"cannot read {name}: it is encrypted; unpack it with its password, and give the folder")
        else:
            if kind is not Kind.CAPTURE:
                place.unlink()  # it has been looked through

    def _next_place(self) -> Path:
        self._unpacked += 1
        return self._scratch / f"{self._unpacked:06d}"


def _relative(name: str) -> str:
    """A member's name as it is shown; it never names a place to write to."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
