"""Just enough DNS (RFC 1035) to say in one line what was asked and answered."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from kubectl_vxtrace.model.text import clean_bytes

_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 64: "SVCB", 65: "HTTPS", 255: "ANY"}
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 9: "NOTAUTH", 10: "NOTZONE"}
_HEADER_BYTES = 12
_ID_BYTES = 2
_RESPONSE, _TRUNCATED = 0x8000, 0x0200
_MOST_NAME_BYTES = 255
_MOST_POINTERS = 16
_MOST_ANSWERS = 4


class _NotDnsError(Exception):
    """The bytes are no DNS message, or were not captured so far."""


@dataclass(slots=True)
class _Reader:
    data: bytes
    at: int = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        size = struct.calcsize(layout)
        if self.at + size > len(self.data):
            raise _NotDnsError
        found = struct.unpack_from(layout, self.data, self.at)
        self.at += size
        return found

    def name(self) -> str:
        """A name, its compression pointers followed: only backwards, and only so many, so that no message makes it loop."""
        labels, length, at, after, pointers = [], 0, self.at, -1, 0
        while True:
            if at >= len(self.data):
                raise _NotDnsError
            size = self.data[at]
            if size & 0xC0 == 0xC0:
                target = int.from_bytes(self.data[at : at + 2]) & 0x3FFF
                pointers += 1
                if at + 2 > len(self.data) or target >= at or pointers > _MOST_POINTERS:
                    raise _NotDnsError
                after = at + 2 if after < 0 else after
                at = target
                continue
            length += size + 1
            if size & 0xC0 or length > _MOST_NAME_BYTES or at + 1 + size > len(self.data):
                raise _NotDnsError
            at += 1 + size
            if not size:
                break
            labels.append(clean_bytes(self.data[at - size : at]))
        self.at = at if after < 0 else after
        return ".".join(labels) or "."


def describe(message: bytes) -> str | None:
    """`A? name`, or `A name NOERROR 10.0.0.1`; None where the bytes are no DNS question or answer with one question.

    `message` may be cut: answers that were not captured are left out, which `...` says.
    """
    return _describe(message[_ID_BYTES:])


@lru_cache(maxsize=1024)
def _describe(behind_id: bytes) -> str | None:
    """The same of all but the id: the same is asked again and again."""
    reader = _Reader(bytes(_ID_BYTES) + behind_id)  # names point back into the whole message
    try:
        _, flags, questions, answers, _, _ = reader.numbers(">6H")
        if questions != 1 or flags & 0x7800 or flags & 0x0040:
            return None
        name = reader.name()
        kind, class_ = reader.numbers(">HH")
    except _NotDnsError:
        return None
    if class_ & 0x7FFF != 1:
        return None
    asked = _TYPES.get(kind, f"TYPE{kind}")
    if not flags & _RESPONSE:
        return f"{asked}? {name}"
    rcode = _RCODES.get(flags & 0x0F, f"RCODE{flags & 0x0F}")
    said = _answers(reader, answers)
    return " ".join([asked, name, rcode, *(["truncated"] if flags & _TRUNCATED else []), *([", ".join(said)] if said else [])])


def _answers(reader: _Reader, count: int) -> list[str]:
    """Addresses and names of the answer section, the first few."""
    found: list[str] = []
    for _ in range(count):
        if len(found) == _MOST_ANSWERS:
            return [*found, "..."]
        try:
            reader.name()
            kind, _, _, length = reader.numbers(">HHIH")
            found.append(_data(reader, kind, length))
        except _NotDnsError:
            return [*found, "..."]
    return found


def _data(reader: _Reader, kind: int, length: int) -> str:
    start = reader.at
    raw = reader.data[start : start + length]
    if len(raw) < length:
        raise _NotDnsError
    if kind == 1 and length == 4:
        text = str(IPv4Address(raw))
    elif kind == 28 and length == 16:
        text = str(IPv6Address(raw))
    elif kind in (2, 5, 12):
        text = reader.name()
    elif kind == 33 and length > 6:
        _, _, port = reader.numbers(">HHH")
        text = f"{reader.name()}:{port}"
    else:
        text = _TYPES.get(kind, f"TYPE{kind}")
    reader.at = start + length
    return text
