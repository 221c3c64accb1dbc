"""Nothing that a frame holds makes the decoder fail, or look at bytes that were not captured."""

import contextlib
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.packets.cursor import Columns
from kubectl_vxtrace.packets.digest import digests
from kubectl_vxtrace.packets.encapsulations import carrier_ports
from kubectl_vxtrace.packets.frames import Frames
from kubectl_vxtrace.packets.headers import TableBuilder, decode
from kubectl_vxtrace.packets.neighbours import read_neighbours
from kubectl_vxtrace.packets.quotes import read_quotes
from kubectl_vxtrace.packets.source import PADDING_BYTES
from kubectl_vxtrace.packets.summary import summarise
from tests.packets.test_headers import A6, B6, A, B, in_vxlan, udp_packet
from tests.wire import encapsulations, frames

VXLAN = carrier_ports((4789,))


def seeds() -> list[bytes]:
    quote = frames.icmp(3, 4, payload=in_vxlan(frames.ethernet(udp_packet(b"x" * 60)))[14:])
    extended = bytes([44, 0]) + bytes(6) + bytes([17, 0, 0, 1, 0, 0, 0, 9]) + frames.udp(b"six", source=1, destination=4789)
    inner = [
        frames.ethernet(udp_packet(frames.dns_question("a.b")), vlans=(1, 2)),
        frames.ethernet(
            frames.ipv4(frames.tcp(b"data", source=1, destination=2, options=b"\x01" * 8), source=A, destination=B, protocol=6)
        ),
        frames.ethernet(frames.ipv4(quote, source=B, destination=A, protocol=1)),
        frames.ethernet(frames.arp(sender=A, target=B), ethertype=frames.ARP),
        frames.ethernet(frames.ipv6(extended, source=A6, destination=B6, protocol=0), ethertype=frames.IPV6),
        frames.ethernet(frames.ipv6(frames.icmp(1, payload=bytes(60)), source=A6, destination=B6, protocol=58), ethertype=frames.IPV6),
    ]
    inner += [frames.ethernet(frames.neighbour(B6, answer=answer, source=A6), ethertype=frames.IPV6) for answer in (False, True)]
    inner.append(frames.ethernet(frames.ipv4(encapsulations.gre(udp_packet()), source=A, destination=B, protocol=encapsulations.GRE)))
    for carried in (encapsulations.wireguard(4, b"x" * 40), encapsulations.wireguard(2), encapsulations.geneve(inner[0])):
        datagram = frames.udp(carried, source=51820, destination=encapsulations.GENEVE_PORT)
        inner.append(frames.ethernet(frames.ipv4(datagram, source=A, destination=B, protocol=frames.UDP)))
    return inner + [in_vxlan(frame) for frame in inner] + [in_vxlan(frame, port=14_789) for frame in inner]


SEEDS = seeds()


def mutated(source: random.Random) -> tuple[bytes, int]:
    """A frame with some bytes changed and cut somewhere, and its length on the wire."""
    frame = bytearray(source.choice(SEEDS))
    for _ in range(source.choice((0, 1, 1, 2, 5))):
        frame[source.randrange(len(frame))] = source.choice((0, 1, 4, 6, 17, 44, 0x45, 0x4F, 0x60, 0x81, 0xFF, source.randrange(256)))
    wire = len(frame) if source.random() < 0.7 else source.randrange(3000)
    cut = len(frame) if source.random() < 0.5 else source.randrange(len(frame) + 1)
    return bytes(frame[:cut]), wire


def batch(packets: list[tuple[bytes, int]], filler: bytes, links: list[int] | None = None) -> Frames:
    """The frames with `filler` between them and behind the last; `links`: the link type of each, else all are Ethernet."""
    data, at = bytearray(filler), []
    for frame, _ in packets:
        at.append(len(data))
        data += frame + filler
    captured = np.array([len(frame) for frame, _ in packets], np.int64)
    wire = np.array([wire for _, wire in packets], np.int64)
    zeros = np.zeros(len(packets), np.int64)
    link_types = None if links is None else np.array(links, np.uint16)
    buffer = np.frombuffer(bytes(data) + filler[:1] * PADDING_BYTES, np.uint8)
    return Frames(buffer, np.array(at, np.int64), captured, wire, zeros, zeros, link_types)


