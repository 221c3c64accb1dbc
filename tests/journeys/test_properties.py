"""Whatever is sent and dropped, the reported losses are the injected ones, at the leg where they happened."""

from itertools import pairwise

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction
from tests.journeys.build import follow_all, hop_packets, journeys_of, lost_of, read_clocks, record
from tests.wire import simulator as wire

FATE = st.one_of(st.none(), st.none(), st.integers(1, 5))
SKEWS = st.fixed_dictionaries({node: st.integers(-3 * wire.SECOND, 3 * wire.SECOND) for node in ("ada-ec-2", "ada-ec-3")})
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _legs(simulator: wire.Simulator, server: str, *, reply: bool = False) -> dict[tuple[int, int], int]:
    return {(hop, hop + 1): count for hop, count in simulator.lost(server, reply=reply).items()}


@QUICK
@given(fates=st.lists(st.tuples(st.sampled_from([wire.FIRST, wire.SECOND_SERVER]), FATE, FATE), min_size=1, max_size=40), skews=SKEWS)
def test_questions_and_answers(fates: list[tuple[str, int | None, int | None]], skews: dict[str, int]) -> None:
    """New sockets, both backends, clocks seconds apart: every loss is found where it was, none is invented."""
    simulator = wire.Simulator(skew_ns=skews)
    unknown_backend = 0
    for number, (server, asked, answered) in enumerate(fates):
        at = wire.EPOCH + number * 50_000_000
        unknown_backend += asked == 1
        simulator.udp(server, time_ns=at, payload=b"question %d" % number, client_port=40_000 + number, ident=number + 1, vanished=asked)
        if asked is None:
            simulator.udp(
                server, time_ns=at + 900_000, payload=b"answer %d" % number, client_port=40_000 + number, ident=900 + number, reply=True,
                vanished=answered,
            )  # fmt: skip
    case = follow_all(simulator)
    named = {flow.server.address for flow in case.flows if flow.server}
    for server in named:
        expected = _legs(simulator, server)
        expected.pop((1, 2), None)
        assert lost_of(case, server) == expected
        assert lost_of(case, server, Direction.REPLY) == _legs(simulator, server, reply=True)
    assert sum(len(table) for table in (traced.journeys for traced in case.paths)) == len(simulator.sent)
    unnamed = lost_of(case, None) if any(flow.server is None for flow in case.flows) else {}
    assert unnamed == ({(1, 2): unknown_backend} if unknown_backend else {})


@QUICK
@given(
    fates=st.lists(FATE, min_size=1, max_size=40),
    gaps_ms=st.lists(st.integers(0, 300), min_size=40, max_size=40),
    skews=SKEWS,
)
def test_identical_datagrams(fates: list[int | None], gaps_ms: list[int], skews: dict[str, int]) -> None:
    """Equal payload, one port, IP ID 0 (QUIC): counts per leg are right although nothing tells the copies apart."""
    simulator = wire.Simulator(skew_ns=skews, service=None)
    at = wire.EPOCH
    for fate, gap in zip(fates, gaps_ms, strict=False):
        at += gap * 1_000_000 + 1
        simulator.udp(wire.FIRST, time_ns=at, payload=b"ping", client_port=40_000, ident=0, vanished=fate)
    recording = read_clocks(record(simulator), skews)
    case = follow_all(simulator, recording)
    assert lost_of(case, wire.FIRST) == _legs(simulator, wire.FIRST)
    assert len(journeys_of(case, wire.FIRST)) == len(fates)


@QUICK
@given(
    lost=st.sets(st.integers(0, 39), max_size=12),
    again=st.sets(st.integers(0, 39), max_size=3),
    seq=st.one_of(st.integers(0, 2**32 - 1), st.just(2**32 - 3000)),
    merged=st.sampled_from([(45, 45, 45, 1, 45, 45), (45, 1, 1, 1, 8, 8), (45, 45, 45, 7, 7, 9), (1, 1, 1, 1, 1, 1)]),
    mtu_known=st.booleans(),
    fixed_ident=st.booleans(),
)
def test_bulk_through_offloads(
    lost: set[int], again: set[int], seq: int, merged: tuple[int, ...], mtu_known: bool, fixed_ident: bool
) -> None:
    """GSO before, single segments on the wire, GRO behind: exactly the dropped segments are lost, and counted as packets."""
    simulator = wire.Simulator(service=None)
    mss, ident = 1358, 65_500
    simulator.bulk(
        wire.FIRST, time_ns=wire.EPOCH, client_port=40_000, seq=seq, segments=40, mss=mss, ident=ident, merge=merged,
        vanished=dict.fromkeys(lost, 3), tail=700, fixed_ident=fixed_ident,
    )  # fmt: skip
    for ordinal, index in enumerate(sorted(lost)):
        twice = 3 if index in again else None
        simulator.bulk(
            wire.FIRST, time_ns=wire.EPOCH + (200 + ordinal) * 1_000_000, client_port=40_000, seq=seq + index * mss, segments=1,
            mss=700 if index == 39 else mss, ident=(ident + 100 + ordinal) % 65536, merge=merged, vanished={0: 3} if twice else {},
        )  # fmt: skip
    recording = read_clocks(record(simulator, protocol="TCP", port=80, mtu_bytes=1410 if mtu_known else None), {}, spread_ns=1_000_000)
    case = follow_all(simulator, recording)
    expected = {(3, 4): len(lost) + len(lost & again)} if lost else {}
    if not mtu_known and 1 not in merged:
        # Nobody saw a single segment and nothing says how large one is: where they were lost is known, how many they were is not.
        assert set(lost_of(case, wire.FIRST)) == set(expected)
        return
    assert lost_of(case, wire.FIRST) == expected
    assert hop_packets(case, wire.FIRST)[0] == 40 + len(lost)
    assert hop_packets(case, wire.FIRST)[3] == 40 - len(lost & again)


