"""Which files are parts of one capture."""

from dataclasses import replace

from kubectl_vxtrace.topology.naming import hint_of
from kubectl_vxtrace.topology.pieces import Piece, captures_of

TALK = frozenset({b"client > server"})
SECOND_NS = 1_000_000_000


def _pieces(*files: tuple[str, tuple[float, float] | None], talks: frozenset[bytes] = TALK) -> list[Piece]:
    return [
        Piece(
            hint=hint_of(name),
            span_ns=None if span is None else (int(span[0] * SECOND_NS), int(span[1] * SECOND_NS)),
            talks=talks if span is not None else frozenset(),
        )
        for name, span in files
    ]


def test_tcpdump_s_rotation_is_one_capture_in_the_order_of_time() -> None:
    """`-C` with `-W` begins again at 0 when it has written them all."""
    assert captures_of(_pieces(("n-pod.pcap0", (20, 30)), ("n-pod.pcap1", (0, 10)), ("n-pod.pcap2", (10, 20)))) == [(1, 2, 0)]


def test_the_first_file_of_a_rotation_has_no_number() -> None:
    assert captures_of(_pieces(("n-pod.pcap", (0, 10)), ("n-pod.pcap1", (10, 20)))) == [(0, 1)]


def test_an_empty_part_keeps_its_place() -> None:
    assert captures_of(_pieces(("n-pod.pcap0", (0, 10)), ("n-pod.pcap1", None), ("n-pod.pcap2", (20, 30)))) == [(0, 1, 2)]


def test_parts_that_ran_at_the_same_time_are_captures_of_their_own() -> None:
    """Two pods of one node."""
    assert captures_of(_pieces(("n-pod-1.pcap", (0, 10)), ("n-pod-2.pcap", (0, 10)))) == [(0,), (1,)]


def test_numbers_behind_a_role_are_parts() -> None:
    assert captures_of(_pieces(("n-pod-1.pcap", (0, 10)), ("n-pod-2.pcap", (10, 20)))) == [(0, 1)]


def test_pods_that_were_captured_one_after_the_other_are_not_one() -> None:
    pieces = _pieces(("n-pod-1.pcap", (0, 10)), ("n-pod-2.pcap", (10, 20)))
    other = Piece(hint=pieces[1].hint, span_ns=pieces[1].span_ns, talks=frozenset({b"another client > another server"}))
    assert captures_of([pieces[0], other]) == [(0,), (1,)]


def test_a_number_that_may_be_a_node_s_is_a_part_s_only_if_both_show_the_same_talk() -> None:
    files = (("ada-ec-1.pcap", (0, 10)), ("ada-ec-2.pcap", (10, 20)))
    assert captures_of(_pieces(*files)) == [(0, 1)]
    assert captures_of(_pieces(*files, talks=frozenset())) == [(0,), (1,)]
    assert captures_of(_pieces(("ada-ec-1.pcap", (0, 10)), ("ada-ec-2.pcap", None))) == [(0,), (1,)]


def test_files_of_two_nodes_whose_clocks_differ_are_not_one() -> None:
    """Both saw the same packets."""
    one, two = _pieces(("ada-ec-1.pcap", (0, 1)), ("ada-ec-2.pcap", (3, 4)))
    one, again = replace(one, packets=frozenset(range(9))), replace(two, packets=frozenset({1, 2, 100, 101, 102, 103, 104}))
    assert captures_of([one, replace(two, packets=frozenset(range(3, 12)))]) == [(0,), (1,)]
    assert captures_of([one, again]) == [(0, 1)]


def test_times_out_of_order_by_milliseconds_are_the_queues_of_processors() -> None:
    assert captures_of(_pieces(("n-pod.pcap0", (0, 10.001)), ("n-pod.pcap1", (10, 20)))) == [(0, 1)]
