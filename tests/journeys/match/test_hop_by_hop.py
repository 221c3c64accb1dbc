import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.journeys.judgement import EARLY_ARRIVAL_NS
from kubectl_vxtrace.journeys.match.hop_by_hop import join_hops
from kubectl_vxtrace.journeys.match.pairing import Pairs, pair
from kubectl_vxtrace.journeys.records import WirePackets
from kubectl_vxtrace.model.packets import I32, I64

EVENTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=7)


def _arrays(events: list[tuple[int, int]]) -> tuple[I32, I64]:
    columns = np.array(events, dtype=np.int64).reshape(-1, 2)
    return columns[:, 0].astype(np.int32), columns[:, 1]


def paired(left: I32, right: I32, times_ns: tuple[I64, I64]) -> Pairs:
    """As frames of one packet each are."""
    return pair(left, right, times_ns, np.full(len(right), EARLY_ARRIVAL_NS))


def _most(departures: list[int], arrivals: list[int]) -> int:
    """The most that can be joined, by trying everything."""
    small, large, forward = (arrivals, departures, True) if len(arrivals) <= len(departures) else (departures, arrivals, False)
    best = 0
    for chosen in itertools.permutations(large, len(small)):
        pairs = zip(chosen, small, strict=True) if forward else zip(small, chosen, strict=True)
        best = max(best, sum(departure <= arrival for departure, arrival in pairs))
    return best


@settings(max_examples=150, deadline=None)
@given(departures=EVENTS, arrivals=EVENTS)
def test_as_many_as_possible_and_none_before_its_departure(departures: list[tuple[int, int]], arrivals: list[tuple[int, int]]) -> None:
    left, left_times = _arrays(departures)
    right, right_times = _arrays(arrivals)
    ours, theirs = paired(left, right, (left_times, right_times))
    assert len(set(ours.tolist())) == len(ours) == len(set(theirs.tolist()))
    assert (left[ours] == right[theirs]).all()
    for key in range(3):
        mine = [time for number, time in departures if number == key]
        other = [time for number, time in arrivals if number == key]
        joined = left[ours] == key
        if len(mine) == len(other):
            assert int(joined.sum()) == len(mine)
            continue
        assert int(joined.sum()) == _most(mine, other)
        assert (left_times[ours[joined]] <= right_times[theirs[joined]]).all()


def test_the_copy_that_was_sent_again_is_the_one_that_arrived() -> None:
    left, right = np.zeros(2, np.int32), np.zeros(1, np.int32)
    ours, theirs = paired(left, right, (np.array([0, 1_000]), np.array([1_050])))
    assert (ours.tolist(), theirs.tolist()) == ([1], [0])
    ours, _ = paired(left, right, (np.array([0, 1_000]), np.array([900])))
    assert ours.tolist() == [0]


def test_of_two_arrivals_the_first_is_the_packet() -> None:
    ours, theirs = paired(np.zeros(1, np.int32), np.zeros(2, np.int32), (np.array([10]), np.array([11, 500])))
    assert (ours.tolist(), theirs.tolist()) == ([0], [0])


def test_what_arrived_long_before_is_another_packet() -> None:
    """Also where there are as many arrivals as departures: one departed before the capture began, one was lost."""
    ours, _ = paired(np.zeros(1, np.int32), np.zeros(1, np.int32), (np.array([50_000_000]), np.array([0])))
    assert not len(ours)
    ours, theirs = paired(np.zeros(2, np.int32), np.zeros(2, np.int32), (np.array([50_000_000, 90_000_000]), np.array([0, 51_000_000])))
    assert (ours.tolist(), theirs.tolist()) == ([0], [1])


def test_time_stamps_in_disorder_are_the_same_packets() -> None:
    ours, theirs = paired(np.zeros(1, np.int32), np.zeros(1, np.int32), (np.array([10_000]), np.array([0])))
    assert (ours.tolist(), theirs.tolist()) == ([0], [0])


def test_without_clocks_the_last_ones_count_as_arrived() -> None:
    ours, _ = pair(np.zeros(3, np.int32), np.zeros(2, np.int32), None)
    assert sorted(ours.tolist()) == [1, 2]


def _packets(keys: list[int], times: list[int]) -> WirePackets:
    key = np.array(keys, dtype=np.int32)
    return WirePackets(
        frame=np.arange(len(keys), dtype=np.int32),
        key=key,
        base_key=key // 10,
        time_ns=np.array(times, dtype=np.int64),
        weight=np.ones(len(keys), dtype=np.int32),
    )


def _same_clock(_early: int, _late: int, times_ns: I64) -> I64:
    return np.zeros(len(times_ns), dtype=np.int64)


def test_a_hop_that_missed_a_packet_is_passed_over() -> None:
    hops = [_packets([1, 2], [0, 1]), _packets([2], [2]), _packets([1, 2], [5, 6])]
    packet = join_hops(hops, _same_clock, [True] * 3, without_ip_id=False)
    assert packet.tolist() == [[0, -1, 0], [1, 0, 1]]


def test_an_arrival_belongs_to_the_copy_that_the_hop_before_saw() -> None:
    hops = [_packets([1, 1], [0, 1]), _packets([1], [2]), _packets([1], [4])]
    packet = join_hops(hops, _same_clock, [True] * 3, without_ip_id=False)
    assert sorted(packet.tolist()) == [[0, -1, -1], [1, 0, 0]]


def test_of_a_clock_that_was_set_what_is_earlier_is_joined_last() -> None:
    """The segment that was sent again vanished behind the second hop, which had missed the first: that one is what arrived."""
    hops = [_packets([11, 12], [0, 4_000_000]), _packets([12], [4_000_100]), _packets([13], [200])]
    for steady in (True, False):
        packet = join_hops(hops, _same_clock, [steady] * 3, without_ip_id=True)
        assert sorted(packet.tolist()) == [[0, -1, 0], [1, 0, -1]]
    under_way = [_packets([11], [2_000_000_000]), _packets([11], [100])]
    assert join_hops(under_way, _same_clock, [False] * 2, without_ip_id=True).tolist() == [[0, 0]]
    assert len(join_hops(under_way, _same_clock, [True] * 2, without_ip_id=True)) == 2


def test_renumbered_segments_are_joined_without_their_ip_id() -> None:
    hops = [_packets([11, 21], [0, 1]), _packets([12, 22], [2, 3])]
    assert join_hops(hops, _same_clock, [True] * 2, without_ip_id=True).tolist() == [[0, 0], [1, 1]]
    assert len(join_hops(hops, _same_clock, [True] * 2, without_ip_id=False)) == 4


def test_segments_of_a_merged_frame_bear_the_time_of_one_of_them() -> None:
    """Between 20 and 200 us were measured: some segments passed the NIC that much after the time that the merged frame behind it bears."""
    apart = _packets([1, 2], [0, 60_000])
    merged = replace(_packets([1, 2], [1_000, 1_000]), frame=np.zeros(2, dtype=np.int32))
    assert join_hops([apart, merged], _same_clock, [True] * 2, without_ip_id=False).tolist() == [[0, 0], [1, 1]]
    assert len(join_hops([apart, replace(merged, frame=apart.frame)], _same_clock, [True] * 2, without_ip_id=False)) == 3
