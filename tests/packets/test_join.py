"""A capture that was written into several files is read as if it had been written into one."""

from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.packets.join import join
from kubectl_vxtrace.packets.summary import summarise
from tests.wire import frames

NEAR, FAR, ELSE = "10.244.1.5", "10.244.2.6", "10.244.3.7"


def _every() -> list[bytes]:
    """Requests, answers, encapsulated ones, ICMP errors that quote them, ARP, DNS errors: some of each before and behind each cut."""
    found = []
    for number in range(12):
        source, destination = ((NEAR, FAR), (FAR, NEAR), (NEAR, ELSE))[number % 3]
        datagram = frames.udp(bytes(8 + number), source=1000 + number % 4, destination=53)
        packet = frames.ipv4(datagram, source=source, destination=destination, protocol=frames.UDP, ident=number)
        found.append(frames.ethernet(packet))
        error = frames.icmp(3, 3, payload=packet[:28])
        found.append(frames.ethernet(frames.ipv4(error, source=destination, destination=source, protocol=frames.ICMP, ident=100 + number)))
        found.append(frames.ethernet(frames.arp(sender="10.128.0.1", target=f"10.128.0.{2 + number % 3}"), ethertype=frames.ARP))
        refused = frames.udp(frames.dns_answer("a", None, rcode=1 + number % 5), source=53, destination=1000 + number % 4)
        found.append(frames.ethernet(frames.ipv4(refused, source=destination, destination=source, protocol=frames.UDP, ident=200 + number)))
        carrier = frames.vxlan(frames.ethernet(packet), vni=7 + number % 2)
        outer = frames.udp(carrier, source=50000 + number % 3, destination=4789)
        found.append(frames.ethernet(frames.ipv4(outer, source="10.128.0.1", destination="10.128.0.2", protocol=frames.UDP, ident=number)))
    return found


def _read(folder: Path, name: str, every: list[bytes], first: int) -> PacketTable:
    path = folder / name
    frames.write_pcap(path, [(first + number, frame) for number, frame in enumerate(every)])
    return read_pcap(path)


def _small(table: Any) -> dict[str, Any]:
    return {field.name: getattr(table, field.name) for field in fields(table)}


def test_parts_are_the_whole(tmp_path: Path) -> None:
    every = _every()
    cuts = (0, 10, 10, 31, len(every))
    parts = [_read(tmp_path, f"{number}.pcap", every[begin:end], begin) for number, (begin, end) in enumerate(pairwise(cuts))]
    joined, whole = join(parts, [len(part) for part in parts]), _read(tmp_path, "whole.pcap", every, 0)
    assert joined.parts == (0, 10, 10, 31)
    for field in fields(PacketTable):
        column = getattr(joined, field.name)
        if isinstance(column, np.ndarray) and field.name not in ("offset", "conversation", "tunnel", "ethernet"):
            assert np.array_equal(column, getattr(whole, field.name)), field.name
            assert not column.flags.writeable
    for numbers, small in (("conversation", "conversations"), ("tunnel", "tunnels"), ("ethernet", "ethernets")):
        assert len(getattr(joined, small)) == len(getattr(whole, small))
        for name, column in _small(getattr(joined, small)).items():
            there = getattr(whole, numbers) >= 0
            assert np.array_equal(getattr(joined, numbers) >= 0, there)
            expected = getattr(getattr(whole, small), name)[getattr(whole, numbers)[there]]
            assert np.array_equal(column[getattr(joined, numbers)[there]], expected), (small, name)
    assert joined.icmp_quotes.row.tolist() == whole.icmp_quotes.row.tolist()
    assert joined.neighbours.row.tolist() == whole.neighbours.row.tolist()
    for name, column in _small(whole.notices).items():
        assert np.array_equal(getattr(joined.notices, name), column), name
    for name in ("conversation", "inner_conversation"):
        quoted = [
            [table.conversations.source[number].tolist() if number >= 0 else None for number in getattr(table.icmp_quotes, name)]
            for table in (joined, whole)
        ]
        assert quoted[0] == quoted[1]


def test_what_a_packet_says_is_read_from_its_own_part(tmp_path: Path) -> None:
    every = _every()
    parts = [_read(tmp_path, "0.pcap", every[:20], 0), _read(tmp_path, "1.pcap", every[20:], 20)]
    joined, whole = join(parts, [20, len(every) - 20]), _read(tmp_path, "whole.pcap", every, 0)
    rows = list(range(20, len(every)))
    assert summarise(tmp_path / "1.pcap", joined, rows) == summarise(tmp_path / "whole.pcap", whole, rows)


def test_one_part_is_itself(tmp_path: Path) -> None:
    table = _read(tmp_path, "0.pcap", _every(), 0)
    assert join([table], [len(table)]) is table


def test_the_end_of_the_last_part_is_the_end(tmp_path: Path) -> None:
    every = _every()
    parts = [_read(tmp_path, "0.pcap", every[:20], 0), _read(tmp_path, "1.pcap", every[20:], 20)]
    path = tmp_path / "1.pcap"
    path.write_bytes(path.read_bytes()[:-3])
    cut = read_pcap(path)
    assert join([parts[0], cut], [20, len(cut)]).stopped_at == cut.stopped_at is not None
    assert join(parts, [20, len(every) - 20]).stopped_at is None
