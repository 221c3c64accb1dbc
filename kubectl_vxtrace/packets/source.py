"""A capture file as a stream of bytes: plain or gzip, read through one buffer of fixed size."""

import os
import stat
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import U8

BUFFER_BYTES = 16 << 20
"""Bytes of a file that are in memory at once. Must hold the largest record (262,144 bytes, a pcapng block 16 MiB - 1) whole."""

PADDING_BYTES = 128
"""Zero bytes behind the buffer, so that a header or 64 bytes of payload can be gathered from any place inside it."""

MAX_UNPACKED_BYTES = 1 << 30
"""Where reading a gzip file ends with an error. A file of a few megabytes can unpack to terabytes."""

_PIECE_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 31


class Stream(Protocol):
    """Bytes in order. `broken` says that the bytes ended before their container did."""

    broken: bool

    def fill(self, view: memoryview) -> int:
        """Write into `view` until it is full or the stream ends; the number of bytes written."""
        ...

    def skip(self, count: int) -> None:
        """Pass over `count` bytes, or to the end."""
        ...


class PlainStream:
    """An uncompressed file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.broken = False

    def fill(self, view: memoryview) -> int:
        """See Stream."""
        done = 0
        while done < len(view):
            got = self._file.readinto(view[done:])  # type: ignore[attr-defined]  # typeshed's BinaryIO lacks readinto
            if not got:
                break
            done += got
        return done

    def skip(self, count: int) -> None:
        """See Stream."""
        self._file.seek(count, os.SEEK_CUR)


class GzipStream:
    """A gzip file of one or several members (RFC 1952), never unpacked to more than MAX_UNPACKED_BYTES.

    A damaged or cut member ends the stream with `broken` set; what was unpacked before stays.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self._packed = b""
        self._total_bytes = 0
        self._ended = False
        self.broken = False

    def fill(self, view: memoryview) -> int:
        """See Stream. Raises PcapError where the file unpacks to too much."""
        done = 0
        while done < len(view) and not self._ended:
            piece = self._unpack(len(view) - done)
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._total_bytes += len(piece)
            if self._total_bytes > MAX_UNPACKED_BYTES:
                raise PcapError(
                    f"the compressed file unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB",
                    "unpack it with gunzip and give the unpacked file",
                )
        return done

    def skip(self, count: int) -> None:
        """See Stream."""
        scrap = memoryview(bytearray(min(count, _PIECE_BYTES)))
        while count > 0:
            got = self.fill(scrap[: min(count, len(scrap))])
            if not got:
                return
            count -= got

    def _unpack(self, most_bytes: int) -> bytes:
        if self._member.eof:
            self._packed = self._member.unused_data
            self._member = zlib.decompressobj(_GZIP_WBITS)
            if not self._more():
                self._ended = True
                return b""
        elif not self._more():
            self._ended = self.broken = True
            return b""
        try:
            piece = self._member.decompress(self._packed, min(most_bytes, _PIECE_BYTES))
        except zlib.error:
            self._ended = self.broken = True
            return b""
        self._packed = self._member.unconsumed_tail
        return piece

    def _more(self) -> bool:
        """Whether there is anything left to feed."""
        if not self._packed:
            self._packed = self._file.read(_PIECE_BYTES)
        return bool(self._packed)


class Window:
    """A buffer that slides over a stream. `data[:size]` are the bytes from file offset `base`; PADDING_BYTES of zeros follow."""

    def __init__(self, stream: Stream, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._stream = stream
        self._capacity = buffer_bytes
        self.data: U8 = np.zeros(buffer_bytes + PADDING_BYTES, np.uint8)
        self.base = 0
        self.size = 0
        self.ended = False

    def advance(self, consumed_bytes: int) -> None:
        """Forget the first `consumed_bytes` and fill up again."""
        rest = self.size - consumed_bytes
        self.data[:rest] = self.data[consumed_bytes : self.size].copy()
        self.base += consumed_bytes
        got = self._stream.fill(self.data.data[rest : self._capacity])
        self.size = rest + got
        # Nothing consumed and nothing gained: a record that does not fit, in a file that grew since it was opened.
        self.ended = self.size < self._capacity or (consumed_bytes == 0 and got == 0)
        self.data[self.size : self.size + PADDING_BYTES] = 0

    @property
    def broken(self) -> bool:
        """Whether the container (gzip) ended early."""
        return self._stream.broken


class Source:
    """An open capture file; a context manager. Raises PcapError where it cannot be opened or read."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._files = ExitStack()

    def __enter__(self) -> Self:
        try:
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise PcapError("it is not a regular file", "give a pcap or pcapng file")
            self._file = self._files.enter_context(self._path.open("rb"))
        except OSError as error:
            raise unreadable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def stream(self) -> Stream:
        """The file's bytes from the start, unpacked."""
        self._file.seek(0)
        magic = self._file.read(2)
        self._file.seek(0)
        return GzipStream(self._file) if magic == _GZIP_MAGIC else PlainStream(self._file)

    def window(self) -> Window:
        """The file's bytes through a sliding buffer, its first part already read."""
        stream = self.stream()
        packed = isinstance(stream, GzipStream)
        # A small file needs no large buffer; one byte more than the file shows its end at once.
        size = BUFFER_BYTES if packed else min(BUFFER_BYTES, self._path.stat().st_size + 1)
        window = Window(stream, size)
        window.advance(0)
        return window


def unreadable(error: OSError) -> PcapError:
    """What is said of a file that the system refuses to read. The caller knows its name, so the message does not repeat it."""
    return PcapError(f"it cannot be read: {error.strerror or 'input/output error'}", "check the file's name and permissions")
