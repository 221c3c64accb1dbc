"""Zstandard: in the standard library from Python 3.14 on (PEP 784), before that in its backport."""

import sys
from types import ModuleType
from typing import BinaryIO, cast

_ZSTD: ModuleType | None = None
try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    _ZSTD = zstd
except ImportError:  # a platform that it was not built for
    pass

UNPACK_HINT = "unpack it with: unzstd FILE"
ERRORS: tuple[type[Exception], ...] = () if _ZSTD is None else (_ZSTD.ZstdError,)
"""What reading a damaged file raises."""


def available() -> bool:
    """Whether this Python can unpack it."""
    return _ZSTD is not None


def opened(file: BinaryIO) -> BinaryIO:
    """What is packed in `file`, unpacked as it is read. Raises one of ERRORS or EOFError where it is damaged."""
    if _ZSTD is None:
        raise NotImplementedError(UNPACK_HINT)
    return cast(BinaryIO, _ZSTD.ZstdFile(file))


def begin(head: bytes, most_bytes: int) -> bytes:
    """The first bytes of what is packed in a file that begins with `head`; none where that is damaged, or nobody can unpack it."""
    if _ZSTD is None:
        return b""
    try:
        return cast(bytes, _ZSTD.ZstdDecompressor().decompress(head, most_bytes))
    except _ZSTD.ZstdError:
        return b""
