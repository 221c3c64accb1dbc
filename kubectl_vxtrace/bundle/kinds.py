"""What a file is, by its first bytes, and what to do with one that is no capture."""

import re
import string
import zlib
from enum import StrEnum
from typing import BinaryIO, Final

from kubectl_vxtrace.bundle import zstandard

_HEAD_BYTES: Final = 4096
_ZSTD_HEAD_BYTES: Final = (1 << 17) + 64
"""As much of a file as is looked at: a tar header (512 bytes), and enough of a compressed file to unpack one; of Zstandard a whole block,
which has at most 128 KiB (RFC 8878, 3.1.1.2.4)."""

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
# pcap-savefile(5): microseconds, nanoseconds, and Kuznetsov's modified format.
_PCAPS: Final = (b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d", b"\xa1\xb2\xcd\x34")
# In both byte orders; and a pcapng's section (its draft, 4.1).
_CAPTURES: Final = (*_PCAPS, *(magic[::-1] for magic in _PCAPS), b"\x0a\x0d\x0d\x0a")
_ZIPS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP_WBITS: Final = 31
# POSIX.1-1988's ustar magic; GNU's and pax archives have it as well.
_TAR_MAGIC: Final = (257, b"ustar")

# Captures' usual names, with the number that `tcpdump -C` appends (tcpdump(1)), and what they may be packed with.
_CAPTURE_NAME = re.compile(r"\.(?:pcapng|pcap|cap|dmp|ntar|etl)\d*(?:\.\d+)?(?:\.(?:gz|zst|xz|bz2))?$", re.IGNORECASE)

_UNPACK_FIRST: Final = "unpack it, and give the folder"
# What people send that is no capture: how the file begins, what that is, and what to do. etl has no magic; its name tells (see why_not).
_FOREIGN: Final = (
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", _UNPACK_FIRST),
    (b"Rar!\x1a\x07", "it is a rar archive", _UNPACK_FIRST),
    (b"\xfd7zXZ\x00", "it is packed with xz", "unpack it with unxz, and give what comes out"),
    (b"BZh", "it is packed with bzip2", "unpack it with bunzip2, and give what comes out"),
    (b"\x04\x22\x4d\x18", "it is packed with lz4", "unpack it with unlz4, and give what comes out"),
    (b"snoop\x00\x00\x00", "it is a snoop capture", "convert it with: editcap -F pcap OLD NEW"),
    (b"GMBU", "it is a Network Monitor capture", "convert it with: editcap -F pcap OLD NEW"),
    (
        b"\xff\xfe",
        "it was written through PowerShell's >, which changes the bytes",
        "record it again with tcpdump -w FILE, and copy the file",
    ),
)
_ETL: Final = ("it is a Windows event trace", "convert it with: etl2pcapng OLD NEW")
_TEXT: Final = frozenset(string.printable.encode())


class Kind(StrEnum):
    """What a file is. PACKED: a capture that has to be unpacked before it can be read; a gzipped one need not."""

    CAPTURE = "capture"
    PACKED = "packed capture"
    ZIP = "zip"
    TAR = "tar"
    OTHER = "other"


def head_of(stream: BinaryIO) -> bytes:
    """As many of a file's first bytes as `kind_of` needs."""
    head = _read(stream, _HEAD_BYTES)
    return head + _read(stream, _ZSTD_HEAD_BYTES - len(head)) if head.startswith(ZSTD) else head


def _read(stream: BinaryIO, count: int) -> bytes:
    """The next `count` bytes, fewer only at the end."""
    found = b""
    while len(found) < count and (piece := stream.read(count - len(found))):
        found += piece
    return found


def kind_of(head: bytes) -> Kind:
    """What a file is that begins with `head` (see head_of)."""
    if head.startswith(_ZIPS):
        return Kind.ZIP
    bare = _bare_kind(head)
    if bare is not Kind.OTHER:
        return bare
    if head.startswith(GZIP):
        return _bare_kind(_begin_of_gzip(head))
    if head.startswith(ZSTD):
        inside = _bare_kind(zstandard.begin(head, _HEAD_BYTES))
        return Kind.PACKED if inside is Kind.CAPTURE else inside
    return Kind.OTHER


def is_capture_name(name: str) -> bool:
    """Whether a file is called as a capture is."""
    return _CAPTURE_NAME.search(name) is not None


def why_not(name: str, head: bytes) -> str | None:
    """Why a file that is neither capture nor container cannot be read, and what to do; None for one that never claimed to be either."""
    said = next(((what, todo) for begin, what, todo in _FOREIGN if head.startswith(begin)), None)
    if head.startswith(ZSTD) and not zstandard.available():
        said = "it is packed with Zstandard, which this Python cannot unpack", zstandard.UNPACK_HINT
    if said is None and is_capture_name(name):
        said = _no_capture(name, head)
    return f"{said[0]}; {said[1]}" if said is not None else None


def _bare_kind(head: bytes) -> Kind:
    if head.startswith(_CAPTURES):
        return Kind.CAPTURE
    at, magic = _TAR_MAGIC
    return Kind.TAR if head[at : at + len(magic)] == magic else Kind.OTHER


def _no_capture(name: str, head: bytes) -> tuple[str, str]:
    if not head:
        return (
            "it is empty, without even a file header: tcpdump was killed before it wrote",
            "record it again with -U, and end it with SIGINT",
        )
    if name.lower().endswith(".etl"):
        return _ETL
    if head.startswith((GZIP, ZSTD)):
        return "it is damaged, or what is packed in it is no capture", "was it transferred whole?"
    if _TEXT.issuperset(head):
        return "it is not a capture but text", "record with tcpdump -w FILE, which writes the packets themselves"
    return "it is not a capture file", "give what tcpdump or Wireshark wrote: pcap or pcapng"


def _begin_of_gzip(head: bytes) -> bytes:
    """The first bytes of what is packed, none where it is damaged."""
    try:
        return zlib.decompressobj(_GZIP_WBITS).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""