@QUICK
@given(
    sizes=st.lists(st.integers(2, 5), min_size=1, max_size=8),
    drops=st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 4), st.integers(2, 5))), min_size=8, max_size=8),
    whole=st.integers(0, 1),
)
def test_fragments(sizes: list[int], drops: list[tuple[int, int] | None], whole: int) -> None:
    """Fragments are one packet, lost where its first missing fragment vanished."""
    simulator = wire.Simulator(service=None)
    expected: dict[tuple[int, int], int] = {}
    for number, (parts, drop) in enumerate(zip(sizes, drops, strict=False)):
        payload = bytes([number]) * (parts * 400 - 9)
        fate = drop if drop and drop[0] < parts else None
        if fate:
            expected[fate[1], fate[1] + 1] = expected.get((fate[1], fate[1] + 1), 0) + 1
        simulator.fragments(
            wire.FIRST, time_ns=wire.EPOCH + number * 1_000_000, payload=payload, client_port=40_000, ident=number + 1, size=400,
            whole_hops=whole, vanished=fate,
        )  # fmt: skip
    case = follow_all(simulator)
    assert lost_of(case, wire.FIRST) == expected
    assert len(journeys_of(case, wire.FIRST)) == len(sizes)


@QUICK
@given(
    fates=st.lists(FATE, min_size=1, max_size=30),
    blind=st.sets(st.integers(1, 5), max_size=2),
)
def test_blind_hops_never_invent_a_loss(fates: list[int | None], blind: set[int]) -> None:
    """Legs join neighbouring witnesses; a loss that no later witness can prove is undetermined."""
    taps = wire.hops_to(wire.FIRST)
    simulator = wire.Simulator(service=None, blind=frozenset(taps[hop] for hop in blind))
    for number, fate in enumerate(fates):
        simulator.udp(
            wire.FIRST, time_ns=wire.EPOCH + number * 1_000_000, payload=b"%d" % number, client_port=40_000, ident=number + 1, vanished=fate
        )
    case = follow_all(simulator)
    sighted = [hop for hop in range(1, 7) if hop - 1 not in blind]
    expected: dict[tuple[int, int], int] = {}
    unknown = 0
    for fate in fates:
        if fate is None:
            unknown += 5 in blind
            continue
        start = max(hop for hop in sighted if hop <= fate)
        end = min((hop for hop in sighted if hop > fate), default=0)
        unknown += end == 0
        if end:
            expected[start, end] = expected.get((start, end), 0) + 1
    assert lost_of(case, wire.FIRST) == expected
    table = journeys_of(case, wire.FIRST)
    assert int(np.sum(table.outcome == OutcomeCode.UNDETERMINED)) == unknown
    legs = case.paths[0].legs
    assert [(leg.from_, leg.to) for leg in legs] == list(pairwise(sighted))
    assert {(leg.from_, leg.to): leg.lost for leg in legs if leg.lost} == expected


@QUICK
@given(
    damage=st.lists(st.tuples(st.integers(0, 500), st.integers(14, 110), st.integers(0, 255)), max_size=60),
    protocol=st.sampled_from(["UDP", "TCP"]),
)
def test_hostile_frames_never_crash(damage: list[tuple[int, int, int]], protocol: str) -> None:
    """Bytes of any header may be anything; what still belongs to a flow is counted without an exception."""
    simulator = wire.Simulator(service=None)
    for number in range(6):
        at = wire.EPOCH + number * 1_000_000
        simulator.udp(wire.FIRST, time_ns=at, payload=b"%d" % number, client_port=40_000, port=80, ident=number)
    simulator.bulk(wire.FIRST, time_ns=wire.EPOCH, client_port=40_000, seq=1, segments=6, mss=900, ident=1, merge=(6, 6, 6, 1, 3, 3))
    simulator.fragments(wire.FIRST, time_ns=wire.EPOCH, payload=bytes(900), client_port=40_000, ident=3, size=400)
    simulator.refusal(wire.FIRST, time_ns=wire.EPOCH, quoted=simulator.asked(wire.FIRST, b"\0" * 8, protocol=17, ident=1))
    files = [packets for packets in simulator.files.values() if packets]
    for place, offset, value in damage:
        packets = files[place % len(files)]
        time_ns, frame = packets[place % len(packets)]
        changed = bytearray(frame)
        changed[offset % len(changed)] = value
        packets[place % len(packets)] = (time_ns, bytes(changed))
    case = follow_all(simulator, record(simulator, protocol=protocol, port=80))
    for traced in case.paths:
        assert all(count.packets >= 0 and count.frames >= 0 for count in traced.hops)
        assert ((traced.journeys.row >= 0).any(axis=1)).all()
