"""What a look was told inside pods' network namespaces."""

import pytest

from kubectl_vxtrace.facts import parse
from kubectl_vxtrace.model.datapath import Listener, UdpSocket
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.pod_facts import PodFacts
from tests.facts.samples import answer, framed

COUNTERS = b"""Udp: InDatagrams NoPorts InErrors RcvbufErrors
Udp: 12 1 9 8
TcpExt: ListenOverflows ListenDrops PAWSEstab
TcpExt: 3 4 5
"""
UDP = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  103: 00000000:0035 00000000:0000 07 00000000:00001A00 00:00000000 00000000     0        0 177 2 0000000000000000 8
"""
UDP6 = b"""  sl  local_address                         remote_address                        st tx_queue rx_queue ... drops
  103: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 178 2 0 1
"""
LISTENERS = b"""LISTEN 2      1      127.0.0.1:9100 0.0.0.0:*
\t skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d3)
LISTEN 0      128            *:53              *:* skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0)
"""


def of(**answers: tuple[str, bytes, bytes]) -> NodeFacts:
    """The facts of a look with these answers about the namespace 3."""
    return parse(answer(framed({f"pod-{key}.3": value for key, value in answers.items()})))


def test_counters_and_sockets_of_a_pod() -> None:
    snmp6 = b"Udp6RcvbufErrors                \t2\n"
    (found,) = of(
        counters=("0", COUNTERS, b""), snmp6=("0", snmp6, b""), listeners=("0", LISTENERS, b""), udp=("0", UDP, b""), udp6=("0", UDP6, b"")
    ).pod_facts
    assert found.namespace == 3
    assert {name: found.counters[name] for name in ("Udp.RcvbufErrors", "TcpExt.ListenOverflows", "Udp6RcvbufErrors")} == {
        "Udp.RcvbufErrors": 8,
        "TcpExt.ListenOverflows": 3,
        "Udp6RcvbufErrors": 2,
    }
    assert found.udp_sockets == (
        UdpSocket(address="0.0.0.0", port=53, receive_queue_bytes=6656, drops=8),
        UdpSocket(address="::", port=53, drops=1),
    )
    assert found.listeners == (
        Listener(address="127.0.0.1", port=9100, waiting=2, limit=1, drops=3),
        Listener(address="*", port=53, waiting=0, limit=128, drops=0),
    )


def test_what_was_not_read_is_neither_zero_nor_empty() -> None:
    facts = of(
        counters=("1", b"", b"nsenter: reassociate to namespace 'ns/net' failed: Operation not permitted"),
        listeners=("absent", b"", b"ss is not installed"),
        udp=("0", b"", b""),
    )
    assert facts.pod_facts == ()
    assert facts.absent["pod-counters.3"] == "nsenter: reassociate to namespace 'ns/net' failed: Operation not permitted"
    assert {"pod-listeners.3", "pod-udp.3"} <= facts.absent.keys()


def test_a_pod_without_ipv6_has_counters_and_sockets_all_the_same() -> None:
    missing = ("1", b"", b"cat: /proc/net/udp6: No such file or directory")
    (found,) = of(counters=("0", COUNTERS, b""), snmp6=missing, udp=("0", UDP, b""), udp6=missing).pod_facts
    assert found.counters["Udp.NoPorts"] == 1
    assert found.udp_sockets == (UdpSocket(address="0.0.0.0", port=53, receive_queue_bytes=6656, drops=8),)
    assert found.listeners is None


def test_a_table_of_sockets_that_was_cut_is_not_read() -> None:
    facts = of(counters=("0", COUNTERS, b""), udp=("0", UDP.ljust(262144), b""))
    assert facts.pod_facts == (PodFacts(namespace=3, counters=facts.pod_facts[0].counters),)


@pytest.mark.parametrize("key", ["pod-counters.", "pod-counters.x", "pod-counters.1234567", "pod-counters.-1"])
def test_only_numbers_name_namespaces(key: str) -> None:
    assert parse(answer(framed({key: ("0", COUNTERS, b"")}))).pod_facts == ()


@pytest.mark.parametrize("word", ["d99999999999999999999", "dx", "d-1", "d"])
def test_drops_that_cannot_be_are_none(word: str) -> None:
    said = LISTENERS.replace(b"d3)", f"{word})".encode())
    (found,) = of(counters=("0", COUNTERS, b""), listeners=("0", said, b"")).pod_facts
    assert found.listeners is not None
    assert found.listeners[0].drops is None
