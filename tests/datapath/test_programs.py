"""The pods' programs, over the loopback device: counts are true, and odd requests end nothing."""

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.datapath import servers
from tests.datapath.programs import resetter


@pytest.fixture
def web() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with subprocess.Popen(servers.program("web", "a-pod", str(port))) as process:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield port
        process.terminate()


def fetch(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_server_answers_and_survives_nonsense(web: int) -> None:
    assert fetch(web, b"GET / HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\na-pod\n")
    assert len(fetch(web, b"GET /bytes/70000 HTTP/1.1\r\nConnection: close\r\n\r\n").partition(b"\r\n\r\n")[2]) == 70000
    assert fetch(web, b"GET / HTTP/1.1\r\n\r\n" * 2).count(b"200 OK") == 2
    for nonsense in (b"\r\n\r\n", b"\xff\x00" * 10000, b"GET /bytes/-1 HTTP/1.1\r\n\r\n", b"GET /bytes/999999999 HTTP/1.1\r\n\r\n"):
        assert b" 404 " in fetch(web, nonsense) or nonsense.startswith(b"\xff")
    assert b"200 OK" in fetch(web, b"GET / HTTP/1.0\r\n\r\n")


def ask(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(servers.program("ask", *arguments), capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout.strip()


def test_http_counts_whole_answers_only(web: int) -> None:
    assert ask("http", f"127.0.0.1:{web}", "/bytes/100000", "--rate", "20", "--seconds", "0.25") == (0, "sent 5 answered 5")
    assert ask("http", f"127.0.0.1:{web}", "/nothing", "--rate", "20", "--seconds", "0.25") == (0, "sent 5 answered 0")


def test_dns_counts_answers_with_the_right_identifier_and_refusals_end_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        ports = set()

        def answer() -> None:
            for turn in range(10):
                question, client = server.recvfrom(512)
                ports.add(client[1])
                server.sendto(question if turn % 2 else b"\0\0wrong", client)

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask("dns", address, "a.b", "--rate", "50", "--seconds", "0.19", "--timeout", "0.2") == (0, "sent 10 answered 5")
        thread.join(5)
        assert len(ports) == 10
    assert ask("dns", address, "a.b", "--rate", "50", "--seconds", "0.1", "--until-answered") == (1, "sent 5 answered 0")


def stream(*arguments: str) -> str:
    done = subprocess.run(servers.program("stream", *arguments), capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


@pytest.fixture
def streams() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with subprocess.Popen(servers.program("stream", "serve", str(port))) as process:
        time.sleep(0.2)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
        process.terminate()


def test_streams_both_ways_and_echoes_of_any_size(streams: str) -> None:
    for kind in ("up", "down"):
        words = stream(kind, streams, "--connections", "2", "--bytes", "200000", "--seconds", "5").split()
        assert words[0] == "mss"
        assert int(words[1]) > 500
    sent, answered = stream("echo", streams, "--bytes", "4000", "--connections", "3", "--rate", "50", "--seconds", "0.3").split()[1::2]
    assert 10 <= int(sent) == int(answered) <= 16


def test_what_is_not_done_in_time_is_aborted() -> None:
    """Nobody listens on the port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    begin = time.monotonic()
    assert stream("up", address, "--seconds", "0.5").startswith("mss ")
    assert time.monotonic() - begin < 5


def syn_in_tunnel(*, port: int = 9153, flags: int = resetter.SYN, protocol: int = socket.IPPROTO_TCP) -> bytes:
    """A node's frame with a pod's TCP segment in VXLAN."""
    segment = struct.pack(">HHIIBBHHH", 40000, port, 0xFFFFFFFF, 0, 5 << 4, flags, 65535, 0, 0)
    inside = b"\xb2" * 6 + b"\xa1" * 6 + b"\x08\x00" + resetter.ipv4(b"\x0a\xf4\x01\x05", b"\x0a\xf4\x02\x09", protocol, segment)
    tunnel = b"\x08\0\0\0\0\x10\0\0"
    datagram = struct.pack(">HHHH", 54321, 4789, 16 + len(inside), 0) + tunnel + inside
    return b"\x02" * 6 + b"\x01" * 6 + b"\x08\x00" + resetter.ipv4(b"\x0a\x80\0\x48", b"\x0a\x80\0\x5f", socket.IPPROTO_UDP, datagram)


def test_the_resetter_answers_in_the_servers_name() -> None:
    frame = resetter.answer(syn_in_tunnel(), 4789, 9153)
    assert frame is not None
    assert (frame[:6], frame[6:12]) == (b"\x01" * 6, b"\x02" * 6)
    assert (frame[26:30], frame[30:34], frame[34:38]) == (b"\x0a\x80\0\x5f", b"\x0a\x80\0\x48", struct.pack(">HH", 54321, 4789))
    inner = frame[50:]
    assert (inner[:6], inner[6:12], inner[26:30], inner[30:34]) == (b"\xa1" * 6, b"\xb2" * 6, b"\x0a\xf4\x02\x09", b"\x0a\xf4\x01\x05")
    source, destination, _, acknowledged = struct.unpack(">HHII", inner[34:46])
    assert (source, destination, acknowledged, inner[47]) == (9153, 40000, 0, resetter.RST | resetter.ACK)
    assert resetter.checksum(frame[14:34]) == resetter.checksum(inner[14:34]) == 0
    assert resetter.checksum(inner[26:34] + struct.pack(">HH", socket.IPPROTO_TCP, 20) + inner[34:54]) == 0
    assert struct.unpack(">H", frame[38:40])[0] == len(frame) - 34


@pytest.mark.parametrize(
    "frame",
    [
        syn_in_tunnel(port=53),
        syn_in_tunnel(flags=resetter.ACK),
        syn_in_tunnel(flags=resetter.SYN | resetter.ACK),
        syn_in_tunnel(protocol=socket.IPPROTO_UDP),
        syn_in_tunnel()[:90],
        b"",
    ],
    ids=["another port", "no SYN", "a SYN-ACK", "UDP", "cut off", "empty"],
)
def test_the_resetter_leaves_everything_else_alone(frame: bytes) -> None:
    assert resetter.answer(frame, 4789, 9153) is None