def rows(part: Frames) -> list[tuple[object, ...]]:
    """What decoding says of each frame, without places in the buffer."""
    decoded = decode(part, VXLAN)
    quotes = read_quotes(part, decoded, VXLAN)
    quoted: dict[int, tuple[object, ...]] = {}
    if quotes is not None:
        for number, row in enumerate(quotes.row.tolist()):
            inner = tuple(int(column[number]) for column in quotes.inner_conversation) if quotes.has_inner[number] else None
            quoted[row] = (*(int(column[number]) for column in quotes.conversation), int(quotes.ip_id[number]), inner)
    several = ("conversation", "tunnel", "ethernet")
    told: dict[int, tuple[object, ...]] = {}
    messages = read_neighbours(part, decoded)
    if messages is not None:
        columns = (messages.address_high, messages.address, messages.answer, messages.mac)
        told = {row: tuple(column[number].item() for column in columns) for number, row in enumerate(messages.row.tolist())}
    lists = [getattr(decoded, name).tolist() for name in Columns.__slots__ if name not in ("payload_at", *several)]
    lists += [column.tolist() for name in several for column in getattr(decoded, name)]
    lists += [digests(part, decoded).tolist(), np.where(decoded.payload_at < 0, -1, decoded.payload_at - part.at).tolist()]
    return [(*values, quoted.get(row), told.get(row)) for row, values in enumerate(zip(*lists, strict=True))]


@given(st.integers(0, 2**48))
@settings(max_examples=150, deadline=None)
def test_the_rest_of_the_buffer_and_the_other_frames_do_not_matter(seed: int) -> None:
    source = random.Random(seed)
    packets = [mutated(source) for _ in range(12)]
    links = None if source.random() < 0.5 else [source.choice((1, 1, 0, 101, 108, 113, 228, 229, 276, 105)) for _ in packets]
    together = rows(batch(packets, b"\0" * 20, links))
    assert together == rows(batch(packets, b"\xff" * 90, links))
    assert together == rows(batch(packets, b"\x08\x00\x45\x00" * 20, links))
    each = [None] * len(packets) if links is None else [[link] for link in links]
    assert together == [rows(batch([packet], b"\x45", link))[0] for packet, link in zip(packets, each, strict=True)]


@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 2**31 - 1)), min_size=1, max_size=8))
@settings(deadline=None)
def test_random_frames_make_a_table(packets: list[tuple[bytes, int]]) -> None:
    builder = TableBuilder((4789,))
    builder.add(batch(packets, b"\0"))
    table = builder.finish(None, None)
    assert len(table) == len(packets)
    assert (table.payload_bytes >= 0).all()
    assert (table.conversation < len(table.conversations)).all()


@given(st.integers(0, 2**48))
@settings(max_examples=150, deadline=None)
def test_damaged_files_give_a_table_or_our_error(seed: int) -> None:
    source = random.Random(seed)
    records = b"".join(frames.pcap_record(n, mutated(source)[0]) for n in range(source.randrange(20)))
    blocks = b"".join(frames.pcapng_packet(n, mutated(source)[0]) for n in range(source.randrange(20)))
    data = bytearray(source.choice((frames.pcap_header() + records, frames.pcapng_section() + frames.pcapng_interface() + blocks)))
    for _ in range(source.randrange(6)):
        data[source.randrange(len(data))] = source.randrange(256)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(bytes(data[: source.randrange(len(data) + 1)]) if source.random() < 0.3 else bytes(data))
        with contextlib.suppress(PcapError):
            table = read_pcap(path)
            lines = summarise(path, table, range(len(table)))
            assert all(line.isprintable() and line.isascii() for line in lines)
