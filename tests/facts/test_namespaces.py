"""Namespaces of pods, as Linux 6.18 tells of them from outside."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.namespaces import read_namespaces
from tests.facts.samples import said

_RAW = said("pod-namespaces.txt")


def test_a_pod_with_a_second_interface() -> None:
    (pod,) = read_namespaces(_RAW)
    own = {interface.name: interface for interface in pod.interfaces}
    assert pod.id == 0
    assert own.keys() == {"lo", "eth0", "net1", "net1p"}
    eth0 = own["eth0"]
    assert (eth0.index, eth0.host_index, eth0.up, eth0.mtu_bytes, eth0.mac) == (2, 2, True, 1500, "7e:25:bf:23:29:2d")
    assert eth0.prefixes == ("10.244.1.5/32", "fe80::7c25:bfff:fe23:292d/64")
    assert (eth0.counters["tx.packets"], eth0.counters["rx.otherhost"]) == (1, 0)
    assert eth0.settings == {"forwarding": 0, "proxy_arp": 0, "rp_filter": 0, "log_martians": 0, "arp_ignore": 0, "accept_local": 0}
    assert (own["net1"].up, own["net1"].prefixes, own["net1"].host_index) == (False, ("192.168.50.2/24",), None)


def test_nothing_told() -> None:
    assert read_namespaces(b"") == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"0 link\n",
        b"x link 00\n",
        b"0 link zz\n",
        b"0 link 00\n",
        b"0 addr 0208\n",
        b"0 addr 0208000001000000\n",
        b"0 link " + b"00" * 16 + b"0200ffff\n",
        b"0 link " + b"00" * 16 + b"ff000300\n",
    ],
)
def test_what_is_not_whole_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_namespaces(raw)


def test_other_kinds_of_messages_are_passed_over() -> None:
    assert read_namespaces(b"0 rule 00\n") == ()


@given(st.integers(0, len(_RAW)), st.binary(max_size=40))
def test_cut_and_spoiled_answers_never_raise_otherwise(length: int, rest: bytes) -> None:
    with suppress(UnreadableError):
        assert len(read_namespaces(_RAW[:length] + rest)) <= 2
