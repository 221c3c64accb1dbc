"""A trace folder as a bundle: a zip, a tar or a folder, with one folder around everything; the same input gives the same bytes."""

import gzip
import os
import shutil
import stat
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from kubectl_vxtrace import portable
from kubectl_vxtrace.bundle.destination import Form
from kubectl_vxtrace.errors import UsageError

_LEVEL: Final = 6
_MODE: Final = 0o600
"""It holds packets: only its owner may read it, and each file that comes out of it."""

_EARLIEST_S: Final = 315_532_800
_LATEST_S: Final = 4_354_819_198
"""What a zip can say of a time: 1980 to 2107 (APPNOTE.TXT, 4.4.6)."""

_PART_BEGIN, _PART_END = ".vxtrace-", ".part"
_MADE_S: Final = 60.0
"""So old is no half-written bundle that is still to be locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """What is packed: the trace folder, the name of the folder around it, and the time that stands at each file (Unix seconds)."""

    folder: Path
    name: str
    time_s: int

    def files(self) -> Iterator[tuple[Path, str]]:
        """Each file with its name in the bundle, in an order that does not change."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                yield path, f"{self.name}/{path.relative_to(self.folder).as_posix()}"


def pack(packing: Packing, destination: Path, form: Form) -> None:
    """Write the bundle to `destination`, which must not exist; a half-written one never stands under that name, and touches no other file.

    Where the file system can, it has no name at all before it is whole: then nothing is left of it where the process is killed. Else what
    such a process left is removed by the next call.

    Raises:
        UsageError: `destination` exists or cannot be written.
    """
    try:
        if form is Form.FOLDER:
            destination.parent.mkdir(parents=True, exist_ok=True)
        _sweep(destination.parent)
        if form is Form.FOLDER:
            _pack_folder(packing, destination)
        else:
            _pack_file(lambda stream: write(packing, stream, form), destination)
    except FileExistsError as error:
        raise UsageError(f"{destination} exists already", "name another file with --bundle") from error
    except OSError as error:
        raise UsageError(f"cannot write the bundle {destination}: {error.strerror or error}", "name another place with --bundle") from error


def write(packing: Packing, stream: BinaryIO, form: Form) -> None:
    """Write the bundle to `stream`, which need not be seekable. Raises OSError."""
    if form is Form.TGZ:
        _write_tgz(packing, stream)
    else:
        _write_zip(packing, stream)


def _write_zip(packing: Packing, stream: BinaryIO) -> None:
    made = datetime.fromtimestamp(min(max(packing.time_s, _EARLIEST_S), _LATEST_S), UTC).timetuple()[:6]
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for path, name in packing.files():
            info = zipfile.ZipInfo(name, made)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | _MODE) << 16
            info.file_size = path.stat().st_size  # tells whether it needs the large form (ZIP64)
            with path.open("rb") as file, archive.open(info, "w") as member:
                shutil.copyfileobj(file, member)


def _write_tgz(packing: Packing, stream: BinaryIO) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=stream, mtime=packing.time_s) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path, name in packing.files():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = path.stat().st_size, _MODE, packing.time_s
            with path.open("rb") as file:
                archive.addfile(info, file)


def _pack_file(fill: Callable[[BinaryIO], None], destination: Path) -> None:
    """Raises FileExistsError where there is such a file, OSError where it cannot be written."""
    if destination.exists():
        raise FileExistsError
    if not _pack_unnamed(fill, destination):
        _pack_named(fill, destination)


def _pack_unnamed(fill: Callable[[BinaryIO], None], destination: Path) -> bool:
    """Write a file that gets its name when it is whole (open(2), O_TMPFILE); False where that cannot be done here."""
    if sys.platform != "linux":
        return False
    try:
        descriptor = os.open(destination.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _MODE)
    except (AttributeError, OSError):
        return False
    with os.fdopen(descriptor, "w+b") as file:
        fill(file)
        file.flush()
        anywhere = portable.open_folder(destination.parent.resolve())
        try:
            # Python calls linkat(2), the only one that follows the link in /proc, where it is given a folder's descriptor.
            os.link(f"/proc/self/fd/{descriptor}", destination, src_dir_fd=anywhere, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError:
            return False
        finally:
            os.close(anywhere)
    return True


def _pack_named(fill: Callable[[BinaryIO], None], destination: Path) -> None:
    """Write a file under a name that nobody else has, and then give it its own, which no other file loses."""
    descriptor, name = tempfile.mkstemp(prefix=_PART_BEGIN, suffix=_PART_END, dir=destination.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            _lock(descriptor)
            fill(file)
            file.flush()
            try:
                destination.hardlink_to(partial)
            except FileExistsError:
                raise
            except OSError:  # no hard links here: another file of that name might be made in this very moment
                if destination.exists():
                    raise FileExistsError from None
                partial.rename(destination)
    finally:
        with suppress(OSError):
            partial.unlink()


def _pack_folder(packing: Packing, destination: Path) -> None:
    """Raises FileExistsError where there is such a folder, OSError where it cannot be written."""
    if destination.exists():
        raise FileExistsError
    partial = Path(tempfile.mkdtemp(prefix=_PART_BEGIN, suffix=_PART_END, dir=destination.parent))
    try:
        with _locked_folder(partial):
            for path, name in packing.files():
                copy = partial / Path(name).relative_to(packing.name)
                _make_folders(copy.parent)
                with path.open("rb") as file, _created(copy) as written:
                    shutil.copyfileobj(file, written)
            partial.rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _created(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.BINARY, _MODE), "wb")


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, all of which only their owner may enter."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(0o700)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    descriptor = None
    with suppress(OSError):
        descriptor = portable.open_folder(folder)
    try:
        if descriptor is not None:
            _lock(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Tell other runs that this process lives; there are file systems without locks, on which nothing is swept."""
    with suppress(OSError):
        portable.lock(descriptor)


def _sweep(folder: Path) -> None:
    """Remove half-written bundles of our name and user in `folder` whose process was killed: nobody holds their lock."""
    with suppress(OSError):
        for path in sorted(folder.glob(f"{_PART_BEGIN}*{_PART_END}")):
            with suppress(OSError):
                _sweep_one(path)


def _sweep_one(path: Path) -> None:
    said = path.lstat()
    ours = portable.is_ours(said) and stat.S_IFMT(said.st_mode) in (stat.S_IFREG, stat.S_IFDIR)
    if not ours or time.time() - said.st_ctime < _MADE_S:
        return
    descriptor = os.open(path, os.O_RDONLY | portable.NO_FOLLOW | portable.NON_BLOCKING | portable.CLOSE_ON_EXEC)
    try:
        portable.lock(descriptor)
        if stat.S_ISREG(said.st_mode):
            path.unlink()
        elif shutil.rmtree.avoids_symlink_attacks:
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
