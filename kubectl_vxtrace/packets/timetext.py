"""Times of many packets as text, by columns."""

import numpy as np

from kubectl_vxtrace.model.packets import I64, U8

CLOCK_TEXT_BYTES = len("12:34:56.123456789 UTC")
_DAY_S = 86_400
_SECOND_NS = 1_000_000_000


def clock_text(time_ns: I64) -> U8:
    """The time of day of Unix ns as `HH:MM:SS.nnnnnnnnn UTC` in ASCII: an array of CLOCK_TEXT_BYTES columns."""
    text = np.empty((len(time_ns), CLOCK_TEXT_BYTES), np.uint8)
    text[:] = np.frombuffer(b"00:00:00.000000000 UTC", np.uint8)
    seconds, fraction = np.divmod(time_ns, _SECOND_NS)
    seconds %= _DAY_S
    for column, value in ((0, seconds // 3600), (3, seconds // 60 % 60), (6, seconds % 60)):
        text[:, column] += (value // 10).astype(np.uint8)
        text[:, column + 1] += (value % 10).astype(np.uint8)
    for column in range(17, 8, -1):
        fraction, digit = np.divmod(fraction, 10)
        text[:, column] += digit.astype(np.uint8)
    return text
