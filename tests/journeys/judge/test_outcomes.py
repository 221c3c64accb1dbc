import numpy as np
import pytest

from kubectl_vxtrace.journeys.judge.contradictions import contradicted
from kubectl_vxtrace.journeys.judge.outcomes import mark_merged_acks, outcomes_of
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.packets import I32

D, U, L = OutcomeCode.DELIVERED, OutcomeCode.UNDETERMINED, OutcomeCode.LOST


def _bits(text: str) -> list[bool]:
    return [mark == "x" for mark in text]


def _passed(*hops: int) -> I32:
    return np.array(hops, dtype=np.int32)


NONE = _passed(0)


@pytest.mark.parametrize(
    ("seen", "witness", "outcome", "leg"),
    [
        ("xxxxxx", "xxxxxx", D, (0, 0)),
        ("xxx...", "xxxxxx", L, (3, 4)),
        ("xx....", "xx..xx", L, (2, 5)),  # blind hops lie inside the leg
        ("xxx...", "xx.xxx", L, (2, 4)),  # seen at a hop that is no witness: the leg still joins witnesses
        ("xxx...", "xxx...", U, (0, 0)),  # no later witness
        ("x.....", ".xxxxx", U, (0, 0)),  # nobody who can testify saw it
        ("x....x", "xxxxxx", D, (0, 0)),  # it came out: the hops between missed it
        ("..x...", "xxxxxx", L, (3, 4)),  # made on the way
        ("....xx", "xxxxxx", D, (0, 0)),
        ("..x...", "xx.xxx", U, (0, 0)),  # the witness before never saw it
    ],
)
def test_outcomes(seen: str, witness: str, outcome: OutcomeCode, leg: tuple[int, int]) -> None:
    found = outcomes_of(np.array([_bits(seen)]), NONE, _bits(witness), arrives=True)
    assert (found.code[0], (found.lost_from[0], found.lost_to[0])) == (outcome, leg)


@pytest.mark.parametrize(
    ("seen", "witness", "passed", "outcome", "leg"),
    [
        ("xxx...", "xxxxxx", 7, D, (0, 0)),  # it was answered
        ("xxx...", "xxx...", 7, D, (0, 0)),
        ("xxx...", "xxx..x", 5, L, (3, 6)),  # the node at the tunnel's other end had it; the hops there are blind
        ("xxx...", "xxx.xx", 5, L, (5, 6)),
        ("xxx...", "xxx.x.", 5, U, (0, 0)),
        ("xxx...", "xxxxxx", 2, L, (3, 4)),  # what is known otherwise says less than the sightings
    ],
)
def test_how_far_a_packet_came_is_not_only_what_was_seen(
    seen: str, witness: str, passed: int, outcome: OutcomeCode, leg: tuple[int, int]
) -> None:
    found = outcomes_of(np.array([_bits(seen)]), _passed(passed), _bits(witness), arrives=True)
    assert (found.code[0], (found.lost_from[0], found.lost_to[0])) == (outcome, leg)


def test_an_answered_packet_contradicts_a_hop_that_did_not_see_it() -> None:
    seen = np.array([_bits("xxx..."), _bits("xxx...")])
    assert contradicted(seen, _passed(7, 0), [True] * 6) == (0, 0, 0, 1, 1, 1)


def test_only_the_beginning_of_the_way_is_known() -> None:
    seen = np.array([_bits("x")])
    assert outcomes_of(seen, NONE, [True], arrives=False).code[0] == U
    parted = outcomes_of(seen, NONE, [True], arrives=False, continues_at_witnesses=True)
    assert (parted.code[0], parted.lost_from[0], parted.lost_to[0]) == (L, 1, 0)


def test_a_hop_that_missed_what_its_neighbours_saw() -> None:
    seen = np.array([_bits("xxxxxx"), _bits("xx.xxx"), _bits("..xx..")])
    assert contradicted(seen, _passed(0, 0, 0), [True] * 6) == (0, 0, 1, 0, 0, 0)
    assert contradicted(np.zeros((0, 2), dtype=np.bool_), _passed(), [True, True]) == (0, 0)


def test_pure_acks_may_live_on_in_a_merged_segment() -> None:
    seen = np.array([_bits("xxx..."), _bits("xxx..."), _bits("xxx...")])
    found = outcomes_of(seen, _passed(0, 0, 0), [True] * 6, arrives=True)
    merging = np.zeros((3, 6), dtype=np.bool_)
    merging[:2, 3] = True
    mark_merged_acks(found, np.array([True, False, True]), merging)
    assert found.code.tolist() == [U, L, L]
    assert found.lost_to.tolist() == [0, 4, 4]
