"""IPsec: policies as `ip -s xfrm` of iproute2 6.1 printed them; the states are written after its source (ip/ipxfrm.c)."""

from contextlib import suppress
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.ipsec import read_policies, read_states
from kubectl_vxtrace.model.datapath import IpsecPolicy, IpsecState
from tests.facts.samples import said

_POLICIES, _STATES = said("xfrm-policy.txt"), said("xfrm-state.txt")


def test_policies_with_what_went_by_them() -> None:
    passing, blocking, tunnel = read_policies(_POLICIES)
    assert (passing.direction, passing.protocol, passing.transforms, passing.packets) == ("fwd", "icmp", (), None)
    assert (blocking.action, blocking.priority, blocking.destination, blocking.packets) == ("block", 3, "10.9.0.0/24", 0)
    assert tunnel == IpsecPolicy(
        source="10.128.0.0/24",
        destination="10.128.1.0/24",
        direction="out",
        priority=7,
        protocol="udp",
        destination_port=4789,
        tunnel=("10.128.0.72", "10.128.1.2"),
        transforms=("esp tunnel",),
        packets=15,
        selector="src 10.128.0.0/24 dst 10.128.1.0/24 proto udp sport 0 dport 4789 uid 0",
    )


def test_states_with_what_they_refused() -> None:
    used, plain = read_states(_STATES)
    assert used == IpsecState(
        source="10.128.0.72", destination="10.128.1.2", protocol="esp", spi="0x00000101", mode="transport", packets=9, replayed=2, failed=5
    )
    assert (plain.protocol, plain.mode, plain.packets, plain.failed) == ("ah", "tunnel", None, None)


def test_no_key_is_read_even_where_one_is_printed() -> None:
    key = "0x0123456789abcdef"
    with_key = _STATES.replace(b"\tsel src", f"\tenc cbc(aes) {key}\n\tsel src".encode())
    (state, _) = read_states(with_key)
    assert not any(key in str(getattr(state, field.name)) for field in fields(state))


@pytest.mark.parametrize("raw", [b"Error: argument is wrong\n", b"\tproto esp\n"])
def test_what_is_no_such_output_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_policies(raw)


@pytest.mark.parametrize("raw", [b"", b"src 10.0.0.1\n", b"src a dst b\n\tdir sideways\n", b"src a dst b\n\tproto esp spi x mode\n"])
def test_entries_that_are_none_are_passed_over(raw: bytes) -> None:
    assert read_policies(raw) == ()
    assert read_states(raw) == ()


@given(st.integers(0, len(_POLICIES)), st.integers(0, len(_STATES)))
def test_a_cut_answer_gives_the_first_ones_or_none(policies: int, states: int) -> None:
    with suppress(UnreadableError):
        found = [(each.source, each.direction) for each in read_policies(_POLICIES[:policies])]
        assert found == [(each.source, each.direction) for each in read_policies(_POLICIES)][: len(found)]
    with suppress(UnreadableError):
        assert len(read_states(_STATES[:states])) <= len(read_states(_STATES))
