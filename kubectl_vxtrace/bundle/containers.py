"""Archives: their members one after the other, and no more of them than a ticket's captures can be."""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Self, cast

from kubectl_vxtrace.bundle import zstandard
from kubectl_vxtrace.bundle.kinds import GZIP, ZSTD, Kind
from kubectl_vxtrace.errors import CannotRunError

DAMAGED: Final[tuple[type[Exception], ...]] = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    NotImplementedError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    *zstandard.ERRORS,
)
"""What reading a damaged, cut or encrypted archive raises (RuntimeError: zipfile, where a password is needed)."""

_FREE_BYTES: Final = 1 << 30
_MOST_RATIO: Final = 100
_MOST_BYTES: Final = 16 << 30
"""What may come out of everything that is given: 1 GiB and 100 times its size, and never more than 16 GiB. Captures of one packet again
and again unpack to 30 times their size, what is made to fill a disk to 1,000 times (RFC 1951's most)."""

_MOST_MEMBERS: Final = 100_000
_MOST_NAME_BYTES: Final = 1 << 16
"""Of a tar's own records: long names and pax headers, which are read into memory whole."""

_COPY_BYTES: Final = 1 << 20
_OWN_RECORDS: Final = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A regular file in an archive, that `opened` reads from its start; once, and before the next member is asked for."""

    name: str
    opened: Callable[[], BinaryIO]


class Budget:
    """How much may still come out of archives.

    Every byte that is unpacked counts, also those of members that nobody wants: they take time. Raises CannotRunError where it is used up.
    """

    def __init__(self) -> None:
        self._most_bytes = _FREE_BYTES
        self._taken_bytes = 0
        self._left_members = _MOST_MEMBERS

    def given(self, packed_bytes: int) -> None:
        """A file of that size was given, which may be an archive; those inside it came out of it and give nothing."""
        self._most_bytes = min(self._most_bytes + _MOST_RATIO * packed_bytes, _MOST_BYTES)

    def member(self) -> None:
        """A member was met."""
        self._left_members -= 1
        if self._left_members < 0:
            raise CannotRunError(
                f"the archives hold more than {_MOST_MEMBERS:,} files", "unpack what is to be analysed, and give the folder"
            )

    def take(self, count: int) -> None:
        """Bytes came out."""
        self.expect(count)
        self._taken_bytes += count

    def expect(self, count: int) -> None:
        """So many are to come out: more than may be is refused before the disk is filled with a part of it."""
        if self._taken_bytes + count > self._most_bytes:
            raise CannotRunError("the archives unpack to far more than captures do", "unpack what is to be analysed, and give the folder")


@contextmanager
def members(path: Path, kind: Kind, budget: Budget) -> Iterator[Iterator[Member]]:
    """The regular files in the archive at `path`, in its order; folders, links and devices are passed over.

    Raises:
        CannotRunError: more comes out than `budget` has.
        any of DAMAGED: the archive is damaged.
    """
    if kind is Kind.ZIP:
        with zipfile.ZipFile(path) as archive:
            yield _of_zip(archive, budget)
        return
    with _unpacked(path, budget) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_CheckedTarInfo) as tar:
        yield _of_tar(tar, budget)


def unpack_one(path: Path, destination: Path, budget: Budget) -> None:
    """Unpack a compressed file that is no archive. Raises as `members` does."""
    with _unpacked(path, budget) as stream:
        write(stream, destination)


def write(source: BinaryIO, destination: Path, begin: bytes = b"") -> None:
    """Write `begin` and all that is left of `source` to a new file. Raises CannotRunError where it cannot be written."""
    with _writable(destination) as file:
        piece = begin or source.read(_COPY_BYTES)
        while piece:
            try:
                file.write(piece)
            except OSError as error:
                raise _no_room(destination, error) from error
            piece = source.read(_COPY_BYTES)


def make_folder(place: Path) -> None:
    """Make a folder where there is none. Raises CannotRunError where it cannot be made."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_room(place, error) from error


def _writable(destination: Path) -> BinaryIO:
    try:
        return destination.open("xb")
    except OSError as error:
        raise _no_room(destination, error) from error


def _no_room(destination: Path, error: OSError) -> CannotRunError:
    return CannotRunError(f"cannot unpack into {destination.parent}: {error.strerror}", "set TMPDIR to a place that has room")


def _of_zip(archive: zipfile.ZipFile, budget: Budget) -> Iterator[Member]:
    for info in archive.infolist():
        budget.member()
        mode = info.external_attr >> 16
        if not info.is_dir() and stat.S_IFMT(mode) in (0, stat.S_IFREG):
            yield Member(name=info.filename, opened=partial(_open_zipped, archive, info, budget))


def _open_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> BinaryIO:
    # zipfile gives no more than the size that the directory says
    budget.expect(info.file_size)
    return _Counted(cast(BinaryIO, archive.open(info)), budget)


def _of_tar(tar: tarfile.TarFile, budget: Budget) -> Iterator[Member]:
    for info in tar:
        budget.member()
        if info.isreg():
            yield Member(name=info.name, opened=partial(_open_tarred, tar, info, budget))


def _open_tarred(tar: tarfile.TarFile, info: tarfile.TarInfo, budget: Budget) -> BinaryIO:
    """A member's bytes; they were counted as the archive was unpacked, but for the holes of a sparse file, which are not in it."""
    file = cast(BinaryIO, tar.extractfile(info))  # None only where it is no regular file
    return _Counted(file, budget) if info.issparse() else file


@contextmanager
def _unpacked(path: Path, budget: Budget) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        magic = file.read(len(ZSTD))
        file.seek(0)
        stream: BinaryIO = file
        if magic.startswith(GZIP):
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=file))
        elif magic == ZSTD:
            stream = zstandard.opened(file)
        yield _Counted(stream, budget)


class _CheckedTarInfo(tarfile.TarInfo):
    """A header whose own records are not larger than names are."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _OWN_RECORDS and info.size > _MOST_NAME_BYTES:
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        return info


class _Counted(io.RawIOBase, BinaryIO):
    """A stream whose bytes are taken from a budget."""

    def __init__(self, stream: BinaryIO, budget: Budget) -> None:
        super().__init__()
        self._stream, self._budget = stream, budget

    def read(self, size: int | None = -1, /) -> bytes:
        """See io.RawIOBase; never without a size, as the stream may be endless."""
        piece = self._stream.read(_COPY_BYTES if size is None or size < 0 else size)
        self._budget.take(len(piece))
        return piece
