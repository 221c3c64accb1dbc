"""What became of each packet: delivered, lost between two witnesses, or undetermined."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import PORTS
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.packets import I32, U8


@dataclass(slots=True, kw_only=True)
class Outcomes:
    """OutcomeCode, and the hop numbers of the leg that lost it (0: none), of each packet of a path."""

    code: U8
    lost_from: I32
    lost_to: I32


def outcomes_of(
    seen: NDArray[np.bool_], passed: I32, witness: Sequence[bool], *, arrives: bool, continues_at_witnesses: bool = False
) -> Outcomes:
    """Outcome of each packet of one path.

    Lost means: seen at a witness, absent at the next one and at every later hop. A packet that was last seen between two witnesses
    is lost between these, if the first of them saw it.

    Args:
        seen: shape (n, hops).
        passed: how many hops each has provably passed, seen there or not; one more than there are: it arrived.
        witness: for each hop whether it is a witness for absence.
        arrives: whether the path's last hop is where packets are to arrive; False where only the beginning of the path is known.
        continues_at_witnesses: for a path that only is a beginning, whether all taps that may come next are witnesses.
    """
    count, length = seen.shape
    outcomes = Outcomes(
        code=np.full(count, OutcomeCode.UNDETERMINED, dtype=np.uint8),
        lost_from=np.zeros(count, dtype=np.int32),
        lost_to=np.zeros(count, dtype=np.int32),
    )
    if not length or not count:
        return outcomes
    last = np.maximum(length - 1 - np.argmax(seen[:, ::-1], axis=1), np.minimum(passed, length) - 1)
    index = np.arange(length)
    is_witness = np.array(witness, dtype=np.bool_)
    before = np.maximum.accumulate(np.where(is_witness, index, -1))[last]
    after = np.append(np.minimum.accumulate(np.where(is_witness, index, length)[::-1])[::-1], length)[last + 1]
    saw = (before >= 0) & (seen[np.arange(count), np.maximum(before, 0)] | (before < passed))
    lost = saw & ((after < length) | continues_at_witnesses)
    outcomes.code[lost] = OutcomeCode.LOST
    outcomes.lost_from[lost] = before[lost] + 1
    outcomes.lost_to[lost] = np.where(after < length, after + 1, 0)[lost]
    arrived = (passed > length) | (arrives & (last == length - 1))
    outcomes.code[arrived] = OutcomeCode.DELIVERED
    for column in (outcomes.lost_from, outcomes.lost_to):
        column[arrived] = 0
    return outcomes


def mark_merged_acks(outcomes: Outcomes, pure_ack: NDArray[np.bool_], merging: NDArray[np.bool_]) -> None:
    """Pure ACKs that vanished at a hop that merges segments of their connection may live on in a merged one: undetermined.

    `merging` has shape (n, hops): whether that hop holds merged segments of the packet's connection and direction.
    """
    lost = (outcomes.code == OutcomeCode.LOST) & pure_ack & (outcomes.lost_to > 0)
    lost[lost] = merging[np.flatnonzero(lost), outcomes.lost_to[lost] - 1]
    mark_undetermined(outcomes, lost, OutcomeCode.LOST)


def possibly_resegmented(
    outcomes: Outcomes, trajectories: Trajectories, counted: NDArray[np.bool_], witness: Sequence[bool]
) -> NDArray[np.bool_]:
    """Datagrams that vanished before a hop from which on smaller or larger ones of their socket come into being behind a witness.

    Offloads may have cut the one into the others, or merged these into the one, in a way that nothing shows.
    """
    client_port, payload_bytes, first = trajectories.client_port, trajectories.largest_payload_bytes, trajectories.first
    behind_witness = np.concatenate([[False], np.logical_or.accumulate(np.array(witness, dtype=np.bool_))])
    last_birth = np.full(PORTS, -1, dtype=np.int32)
    least_bytes, most_bytes = np.full(PORTS, np.iinfo(np.int32).max, dtype=np.int32), np.zeros(PORTS, dtype=np.int32)
    is_born = counted & behind_witness[first]
    born = np.flatnonzero(is_born)
    np.maximum.at(last_birth, client_port[born], first[born])
    np.minimum.at(least_bytes, client_port[born], payload_bytes[born])
    np.maximum.at(most_bytes, client_port[born], payload_bytes[born])
    lost = (outcomes.code == OutcomeCode.LOST) & (outcomes.lost_to > 0)
    may_be_cut = ~is_born & (payload_bytes > least_bytes[client_port])
    may_be_merged = payload_bytes < most_bytes[client_port]
    return np.asarray(lost & (last_birth[client_port] >= outcomes.lost_to - 1) & (may_be_cut | may_be_merged))


def mark_undetermined(outcomes: Outcomes, which: NDArray[np.bool_], *codes: OutcomeCode) -> None:
    """Makes those of `which` undetermined whose outcome is one of `codes`."""
    chosen = which & np.isin(outcomes.code, codes)
    outcomes.code[chosen] = OutcomeCode.UNDETERMINED
    for column in (outcomes.lost_from, outcomes.lost_to):
        column[chosen] = 0


def mark_lost_at_end(outcomes: Outcomes, which: NDArray[np.bool_], hops: int) -> None:
    """Mark delivered packets as lost behind the last of so many hops."""
    chosen = which & (outcomes.code == OutcomeCode.DELIVERED)
    outcomes.code[chosen] = OutcomeCode.LOST
    outcomes.lost_from[chosen] = hops
    outcomes.lost_to[chosen] = 0
