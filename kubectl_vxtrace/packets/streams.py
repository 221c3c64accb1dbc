"""The bytes of a capture file in order: plain, gzipped, in memory, or read ahead by a thread."""

import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Protocol

from kubectl_vxtrace.errors import PcapError

MOST_UNPACKED_BYTES = 1 << 30
MOST_UNPACKED_RATIO = 100
"""A gzip file may unpack to 1 GiB and 100 times its own size; reading ends there with an error, as a file of a few megabytes can unpack
to 1,000 times its size (RFC 1951's most). Captures that hold nothing but one packet again and again have a ratio of about 30."""

PIECE_BYTES = 1 << 18
_LEAST_FEED_BYTES = 1 << 14
_MOST_FEED_BYTES = 1 << 17
_GZIP_WBITS = 31


class Stream(Protocol):
    """Bytes in order."""

    @property
    def broken(self) -> bool:
        """Whether the bytes ended before their container (gzip) did."""
        ...

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


class MemoryStream:
    """Bytes that are in memory."""

    broken = False

    def __init__(self, content: memoryview) -> None:
        self._left = content

    def fill(self, view: memoryview) -> int:
        """See Stream."""
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def skip(self, count: int) -> None:
        """See Stream."""
        self._left = self._left[count:]


class GzipStream:
    """A gzip file of one or several members (RFC 1952), `packed_bytes` long; see MOST_UNPACKED_BYTES for how much comes out.

    A damaged or cut member ends the stream with `broken` set; what was unpacked before stays.
    """

    def __init__(self, file: BinaryIO, packed_bytes: int) -> None:
        self._file = file
        self._most_bytes = MOST_UNPACKED_BYTES + MOST_UNPACKED_RATIO * packed_bytes
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self._packed = b""
        self._feed_bytes = _LEAST_FEED_BYTES
        self._total_bytes = 0
        self._ended = self._holding = False
        self.broken = False

    def fill(self, view: memoryview) -> int:
        """See Stream. Raises PcapError where the file unpacks to too much."""
        done = 0
        while done < len(view) and not self._ended:
            piece = self._unpack(len(view) - done)
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._total_bytes += len(piece)
            if self._total_bytes > self._most_bytes:
                raise PcapError(
                    f"the compressed file unpacks to more than {self._most_bytes >> 20} MiB",
                    "unpack it with gunzip and give the unpacked file",
                )
        return done

    def skip(self, count: int) -> None:
        """See Stream."""
        scrap = memoryview(bytearray(min(count, PIECE_BYTES)))
        while count > 0:
            got = self.fill(scrap[: min(count, len(scrap))])
            if not got:
                return
            count -= got

    def _unpack(self, most_bytes: int) -> bytes:
        if self._member.eof:
            self._packed = self._member.unused_data
            self._feed_bytes = _LEAST_FEED_BYTES
            self._member = zlib.decompressobj(_GZIP_WBITS)
            if not self._more():
                self._ended = True
                return b""
        elif not self._more() and not self._holding:
            self._ended = self.broken = True
            return b""
        most_bytes = min(most_bytes, PIECE_BYTES)
        try:
            piece = self._member.decompress(self._packed, most_bytes)
        except zlib.error:
            self._ended = self.broken = True
            return b""
        self._packed = self._member.unconsumed_tail
        # It may have taken all of its input and hold what there was no room for.
        self._holding = len(piece) == most_bytes
        return piece

    def _more(self) -> bool:
        """Whether there is anything left to feed: a little at first, as zlib copies what is behind a member's end for each member.

        More as the member goes on: each call waits for the interpreter's lock when it ends, while another thread decodes.
        """
        if not self._packed:
            self._packed = self._file.read(self._feed_bytes)
            self._feed_bytes = min(2 * self._feed_bytes, _MOST_FEED_BYTES)
        return bool(self._packed)


class AheadStream:
    """Another stream, read by a thread of its own: `pieces` of `piece_bytes` are unpacked while those before are decoded. To be closed."""

    def __init__(self, stream: Stream, piece_bytes: int, pieces: int) -> None:
        self._stream = stream
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._coming: deque[tuple[bytearray, Future[int]]] = deque()
        self._used = bytearray()
        self._piece = memoryview(self._used)
        for _ in range(pieces):
            self._ask(bytearray(piece_bytes))

    @property
    def broken(self) -> bool:
        """See Stream; of the bytes that were asked for and those that are ready."""
        return self._stream.broken

    def fill(self, view: memoryview) -> int:
        """See Stream."""
        done = 0
        while done < len(view) and (len(self._piece) or self._turn()):
            count = min(len(view) - done, len(self._piece))
            view[done : done + count] = self._piece[:count]
            self._piece = self._piece[count:]
            done += count
        return done

    def skip(self, count: int) -> None:
        """See Stream."""
        while count > 0 and (len(self._piece) or self._turn()):
            passed = min(count, len(self._piece))
            self._piece = self._piece[passed:]
            count -= passed

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _turn(self) -> bool:
        """Take the next piece that was read ahead, and have the buffer of the one that was used up filled again; False at the end."""
        if self._used:
            self._ask(self._used)
        self._used, filled = self._coming.popleft()
        self._piece = memoryview(self._used)[: filled.result()]
        return len(self._piece) > 0

    def _ask(self, buffer: bytearray) -> None:
        self._coming.append((buffer, self._thread.submit(self._stream.fill, memoryview(buffer))))
