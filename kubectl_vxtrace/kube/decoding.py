"""JSON of the API as records, from any thread."""

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_BUILDING = threading.Lock()


def decode(body: bytes | bytearray | msgspec.Raw, type_: type[T]) -> T:
    """The record that `body` says.

    One thread at a time makes a decoder: msgspec 0.22 publishes what it knows of a Struct before all of its fields' types are set
    (StructInfo_Convert in _core.c), and a second thread that meets such a one at its first use ends the process with SIGSEGV.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is not JSON of that shape.
    """
    decoder = _DECODERS.get(type_)
    if decoder is None:
        with _BUILDING:
            decoder = _DECODERS.setdefault(type_, msgspec.json.Decoder(type_))
    record: T = decoder.decode(body)
    return record
