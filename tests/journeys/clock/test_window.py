"""Which packets are counted."""

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.recording import CaptureStatus
from tests.journeys.build import (
    STOP,
    change,
    follow_all,
    hop_packets,
    lookups,
    lost_of,
    outcomes,
    record,
    tables_of,
)
from tests.wire import simulator as wire

A, B = wire.FIRST, wire.SECOND_SERVER
TAPS = [Tap(node=node, interface=name) for node, name in wire.hops_to(A)]
AT = wire.EPOCH
SECOND = wire.SECOND


class TestWindow:
    def test_what_was_first_seen_outside_is_not_counted(self) -> None:
        simulator = wire.Simulator()
        for number, at in enumerate([AT - 6 * SECOND, AT, STOP - SECOND // 2]):
            simulator.udp(A, time_ns=at, payload=b"%d" % number, client_port=40_000, ident=number + 1, vanished=3)
        assert lost_of(follow_all(simulator), A) == {(3, 4): 1}

    def test_a_capture_that_started_later_did_not_miss_what_went_before(self) -> None:
        simulator = wire.Simulator(gaps={wire.hops_to(A)[3]: (AT - 7 * SECOND, AT - 5 * SECOND)})
        for number, at in enumerate([AT - 6 * SECOND, AT]):
            simulator.udp(A, time_ns=at, payload=b"%d" % number, client_port=40_000, ident=number + 1)
        case = follow_all(simulator)
        assert [hop.witness for hop in case.paths[0].hops] == [True] * 6
        assert hop_packets(case, A) == [1] * 6

    def test_received_but_not_captured_moves_the_end_to_the_last_frame(self) -> None:
        simulator = wire.Simulator()
        for number in range(5):
            fate = None if number < 3 else 3
            at = AT + number * 2 * SECOND
            simulator.udp(A, time_ns=at, payload=b"%d" % number, client_port=40_000, ident=number + 1, vanished=fate)
        recording = change(record(simulator), TAPS[3], received=5)
        case = follow(recording, tables_of(simulator))
        assert outcomes(case, A) == [OutcomeCode.DELIVERED] * 2
        assert all(hop.witness for hop in case.paths[0].hops)

    def test_what_came_before_the_filter_was_in_place_is_no_tail(self) -> None:
        simulator = wire.Simulator()
        for number in range(5):
            fate = None if number < 3 else 3
            at = AT + number * 2 * SECOND
            simulator.udp(A, time_ns=at, payload=b"%d" % number, client_port=40_000, ident=number + 1, vanished=fate)
        recording = change(record(simulator), TAPS[3], received=3 + 18, received_early=18)
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, A) == {(3, 4): 2}

    def test_files_of_others_run_from_the_latest_first_to_the_latest_last_frame(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 3)
        lookups(simulator, 2, first=3, vanished=3)
        recording = record(simulator, status=CaptureStatus.PRESUMED)
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, A) == {(3, 4): 2}
        assert hop_packets(case, A)[0] == 4
        assert all(hop.witness for hop in case.paths[0].hops)

    def test_a_quiet_file_of_others_does_not_say_when_it_began(self) -> None:
        """A single ARP request near the end, behind a firewall. (The first lookup left before the last of the other files begins.)"""
        simulator = wire.Simulator()
        lookups(simulator, 20, vanished=4)
        simulator.noise(wire.hops_to(A)[4], [AT + 20 * SECOND])
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert lost_of(case, A) == {(4, 5): 19}

    def test_a_lively_file_of_others_does(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 20, vanished=4)
        simulator.noise(wire.hops_to(A)[4], [AT + 20 * SECOND + number * SECOND // 10 for number in range(20)])
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert case.flows == ()

    def test_files_of_others_that_end_one_after_the_other_show_no_loss(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 20)
        lookups(simulator, 1, first=20, vanished=3)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert lost_of(case, A) == {}
        assert set(outcomes(case, A)) == {OutcomeCode.DELIVERED}

    def test_nor_does_one_of_a_node_that_ends_before_its_neighbour(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 20)
        lookups(simulator, 1, first=20, vanished=5)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert lost_of(case, A) == {}

    def test_nor_does_one_in_the_middle_that_ends_first_make_its_hop_blind(self) -> None:
        simulator = wire.Simulator(gaps={wire.hops_to(A)[2]: (AT + 20 * SECOND // 100 - 1, STOP)})
        lookups(simulator, 21)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert all(hop.witness for traced in case.paths for hop in traced.hops)
        assert set(outcomes(case, A)) == {OutcomeCode.DELIVERED}

    def test_one_that_ends_long_before_is_blind(self) -> None:
        simulator = wire.Simulator(gaps={wire.hops_to(A)[2]: (AT + SECOND // 10 - 1, STOP)})
        lookups(simulator, 100)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert [hop.witness for hop in case.paths[0].hops] == [True, True, False, True, True, True]

    def test_a_clock_that_is_hours_off_does_not_move_the_window(self) -> None:
        simulator = wire.Simulator(skew_ns={"ada-ec-2": 7200 * SECOND})
        lookups(simulator, 3)
        lookups(simulator, 2, first=3, vanished=3)
        case = follow_all(simulator)
        assert hop_packets(case, A) == [5, 5, 5, 3, 3, 3]
        assert hop_packets(case, A, Direction.REPLY) == [3] * 6

    def test_nor_do_all_of_the_clients_node_that_end_long_before_make_replies_lost(self) -> None:
        """Requests are seen at the server's node that never were at the client's: so its captures had ended."""
        simulator = wire.Simulator(gaps=dict.fromkeys(wire.hops_to(A)[:3], (AT + SECOND // 2 - 1, STOP)))
        lookups(simulator, 100)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert lost_of(case, A) == lost_of(case, A, Direction.REPLY) == {}

    def test_nor_do_all_of_the_servers_node_make_requests_lost(self) -> None:
        simulator = wire.Simulator(gaps=dict.fromkeys(wire.hops_to(A)[3:], (AT + SECOND // 2 - 1, STOP)))
        lookups(simulator, 100)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert lost_of(case, A) == lost_of(case, A, Direction.REPLY) == {}

    def test_a_loss_that_begins_in_the_middle_is_one_all_the_same(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 50)
        lookups(simulator, 50, first=50, vanished=3)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert lost_of(case, A) == {(3, 4): 50}

    def test_a_file_that_ends_before_the_others_begin_is_no_witness(self) -> None:
        """Of captures that were made one after the other nothing is known of what some of them did not see."""
        taps = wire.hops_to(A)
        simulator = wire.Simulator(
            gaps={**dict.fromkeys(taps[3:], (AT + SECOND // 2 - 1, STOP)), **dict.fromkeys(taps[:3], (0, AT + SECOND - 1))}
        )
        lookups(simulator, 150)
        case = follow(record(simulator, status=CaptureStatus.PRESUMED), tables_of(simulator))
        assert lost_of(case, A) == lost_of(case, A, Direction.REPLY) == {}
        assert [hop.witness for hop in case.paths[0].hops] == [True, True, True, False, False, False]
