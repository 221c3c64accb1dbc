"""Frames in a buffer: where each one lies, and reading header fields of many at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64, U8, U16, U64

MAX_WIRE_BYTES = 2**31 - 1
"""Longer lengths on the wire are read as this."""

ROWS = 16384
"""Frames decoded together: their columns stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """n captured frames. `at` indexes `data`, in which at least 128 bytes follow the last frame.

    offset: of the record in the file. time_ns: Unix ns. wire_bytes, captured_bytes: lengths; `captured_bytes` all lie in `data`.
    link_type: each frame's; None where all are Ethernet. interface: the reader's number of each frame's interface; None where all are 0.
    """

    data: U8
    at: I64
    captured_bytes: I64
    wire_bytes: I64
    time_ns: I64
    offset: I64
    link_type: U16 | None = None
    interface: I32 | None = None

    def __len__(self) -> int:
        return len(self.at)

    def part(self, start: int, stop: int) -> "Frames":
        """Rows `start` to `stop`."""
        rows = slice(start, stop)
        return Frames(
            self.data,
            self.at[rows],
            self.captured_bytes[rows],
            self.wire_bytes[rows],
            self.time_ns[rows],
            self.offset[rows],
            None if self.link_type is None else self.link_type[rows],
            None if self.interface is None else self.interface[rows],
        )

    def take(self, at: I64, dtype: np.dtype[Any]) -> NDArray[Any]:
        """One `dtype` record from each place. The caller has checked that it was captured there."""
        return take(self.data, at, dtype)


def take(data: U8, at: I64, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Copy `dtype.itemsize` bytes from each place `at` and read them as `dtype`.

    Copied as opaque bytes: numpy gathers those by memcpy, twice as fast as numbers at odd addresses and six times as fast as records.
    """
    size = dtype.itemsize
    everywhere: NDArray[np.void] = np.ndarray((max(len(data) - size + 1, 0),), f"V{size}", data, 0, (1,))
    found: NDArray[Any] = everywhere[at].view(dtype)
    return found


def u64(field: NDArray[Any]) -> U64:
    """A field as native 64-bit numbers."""
    wide: U64 = field.astype(np.uint64)
    return wide


def i64(field: NDArray[Any]) -> I64:
    """A field as native signed 64-bit numbers."""
    wide: I64 = field.astype(np.int64)
    return wide
