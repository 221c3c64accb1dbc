"""Which hops can testify that a packet did not pass."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureStatus, Gap
from tests.journeys.build import (
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


class TestWitness:
    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"dropped_by_kernel": 2}, "2 packets"),
            ({"status": CaptureStatus.PARTIAL, "reason": "timeout ended it"}, "timeout ended it"),
            ({"status": CaptureStatus.FAILED, "reason": "permission denied"}, "permission denied"),
        ],
    )
    def test_what_is_none_lies_inside_the_leg(self, fields: dict[str, object], words: str) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 3)
        lookups(simulator, 2, first=3, vanished=3)
        case = follow(change(record(simulator), TAPS[3], **fields), tables_of(simulator))
        hop = case.paths[0].hops[3]
        assert (hop.witness, words in (hop.reason or "")) == (False, True)
        assert lost_of(case, A) == {(3, 5): 2}
        assert [(leg.from_, leg.to) for leg in case.paths[0].legs] == [(1, 2), (2, 3), (3, 5), (5, 6)]

    def test_an_empty_file_is_one_unless_what_was_received_is_missing(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 2, vanished=3)
        for early, place in ((18, (3, 4)), (17, (3, 5))):
            recording = change(record(simulator), TAPS[3], received=18, received_early=early)
            assert lost_of(follow(recording, tables_of(simulator)), A) == {place: 2}

    def test_a_device_that_is_not_there_is_a_witness_of_zero(self) -> None:
        simulator = wire.Simulator(blind=frozenset({wire.hops_to(A)[4]}))
        lookups(simulator, 2, vanished=4)
        recording = change(record(simulator), TAPS[4], status=CaptureStatus.ZERO, reason="vxlan.calico is down")
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, A) == {(4, 5): 2}
        assert (case.paths[0].hops[4].witness, case.paths[0].hops[4].reason) == (True, "vxlan.calico is down")

    def test_bpf_that_can_take_packets_away(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 2, vanished=3)
        links = (Link(name=wire.NIC, index=2, xdp=True),)
        case = follow(replace(record(simulator), before=(NodeFacts(node="ada-ec-2", links=links),)), tables_of(simulator))
        assert lost_of(case, A) == {(3, 5): 2}
        assert "XDP" in (case.paths[0].hops[3].reason or "")

    def test_a_hop_that_was_never_captured(self) -> None:
        simulator = wire.Simulator(blind=frozenset({wire.hops_to(A)[3]}))
        lookups(simulator, 2)
        recording = record(simulator)
        recording = replace(
            recording,
            captures=tuple(one for one in recording.captures if one.task.tap != TAPS[3]),
            gaps=(Gap(node="ada-ec-2", interface=wire.NIC, reason="no debug pod"),),
        )
        case = follow(recording, tables_of(simulator))
        assert (case.paths[0].hops[3].witness, case.paths[0].hops[3].reason, case.paths[0].hops[3].capture) == (False, "no debug pod", None)
        assert outcomes(case, A) == [OutcomeCode.DELIVERED] * 2

    def test_what_comes_out_again_was_not_lost(self) -> None:
        tap = wire.hops_to(A)[3]
        simulator = wire.Simulator(gaps={tap: (AT + 10_000_000, AT + 25_000_000)})
        lookups(simulator, 4)
        lookups(simulator, 1, first=4, vanished=3)
        case = follow_all(simulator)
        assert hop_packets(case, A) == [5, 5, 5, 2, 4, 4]
        assert "2 packets" in (case.paths[0].hops[3].reason or "")
        assert lost_of(case, A) == {(3, 5): 1}

    def test_nothing_can_be_said_behind_the_last_witness(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 2, vanished=3)
        recording = record(simulator)
        for tap in TAPS[3:]:
            recording = change(recording, tap, status=CaptureStatus.FAILED)
        case = follow(recording, {tap: table for tap, table in tables_of(simulator).items() if tap not in TAPS[3:]})
        assert outcomes(case, A) == [OutcomeCode.UNDETERMINED] * 2
