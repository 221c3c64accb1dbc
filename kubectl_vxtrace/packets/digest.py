"""A hash of the first bytes of L4 payload, the same at every hop."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U64, Kind
from kubectl_vxtrace.packets.cursor import Columns
from kubectl_vxtrace.packets.frames import Frames, take

DIGEST_BYTES = 96
"""What is hashed; most DNS questions have fewer. Must not exceed source.PADDING_BYTES."""

LEAST_DIGEST_BYTES = 16
"""Fewer tell too little: a datagram of which fewer were captured has no digest, rather than all others such a short one."""

_WORDS = DIGEST_BYTES // 8
_SHIFT = np.uint64(32)
# The bytes of each word that belong to a payload of so many bytes.
_MASKS = np.array(
    [[(1 << 8 * min(max(length - 8 * word, 0), 8)) - 1 for length in range(DIGEST_BYTES + 1)] for word in range(_WORDS)], np.uint64
)
# Odd multipliers, one for each place; taken from splitmix64's sequence.
_PLACE = (np.arange(1, _WORDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def digests(frames: Frames, decoded: Columns, digest_bytes: int = DIGEST_BYTES) -> U64:
    """The digest column of PacketTable: never 0 where all of the first `digest_bytes`, or all that there are, were captured."""
    length = np.minimum(decoded.payload_bytes, digest_bytes).astype(np.int64)
    # Options of a header need not be captured: nothing may be behind what was, and be all that there is.
    at = np.where(length > 0, decoded.payload_at, frames.at)
    known = (decoded.kind == Kind.IP) & (at + length <= frames.at + frames.captured_bytes)
    if known.all():
        return _hash(frames, at, length)
    found = np.zeros(len(at), np.uint64)
    found[known] = _hash(frames, at[known], length[known])
    return found


def common_payload_bytes(frames: Frames, decoded: Columns) -> int:
    """How many of the first DIGEST_BYTES of payload, or all that there are, were captured of each packet; see PacketTable."""
    captured = frames.at + frames.captured_bytes - decoded.payload_at
    cut = (decoded.kind == Kind.IP) & (captured < np.minimum(decoded.payload_bytes, DIGEST_BYTES)) & (captured >= LEAST_DIGEST_BYTES)
    return int(captured[cut].min(initial=DIGEST_BYTES))


def _hash(frames: Frames, at: I64, length: I64) -> U64:
    block: NDArray[np.uint64] = take(frames.data, at, np.dtype(f"V{DIGEST_BYTES}")).view("<u8").reshape(-1, _WORDS)
    hashed = length.astype(np.uint64)
    longest = int(length.max(initial=0))
    for word in range((longest + 7) // 8):
        # A word of zeros adds nothing, so those behind the longest payload of a batch can be left out.
        values = _MASKS[word].take(length)
        values &= block[:, word]
        values *= _PLACE[word]
        values ^= values >> _SHIFT
        hashed += values
    hashed *= _MIX
    hashed ^= hashed >> _SHIFT
    hashed *= _MIX
    hashed ^= hashed >> _SHIFT
    never_zero: U64 = np.maximum(hashed, np.uint64(1))
    return never_zero
