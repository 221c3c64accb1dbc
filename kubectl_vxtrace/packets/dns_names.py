"""DNS messages (RFC 1035) with other names and addresses in place of theirs, of the same length; what is not understood becomes zero."""

from collections.abc import Callable
from typing import Protocol

_HEADER_BYTES = 12
_MOST_LABELS = 128
_ADDRESS_BYTES = {1: 4, 28: 16}  # A, AAAA (RFC 3596)
_NAME_AT = {2: 0, 5: 0, 12: 0, 39: 0, 15: 2, 33: 6}
"""Where a name begins in the data of NS, CNAME, PTR, DNAME, MX and SRV."""
_SOA, _OPT = 6, 41
_SUBNET, _SUBNET_HEADER_BYTES = 8, 4
"""EDNS client subnet (RFC 7871, 6): an address behind so many bytes."""


class Pseudonyms(Protocol):
    """What names and addresses become."""

    def labels(self, labels: list[str]) -> list[str]:
        """Of a name's labels, as long each; characters are bytes (ISO 8859-1)."""

    def address(self, packed: bytes) -> bytes:
        """Of an address of 4 or 16 bytes in network order."""


class _Cut(Exception):  # noqa: N818
    """The message ends here, or was captured up to here."""


def rewritten(message: bytes, pseudonyms: Pseudonyms) -> bytes | None:
    """The message with pseudonyms, as far as it goes; None where it is no DNS message."""
    if len(message) < _HEADER_BYTES:
        return None
    questions, *records = (int.from_bytes(message[at : at + 2]) for at in range(4, _HEADER_BYTES, 2))
    if questions > 16 or sum(records) > 4096 or not questions + sum(records):
        return None
    writer = _Writer(message, pseudonyms)
    try:
        for _ in range(questions):
            writer.name()
            writer.step(4)
        for _ in range(sum(records)):
            writer.record()
    except _Cut:
        pass
    return writer.finished()


class _Writer:
    def __init__(self, message: bytes, pseudonyms: Pseudonyms) -> None:
        self._old, self._new = message, bytearray(len(message))
        self._new[:_HEADER_BYTES] = message[:_HEADER_BYTES]
        self._at = _HEADER_BYTES
        self._pseudonyms = pseudonyms

    def finished(self) -> bytes:
        """All that was understood; zeros behind."""
        return bytes(self._new)

    def step(self, length: int) -> bytes:
        """Leave so many bytes as they are."""
        part = self._old[self._at : self._at + length]
        self._new[self._at : self._at + len(part)] = part
        self._at += length
        if len(part) < length:
            raise _Cut
        return part

    def name(self) -> None:
        """A name: the labels that stand here are replaced, in knowledge of those that a pointer leads to."""
        labels, places, after = self._labels(self._at)
        for place, label in zip(places, self._pseudonyms.labels(labels), strict=True):
            if place is not None:
                self._new[place : place + len(label)] = label.encode("latin-1")
        for at in (place for place in places if place is not None):
            self._new[at - 1] = self._old[at - 1]
        if after is None:
            raise _Cut
        end = min(after, len(self._old))
        begin = next((place + self._old[place - 1] for place in reversed(places) if place is not None), self._at)
        self._new[begin:end] = self._old[begin:end]
        self._at = after

    def _labels(self, at: int) -> tuple[list[str], list[int | None], int | None]:
        """The labels of a name, where each begins if it does here and not behind a pointer, and what follows; None where it is cut."""
        labels: list[str] = []
        places: list[int | None] = []
        after: int | None = None
        for _ in range(_MOST_LABELS):
            size = self._old[at] if at < len(self._old) else -1
            if size == 0:
                return labels, places, at + 1 if after is None else after
            if size & 0xC0 == 0xC0 and size >= 0 and at + 2 <= len(self._old):
                after = at + 2 if after is None else after
                target = int.from_bytes(self._old[at : at + 2]) & 0x3FFF
                if target >= at:
                    return labels, places, after
                at = target
            elif 0 < size < 0x40 and at + 1 + size <= len(self._old):
                labels.append(self._old[at + 1 : at + 1 + size].decode("latin-1"))
                places.append(at + 1 if after is None else None)
                at += 1 + size
            else:
                return labels, places, after
        return labels, places, after

    def record(self) -> None:
        """A resource record (RFC 1035, 4.1.3)."""
        self.name()
        fixed = self.step(10)
        kind, length = int.from_bytes(fixed[:2]), int.from_bytes(fixed[8:])
        end = self._at + length
        if length == _ADDRESS_BYTES.get(kind):
            place = self._at
            self._new[place : place + length] = self._pseudonyms.address(self.step(length))
        elif kind in _NAME_AT and length > _NAME_AT[kind]:
            self.step(_NAME_AT[kind])
            self.name()
        elif kind == _SOA:
            self.name()
            self.name()
            self.step(20)
        elif kind == _OPT:
            self._options(end)
        self._at = end
        if end > len(self._old):
            raise _Cut

    def _options(self, end: int) -> None:
        """Options of EDNS (RFC 6891, 6.1.2): codes and lengths."""
        while self._at + 4 <= end:
            header = self.step(4)
            behind = self._at + int.from_bytes(header[2:])
            if int.from_bytes(header[:2]) == _SUBNET:
                self.step(min(_SUBNET_HEADER_BYTES, behind - self._at))
            self._at = behind


def rewritten_stream(data: bytes, pseudonyms: Pseudonyms) -> bytes | None:
    """As `rewritten`, of messages over TCP, each behind its length (RFC 1035, 4.2.2); None where the data does not begin with one."""
    made, at = bytearray(), 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2])
        if at + 2 > len(data) or length < _HEADER_BYTES:
            break
        message = rewritten(data[at + 2 : at + 2 + length], pseudonyms)
        if message is None:
            break
        made += data[at : at + 2] + message
        at += 2 + length
    return bytes(made) + bytes(len(data) - len(made)) if made else None


Rewrite = Callable[[bytes, Pseudonyms], bytes | None]
