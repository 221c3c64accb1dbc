"""TCP sequence numbers as positions that do not wrap inside a frame."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.records import PORTS
from kubectl_vxtrace.model.packets import I64

SEQUENCE_SPACE = 1 << 32
"""Sequence numbers count modulo this (RFC 9293, 3.4)."""


def unwrapped(ports: I64, seqs: I64, lengths: I64) -> tuple[I64, bool]:
    """Where each frame begins, from 0 to SEQUENCE_SPACE - 1, counted on its client port from a number that lies inside no frame.

    That is half the space before the port's first number, where nothing lies as a rule; where connections that used the port one after the
    other put something there, the first number that no frame covers. False where a port has none: then some frames reach beyond the space.

    Args:
        ports, seqs, lengths: client port, sequence number and payload length of the data frames of all hops.
    """
    zero = np.zeros(PORTS, dtype=np.int64)
    zero[ports[::-1]] = seqs[::-1] - SEQUENCE_SPACE // 2
    begins = (seqs - zero[ports]) % SEQUENCE_SPACE
    across = begins + lengths > SEQUENCE_SPACE
    if not across.any():
        return begins, True
    torn = np.zeros(PORTS, dtype=np.bool_)
    torn[ports[across]] = True
    of_torn = np.flatnonzero(torn[ports])
    of_torn = of_torn[np.lexsort((begins[of_torn], ports[of_torn]))]
    uncovered = _uncovered(ports[of_torn], begins[of_torn], lengths[of_torn])
    whole = np.zeros(PORTS, dtype=np.bool_)
    # of several that are written to one place the last one stays; backwards that is the first
    chosen = of_torn[uncovered][::-1]
    zero[ports[chosen]], whole[ports[chosen]] = seqs[chosen], True
    return (seqs - zero[ports]) % SEQUENCE_SPACE, bool(whole[torn].all())


def _uncovered(ports: I64, starts: I64, lengths: I64) -> NDArray[np.intp]:
    """Frames that begin where no other frame of their port lies; sorted by port and start."""
    ends = starts + lengths
    beyond = np.zeros(PORTS, dtype=np.int64)
    np.maximum.at(beyond, ports, ends - SEQUENCE_SPACE)
    base = ports << 34
    furthest = np.maximum.accumulate(base + ends)
    before = np.maximum(np.concatenate([[-1], furthest[:-1]]), base + beyond[ports])
    return np.flatnonzero(base + starts >= before)
