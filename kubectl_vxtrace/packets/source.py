"""A capture file, or what is in memory of one, as a stream of bytes: plain or gzip, read through one buffer of fixed size."""

import io
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import U8
from kubectl_vxtrace.packets.streams import AheadStream, GzipStream, MemoryStream, PlainStream, Stream

BUFFER_BYTES = 16 << 20
"""Bytes of a file that are in memory at once. Must hold the largest record (262,144 bytes, a pcapng block 16 MiB - 1) whole."""

PADDING_BYTES = 128
"""Zero bytes behind the buffer, so that a header or the hashed bytes of payload can be gathered from any place inside it."""

_AHEAD_BYTES = 4 << 20
_AHEAD_PIECES = 4
_LEAST_AHEAD_BYTES = 1 << 20
_LEAST_RECORD_BYTES = 16
_LEAST_PACKED_BYTES = 4
_MOST_DEFLATED = 1032
"""Bytes that one byte can unpack to: two bits for 258 (RFC 1951, 3.2.5)."""

_FREE_PACKETS = 1_000_000
_GZIP_MAGIC = b"\x1f\x8b"


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
    """An open capture file, or the bytes of one; a context manager. Raises PcapError where it cannot be opened or read."""

    def __init__(self, capture: str | Path | bytes | bytearray) -> None:
        self._capture = capture
        self._content: memoryview | None = None
        self._file: BinaryIO = io.BytesIO()
        self._files = ExitStack()

    def __enter__(self) -> Self:
        if isinstance(self._capture, bytes | bytearray):
            self._content = self._files.enter_context(memoryview(self._capture))
            self._size_bytes = len(self._content)
            self._packed = self._content[: len(_GZIP_MAGIC)] == _GZIP_MAGIC
            if self._packed:
                self._file = io.BytesIO(self._content)
            return self
        path = Path(self._capture)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise PcapError("it is not a regular file", "give a pcap or pcapng file")
            self._file = self._files.enter_context(path.open("rb"))
            self._size_bytes = path.stat().st_size
            self._packed = self._file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        except OSError as error:
            self._files.close()
            raise unreadable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    @property
    def most_packets(self) -> int:
        """How many packets there can be, so that memory is bounded by the file's size.

        The shortest record has 16 bytes (pcap-savefile(5)). Packed, one of a real capture takes more than 4, as time stamps differ; one
        of a file that is made to fill memory takes 1/64.
        """
        if self._packed:
            return _FREE_PACKETS + self._size_bytes // _LEAST_PACKED_BYTES
        return self._size_bytes // _LEAST_RECORD_BYTES

    def stream(self) -> Stream:
        """The file's bytes from the start, unpacked."""
        if self._content is not None and not self._packed:
            return MemoryStream(self._content)
        self._file.seek(0)
        return GzipStream(self._file, self._size_bytes) if self._packed else PlainStream(self._file)

    def window(self) -> Window:
        """The file's bytes through a sliding buffer, its first part already read. To be asked for once."""
        stream = self.stream()
        # A small file needs no large buffer; one byte more than the file shows its end at once.
        size = min(BUFFER_BYTES, self._size_bytes * (_MOST_DEFLATED if self._packed else 1) + 1)
        if self._packed and self._size_bytes >= _LEAST_AHEAD_BYTES:
            stream = ahead = AheadStream(stream, _AHEAD_BYTES, _AHEAD_PIECES)
            self._files.callback(ahead.close)
        window = Window(stream, size)
        window.advance(0)
        return window


def unreadable(error: OSError) -> PcapError:
    """What is said of a file that the system refuses to read. The caller knows its name, so the message does not repeat it."""
    return PcapError(f"it cannot be read: {error.strerror or 'input/output error'}", "check the file's name and permissions")
