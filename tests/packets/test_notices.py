"""What ends say of themselves, as frames show it."""

import pytest

from kubectl_vxtrace.model.packets import Notice, PacketTable
from tests.packets.reading import table_of
from tests.packets.test_headers import in_vxlan
from tests.wire import frames

SERVER, CLIENT = "10.244.56.129", "10.244.114.75"
PORTS = {"source": 53, "destination": 40_000}
UDP, TCP = 17, 6


def datagram(payload: bytes, *, source: int = 53, destination: int = 40_000) -> bytes:
    return frames.ethernet(
        frames.ipv4(frames.udp(payload, source=source, destination=destination), source=SERVER, destination=CLIENT, protocol=UDP)
    )


def segment(payload: bytes = b"", *, flags: int = frames.ACK, window: int = 64240) -> bytes:
    tcp = frames.tcp(payload, source=80, destination=40_000, flags=flags, window=window)
    return frames.ethernet(frames.ipv4(tcp, source=SERVER, destination=CLIENT, protocol=TCP))


def answer(rcode: int) -> bytes:
    return frames.dns_answer("kube-dns.kube-system.svc", None, rcode=rcode)


def said(table: PacketTable) -> list[tuple[int, Notice, int]]:
    notices = table.notices
    return [(int(notices.row[n]), Notice(int(notices.notice[n])), int(notices.code[n])) for n in range(len(notices))]


def test_each_is_found_in_the_order_of_the_file() -> None:
    table = table_of(
        datagram(answer(0)),
        segment(window=0),
        datagram(answer(2)),
        segment(b"HTTP/1.1 503 Service Unavailable\r\n", flags=0x18),
        in_vxlan(datagram(answer(3))),
    )
    assert said(table) == [(1, Notice.SHUT_WINDOW, 0), (2, Notice.DNS_ERROR, 2), (3, Notice.HTTP_ERROR, 503), (4, Notice.DNS_ERROR, 3)]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(datagram(answer(0)), id="no error"),
        pytest.param(datagram(answer(2), source=5353), id="not from a DNS server's port"),
        pytest.param(datagram(answer(2), source=40_000, destination=53), id="to a DNS server"),
        pytest.param(datagram(b"\0\0\x01\x05" + bytes(8)), id="a question from port 53"),
        pytest.param(datagram(answer(2)[:11]), id="shorter than a header"),
        pytest.param(segment(b"HTTP/1.1 200 OK\r\n", flags=0x18), id="HTTP that went well"),
        pytest.param(segment(b"HTTP/1.1 404 Not Found\r\n", flags=0x18), id="the client's own mistake"),
        pytest.param(segment(b"HTTP/1.1 5", flags=0x18), id="no whole status"),
        pytest.param(segment(b"HTTP/1.1 5x3 ...", flags=0x18), id="no number"),
        pytest.param(segment(b"GET / HTTP/1.1 500", flags=0x18), id="a request"),
        pytest.param(segment(window=0, flags=0x04), id="the window of a reset"),
        pytest.param(segment(window=0, flags=0x02), id="the window of a SYN"),
        pytest.param(segment(), id="an open window"),
    ],
)
def test_what_says_nothing(frame: bytes) -> None:
    assert said(table_of(frame)) == []


def test_what_was_not_captured_says_nothing() -> None:
    assert said(table_of(datagram(answer(2)), segment(b"HTTP/1.1 503 Service Unavailable\r\n", flags=0x18), snaplen=46)) == []
