"""The node itself."""

import pytest

from kubectl_vxtrace.facts import host
from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.model.datapath import Listener, QueueListener, UdpSocket
from kubectl_vxtrace.model.facts import TimeSync, WireguardPeer
from tests.facts.samples import answer

_ADJTIMEX = b"""    mode:         0
-o  offset:       0 us
-f  freq.adjust:  0 (65536 = 1ppm)
    maxerror:     16000000
    esterror:     12
    status:       %d %s
-p  timeconstant: 2
    return value: 5 (clock not synchronized)
"""


def test_adjtimex() -> None:
    undisciplined = host.read_adjtimex(_ADJTIMEX % (64, b"(UNSYNC)"))
    assert undisciplined == TimeSync(synchronised=False, max_error_us=16_000_000, estimated_error_us=12)
    assert host.read_adjtimex(_ADJTIMEX % (8193, b"(PLL | NANO)")).synchronised
    with pytest.raises(UnreadableError):
        host.read_adjtimex(b"adjtimex: unknown option\n")


def test_udp_sockets() -> None:
    raw = (
        b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            \n"
    )
    raw += b" 5461: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 0 2 00000000d0 0         \n"
    raw += b"  870: 4800800A:0035 00000000:0000 07 00000000:00001A00 00:00000000 00000000     0        0 7 2 00000000d1 9         \nodd\n"
    assert host.read_udp(raw) == (
        UdpSocket(address="0.0.0.0", port=4789),
        UdpSocket(address="10.128.0.72", port=53, receive_queue_bytes=6656, drops=9),
    )
    six = raw.splitlines()[0] + b"\n 1: 000000FD000000000000000001000000:12B5 0:0 07 0:0 0:0 0 0 0 0 2 0 0\n"
    assert host.read_udp(six)[0].address == "fd00::1"
    with pytest.raises(UnreadableError):
        host.read_udp(b"x")


def test_listeners() -> None:
    """As ss of iproute2 6.1 prints them; odd lines are passed over."""
    raw = b"LISTEN 1      3      127.0.0.1:8080 0.0.0.0:*\nLISTEN 0      4096           *:10250      *:*\nLISTEN 129 128 [::]:9100 [::]:*\n"
    raw += (
        b"LISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:*\nESTAB 0 0 10.0.0.1:1 10.0.0.2:2\nLISTEN x 3 10.0.0.1:80\nLISTEN 0 3 80\nLISTEN\n\xff\n"
    )
    assert host.read_listeners(raw) == (
        Listener(address="127.0.0.1", port=8080, waiting=1, limit=3),
        Listener(address="*", port=10250, limit=4096),
        Listener(address="::", port=9100, waiting=129, limit=128),
        Listener(address="127.0.0.53%lo", port=53, limit=4096),
    )


def test_readers_of_packet_queues() -> None:
    """As net/netfilter/nfnetlink_queue.c prints them; odd lines are passed over."""
    raw = b"  100  12345     3 2 65531     7     2       41  1\n    0      9     0 1     0     0     0        0  1\n"
    raw += b"x 1 2 3 4 5 6 7 8\n1 2 3\n"
    assert host.read_queues(raw) == (QueueListener(number=100, waiting=3, dropped=7, lost=2), QueueListener(number=0))
    assert host.read_queues(b"") == ()


def test_counts_of_xfrm() -> None:
    assert host.read_xfrm_count(b"\t SAD count 4\n") == 4
    assert host.read_xfrm_count(b"\t SPD IN  1 OUT 2 FWD 1\n") == 4
    with pytest.raises(UnreadableError):
        host.read_xfrm_count(b"")


def test_wireguard_peers() -> None:
    answers = {
        "endpoints": b"wireguard.cali\tKEY=\t10.128.0.95:51820\nwireguard.cali\tIDLE=\t(none)\n",
        "allowed-ips": b"wireguard.cali\tKEY=\t10.244.56.128/26 10.244.56.130/32\nwireguard.cali\tIDLE=\t(none)\n",
        "latest-handshakes": b"wireguard.cali\tKEY=\t1795426760\nwireguard.cali\tIDLE=\t0\n",
        "transfer": b"wireguard.cali\tKEY=\t10\t20\nbroken\n",
    }
    used, idle = host.read_wireguard(answers)
    assert used == WireguardPeer(
        device="wireguard.cali",
        public_key="KEY=",
        endpoint="10.128.0.95:51820",
        allowed=("10.244.56.128/26", "10.244.56.130/32"),
        handshake_s=1_795_426_760,
        received_bytes=10,
        sent_bytes=20,
    )
    assert (idle.endpoint, idle.allowed, idle.handshake_s, idle.sent_bytes) == (None, (), 0, None)


_UDP_HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
_UDP_LINE = b"  12: %s 00000000:0000 07 00000000:%s 00:00000000 00000000 0 0 1 2 0 %s\n"


@pytest.mark.parametrize(
    ("local", "queued", "drops"),
    [
        pytest.param(b"-0000001:12B5", b"0", b"0", id="an address below zero"),
        pytest.param(b"0000000000:12B5", b"0", b"0", id="an address of five bytes"),
        pytest.param(b"00000000:-1", b"0", b"0", id="a port below zero"),
        pytest.param(b"00000000:12B5", b"0", b"9" * 30, id="drops beyond 64 bits"),
        pytest.param(b"00000000:12B5", b"f" * 40, b"0", id="a queue beyond 64 bits"),
        pytest.param(b"00000000:12B5", b"0", b"9" * 5000, id="a number that Python does not read"),
    ],
)
def test_sockets_that_cannot_be_are_passed_over(local: bytes, queued: bytes, drops: bytes) -> None:
    good = _UDP_LINE % (b"00000000:12B5", b"0", b"3")
    (socket,) = host.read_udp(_UDP_HEAD + _UDP_LINE % (local, queued, drops) + good)
    assert (socket.port, socket.drops) == (0x12B5, 3)


def test_a_clock_far_in_the_future_is_none() -> None:
    with pytest.raises(UnreadableError, match="future"):
        host.read_clock(b"5000000000000000000 1 5000000000000000001", answer(b""))
