"""Routing tables and the kernel's own answers."""

import pytest

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.routes import read_lookups, read_routes
from kubectl_vxtrace.model.facts import Route, RouteLookup
from tests.facts.samples import recorded


def test_a_recorded_calico_node() -> None:
    routes = read_routes(recorded("ip-route.json"))
    assert Route(destination="10.244.56.128/26", type="blackhole") in routes
    assert Route(destination="10.244.114.64/26", gateway="10.244.114.64", device="vxlan.calico") in routes
    assert Route(destination="10.128.0.95", type="local", device="ens4", table="local") in routes


def test_a_multipath_route_is_one_for_each_next_hop() -> None:
    raw = b'[{"dst":"default","nexthops":[{"gateway":"10.0.0.1","dev":"a"},{"via":{"family":"inet6","host":"fe80::1"},"dev":"b"}]}]'
    assert read_routes(raw) == (
        Route(destination="default", gateway="10.0.0.1", device="a"),
        Route(destination="default", gateway="fe80::1", device="b"),
    )


def test_answers_and_refusals_are_told_apart_by_line() -> None:
    asked = b"route get 10.9.0.2\nroute get 10.7.0.1 from 10.9.0.1 iif cali1\nroute get 10.9.0.1\nroute get 10.8.0.1\n"
    out = b'[{"dst":"10.9.0.2","dev":"v0","prefsrc":"10.9.0.1","flags":[]}]\n[{"type":"local","dst":"10.9.0.1","dev":"lo"}]\n'
    err = (
        b"RTNETLINK answers: Network is unreachable\nCommand failed lookups.batch:2\n"
        b"RTNETLINK answers: Invalid argument\nCommand failed lookups.batch:4\n"
    )
    assert read_lookups(asked, out, err) == (
        RouteLookup(destination="10.9.0.2", device="v0", preferred_source="10.9.0.1"),
        RouteLookup(destination="10.7.0.1", source="10.9.0.1", input="cali1", error="Network is unreachable"),
        RouteLookup(destination="10.9.0.1", type="local", device="lo"),
        RouteLookup(destination="10.8.0.1", error="Invalid argument"),
    )


def test_nothing_asked() -> None:
    assert read_lookups(b"", b"", b"") == ()


@pytest.mark.parametrize(
    ("asked", "out"),
    [
        (b"route get 10.9.0.2\n", b""),
        (b"route get 10.9.0.2\n", b"[]"),
        (b"route get 10.9.0.2\n", b'[{"dst":"10.9.0.2"}]\n[{"dst":"10.9.0.3"}]'),
        (b"route get 10.9.0.2\n", b"10.9.0.2 dev v0"),
    ],
)
def test_answers_that_do_not_add_up_are_unreadable(asked: bytes, out: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_lookups(asked, out, b"")
