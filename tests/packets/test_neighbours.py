"""Who asks for an address and who answers, by ARP and by IPv6 neighbour discovery."""

import pytest

from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from tests.packets.reading import table_of, talk
from tests.packets.test_headers import in_vxlan
from tests.wire import frames

NEAR, FAR = "10.128.0.72", "10.128.0.95"
NEAR6, FAR6 = "fd00::72", "fd00::95"
MAC = "02:00:00:00:0c:0d"


def arp(sender: str, target: str, *, reply: bool = False) -> bytes:
    return frames.ethernet(frames.arp(sender=sender, target=target, reply=reply, sender_mac=MAC), ethertype=frames.ARP)


def discovery(target: str, *, answer: bool = False, mac: str | None = MAC, hops: int = 255) -> bytes:
    packet = frames.neighbour(target, answer=answer, mac=mac, source=FAR6 if answer else NEAR6, hops=hops)
    return frames.ethernet(packet, ethertype=frames.IPV6)


def said(table: PacketTable) -> list[tuple[int, str, bool, str]]:
    """Row, address, whether it is an answer, MAC."""
    rows = table.neighbours
    return [(int(rows.row[n]), address_text(rows.address[n]), bool(rows.answer[n]), f"{int(rows.mac[n]):012x}") for n in range(len(rows))]


def test_questions_and_answers_in_the_order_of_the_file() -> None:
    table = table_of(discovery(FAR6), arp(NEAR, FAR), discovery(FAR6, answer=True), arp(FAR, NEAR, reply=True))
    assert said(table) == [
        (0, FAR6, False, "020000000c0d"),
        (1, FAR, False, "020000000c0d"),
        (2, FAR6, True, "020000000c0d"),
        (3, FAR, True, "020000000c0d"),
    ]
    assert [talk(table, row) for row in (0, 1)] == [(58, NEAR6, 0, "ff02::1", 0), (0, NEAR, 0, FAR, 0)]
    assert table.kind.tolist() == [Kind.IP, Kind.ARP, Kind.IP, Kind.ARP]


def test_inside_vxlan() -> None:
    table = table_of(in_vxlan(arp(NEAR, FAR)), in_vxlan(discovery(FAR6)))
    assert [entry[:3] for entry in said(table)] == [(0, FAR, False), (1, FAR6, False)]
    assert (table.tunnel >= 0).all()


def test_an_announcement_tells_as_an_answer_does() -> None:
    assert said(table_of(arp(FAR, FAR))) == [(0, FAR, True, "020000000c0d")]


def test_a_probe_asks() -> None:
    """RFC 5227, 2.1.1: from nobody yet."""
    assert said(table_of(arp("0.0.0.0", FAR))) == [(0, FAR, False, "020000000c0d")]


def test_without_the_option_there_is_no_mac() -> None:
    assert said(table_of(discovery(FAR6, mac=None))) == [(0, FAR6, False, "000000000000")]


def test_another_option_first_is_no_mac() -> None:
    """A question's first option in an answer's place: the source's address is not the target's."""
    frame = bytearray(discovery(FAR6, answer=True))
    frame[14 + 40 + 24] = 1
    assert said(table_of(bytes(frame))) == [(0, FAR6, True, "000000000000")]


@pytest.mark.parametrize("snaplen", [14 + 40 + 24 + 7, 14 + 40 + 24])
def test_an_option_that_was_not_captured(snaplen: int) -> None:
    assert said(table_of(discovery(FAR6), snaplen=snaplen)) == [(0, FAR6, False, "000000000000")]


def test_a_target_that_was_not_captured() -> None:
    assert said(table_of(discovery(FAR6), snaplen=14 + 40 + 23)) == []


@pytest.mark.parametrize(("kept", "expected"), [(8 + 15, []), (8 + 16 + 7, [(0, FAR6, False, "000000000000")])])
def test_padding_is_no_part_of_a_message(kept: int, expected: list[tuple[int, str, bool, str]]) -> None:
    frame = bytearray(discovery(FAR6))
    frame[18:20] = kept.to_bytes(2, "big")
    assert said(table_of(bytes(frame))) == expected


def test_what_was_forwarded_is_none() -> None:
    assert said(table_of(discovery(FAR6, hops=254))) == []


def test_other_icmp_is_none() -> None:
    other = frames.ipv6(frames.icmp(134, payload=bytes(40)), source=FAR6, destination="ff02::1", protocol=58, hops=255)
    four = frames.ipv4(frames.icmp(135, payload=bytes(40)), source=NEAR, destination=FAR, protocol=1, ttl=255)
    tcp = frames.ipv4(frames.tcp(b"x" * 40, source=1, destination=2, flags=0x87), source=NEAR, destination=FAR, protocol=6, ttl=255)
    assert said(table_of(frames.ethernet(other, ethertype=frames.IPV6), frames.ethernet(four), frames.ethernet(tcp))) == []
