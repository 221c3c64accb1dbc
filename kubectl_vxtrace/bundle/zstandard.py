"""Zstandard: in the standard library from Python 3.14 on (PEP 784), before that in its backport."""

import sys
from typing import BinaryIO, cast

try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:  # packed without it, or a platform that it was not built for
    zstd = None

UNPACK_HINT = "unpack it with: unzstd FILE"
ERRORS: tuple[type[Exception], ...] = () if zstd is None else (zstd.ZstdError,)
"""What reading a damaged file raises."""


def available() -> bool:
    """Whether this Python can unpack it."""
    return zstd is not None


def opened(file: BinaryIO) -> BinaryIO:
    """What is packed in `file`, unpacked as it is read. Raises one of ERRORS or EOFError where it is damaged."""
    return cast(BinaryIO, zstd.ZstdFile(file))


def begin(head: bytes, most_bytes: int) -> bytes:
    """The first bytes of what is packed in a file that begins with `head`; none where that is damaged, or nobody can unpack it."""
    if zstd is None:
        return b""
    try:
        return zstd.ZstdDecompressor().decompress(head, most_bytes)
    except zstd.ZstdError:
        return b""
