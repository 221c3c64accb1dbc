"""What became of each journey: delivered, lost between two witnesses, or not to be known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.packets import I32, U8


@dataclass(slots=True, kw_only=True)
class Outcomes:
    """Outcome, and the hop numbers of the leg that lost it (0: none), per journey."""

    outcome: U8
    lost_from: I32
    lost_to: I32


def demoted(seen: NDArray[np.bool_], reached: I32, witness: Sequence[bool]) -> tuple[int, ...]:
    """How many journeys each witness missed that were seen before it and passed it: they were seen behind it, or came so far (`reached`,
    a number of hops); such a hop is no witness for absence."""
    if not len(seen):
        return (0,) * len(witness)
    before = np.logical_or.accumulate(seen, axis=1)
    after = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1] | (np.arange(seen.shape[1]) < reached[:, None])
    missed = (before & after & ~seen).sum(axis=0)
    return tuple(int(count) if is_witness else 0 for count, is_witness in zip(missed, witness, strict=True))


def judge(seen: NDArray[np.bool_], reached: I32, witness: Sequence[bool], *, arrives: bool, parting_witnessed: bool = False) -> Outcomes:
    """Outcome of each journey of one path.

    Lost means: seen at a witness, absent at the next one and at every later hop. A journey that was last seen between two witnesses
    is lost between these, if the first of them saw it.

    Args:
        seen: shape (n, hops).
        reached: how many hops each has provably passed, seen there or not; one more than there are: it arrived behind them.
        witness: for each hop whether it is a witness for absence.
        arrives: whether the path's last hop is where packets are to arrive; False where only the beginning of the way is known.
        parting_witnessed: for a path that only is a beginning, whether all taps that may come next are witnesses.
    """
    count, length = seen.shape
    outcomes = Outcomes(
        outcome=np.full(count, OutcomeCode.UNDETERMINED, dtype=np.uint8),
        lost_from=np.zeros(count, dtype=np.int32),
        lost_to=np.zeros(count, dtype=np.int32),
    )
    if not length or not count:
        return outcomes
    last = np.maximum(length - 1 - np.argmax(seen[:, ::-1], axis=1), np.minimum(reached, length) - 1)
    index = np.arange(length)
    is_witness = np.array(witness, dtype=np.bool_)
    before = np.maximum.accumulate(np.where(is_witness, index, -1))[last]
    after = np.append(np.minimum.accumulate(np.where(is_witness, index, length)[::-1])[::-1], length)[last + 1]
    saw = (before >= 0) & (seen[np.arange(count), np.maximum(before, 0)] | (before < reached))
    lost = saw & ((after < length) | parting_witnessed)
    outcomes.outcome[lost] = OutcomeCode.LOST
    outcomes.lost_from[lost] = before[lost] + 1
    outcomes.lost_to[lost] = np.where(after < length, after + 1, 0)[lost]
    arrived = (reached > length) | (arrives & (last == length - 1))
    outcomes.outcome[arrived] = OutcomeCode.DELIVERED
    for column in (outcomes.lost_from, outcomes.lost_to):
        column[arrived] = 0
    return outcomes


def merged_away(outcomes: Outcomes, pure_ack: NDArray[np.bool_], merging: NDArray[np.bool_]) -> None:
    """Pure ACKs that vanished at a hop that merges segments of their connection may live on in a merged one: not to be known.

    `merging` has shape (n, hops): whether that hop holds merged segments of the journey's connection and direction.
    """
    lost = (outcomes.outcome == OutcomeCode.LOST) & pure_ack & (outcomes.lost_to > 0)
    lost[lost] = merging[np.flatnonzero(lost), outcomes.lost_to[lost] - 1]
    forget(outcomes, lost, OutcomeCode.LOST)


def changed_form(
    outcomes: Outcomes,
    client_port: I32,
    payload_bytes: I32,
    first: I32,
    counted: NDArray[np.bool_],
    witness: Sequence[bool],
) -> NDArray[np.bool_]:
    """Datagrams that vanished before a hop from which on smaller ones of their socket come into being behind a witness (`first`, from 0).

    Offloads may have cut the one into the others in a way that nothing shows.
    """
    behind = np.concatenate([[False], np.logical_or.accumulate(np.array(witness, dtype=np.bool_))])
    last_birth = np.full(65536, -1, dtype=np.int32)
    least = np.full(65536, np.iinfo(np.int32).max, dtype=np.int32)
    is_born = counted & behind[first]
    born = np.flatnonzero(is_born)
    np.maximum.at(last_birth, client_port[born], first[born])
    np.minimum.at(least, client_port[born], payload_bytes[born])
    lost = (outcomes.outcome == OutcomeCode.LOST) & (outcomes.lost_to > 0) & ~is_born
    found: NDArray[np.bool_] = lost & (last_birth[client_port] >= outcomes.lost_to - 1) & (payload_bytes > least[client_port])
    return found


def forget(outcomes: Outcomes, which: NDArray[np.bool_], *codes: OutcomeCode) -> None:
    """Of what is one of `codes` it is not to be known after all."""
    mine = which & np.isin(outcomes.outcome, codes)
    outcomes.outcome[mine] = OutcomeCode.UNDETERMINED
    for column in (outcomes.lost_from, outcomes.lost_to):
        column[mine] = 0
