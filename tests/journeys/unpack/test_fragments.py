"""Fragments of several packets that share an IP ID."""

from dataclasses import replace

from tests.journeys.oracle import contradictions
from tests.journeys.worlds import run
from tests.wire.options import texts
from tests.wire.places import SECOND
from tests.wire.traffic import datagrams
from tests.wire.world import Flow, World


def _two_sockets(fates: dict[int, int]) -> World:
    """Two connected sockets, each with a counter of its own for IP IDs (net/ipv4/ip_output.c, ip_select_ident_segs), which meet."""
    payloads = texts(20, 4000)
    sent = datagrams(
        payloads, gap_ns=SECOND // 20, fates=[fates.get(index) for index in range(20)], ids=iter([index // 2 + 7 for index in range(20)])
    )
    packets = tuple(
        replace(packet, client_port=40_000 + index % 2, fragment_bytes=1376, dont_fragment=False) for index, packet in enumerate(sent)
    )
    return World(flows=(Flow(server_port=7002),), packets=packets)


def test_packets_of_two_sockets_with_one_ip_id_are_two() -> None:
    found = run(_two_sockets({}))
    assert contradictions(found) == []
    (hops,) = [traced.hops for traced in found.case.paths if traced.hops[0].packets]
    assert [hop.packets for hop in hops] == [20] * len(hops)


def test_each_of_them_is_lost_alone() -> None:
    assert contradictions(run(_two_sockets({3: 3, 6: 2, 7: 5}))) == []
