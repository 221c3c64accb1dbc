"""Routing tables and the kernel's own answers."""

import pytest

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.routes import read_exceptions, read_lookups, read_routes, read_routing_rules
from kubectl_vxtrace.model.facts import Route, RouteLookup
from tests.facts.samples import recorded


def test_a_recorded_calico_node() -> None:
    routes = read_routes(recorded("ip-route.json"))
    assert Route(destination="10.244.56.128/26", type="blackhole", protocol="80") in routes
    remote = next(route for route in routes if route.destination == "10.244.114.64/26")
    assert (remote.gateway, remote.device, remote.table, remote.flags) == ("10.244.114.64", "vxlan.calico", None, ("onlink",))
    own = next(route for route in routes if route.destination == "10.128.0.95")
    assert (own.type, own.device, own.table, own.scope, own.preferred_source) == ("local", "ens4", "local", "host", "10.128.0.95")


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


def test_a_flows_own_tuple_and_the_mtu_of_its_way() -> None:
    asked = b"route get 10.9.0.1 from 10.244.1.5 iif cali1 ipproto udp dport 53\n"
    out = b'[{"dst":"10.9.0.1","from":"10.244.1.5","gateway":"10.0.0.2","dev":"ens4","flags":[],"cache":[],"metrics":[{"mtu":1400}]}]'
    (found,) = read_lookups(asked, out, b"")
    assert (found.input, found.protocol, found.port, found.mtu_bytes, found.gateway) == ("cali1", "UDP", 53, 1400, "10.0.0.2")


def test_what_a_vxlan_device_asks() -> None:
    asked = b"route get 10.128.0.95 from 10.128.0.72 oif ens4 ipproto udp dport 4789\n"
    asked += b"route get 10.128.0.95 from 10.128.0.72 oif ens4 ipproto udp dport 4789 mark 0x10\n"
    out = b'[{"dst":"10.128.0.95","from":"10.128.0.72","gateway":"10.128.0.1","dev":"ens4","table":"30400","flags":[],"cache":[]}]\n'
    plain, marked = read_lookups(asked, out, b"RTNETLINK answers: Permission denied\nCommand failed outer.batch:2\n")
    assert (plain.source, plain.output, plain.protocol, plain.port, plain.mark) == ("10.128.0.72", "ens4", "UDP", 4789, None)
    assert (plain.gateway, plain.table, plain.error) == ("10.128.0.1", "30400", None)
    assert (marked.mark, marked.error) == ("0x10", "Permission denied")


def test_a_rule_that_jumps_and_one_for_a_range_of_ports() -> None:
    """As iproute2 6.1 prints them."""
    raw = b'[{"priority":99,"src":"all","iif":"ens4","goto":30400},{"priority":30401,"src":"all","ipproto":"udp","dport_start":53,'
    raw += b'"dport_end":60,"table":"30401","suppress_prefixlen":0},{"priority":30402,"src":"all","ipproto":3,"dport":"53","table":"1"}]'
    jump, ranged, odd = read_routing_rules(raw, family=4)
    assert (jump.action, jump.goto, jump.table) == ("goto", 30400, None)
    assert (ranged.action, ranged.protocol, ranged.ports, ranged.table) == (None, "UDP", (53, 60), "30401")
    assert (odd.protocol, odd.ports) == (None, None)


def test_routing_rules() -> None:
    """As iproute2 6.1 prints them."""
    raw = b'[{"priority":0,"src":"all","table":"local"},{"priority":97,"src":"all","ipproto":"udp","dport":53,"action":"prohibit"},'
    raw += b'{"priority":98,"not":null,"src":"10.3.0.1","action":"blackhole"},{"priority":99,"src":"10.1.0.0","srclen":16,'
    raw += b'"dst":"10.2.0.0","dstlen":16,"fwmark":"0x1","fwmask":"0xff","iif":"ens4","table":"100"}]'
    local, prohibit, blackhole, mine = read_routing_rules(raw, family=4)
    assert (local.table, local.source, local.text) == ("local", None, "from all lookup local")
    assert (prohibit.protocol, prohibit.ports) == ("UDP", (53, 53))
    assert (prohibit.action, prohibit.text) == ("prohibit", "from all ipproto udp dport 53 prohibit")
    assert (blackhole.inverted, blackhole.source) == (True, "10.3.0.1")
    assert (mine.priority, mine.source, mine.destination, mine.input, mine.mark) == (99, "10.1.0.0/16", "10.2.0.0/16", "ens4", "0x1/0xff")
    assert mine.text == "from 10.1.0.0/16 to 10.2.0.0/16 fwmark 0x1/0xff iif ens4 lookup 100"
    assert [rule.priority for rule in read_routing_rules(recorded("ip-rule.json"), family=4)] == [0, 32766, 32767]


def test_exceptions_are_what_the_kernel_learned() -> None:
    raw = b'[{"dst":"10.9.0.1","gateway":"10.0.0.2","dev":"ens4","cache":[],"expires":596,"metrics":[{"mtu":1300}]},{"dst":"10.9.0.3",'
    raw += b'"gateway":"10.0.0.7","dev":"ens4","cache":["redirected"]},{"dst":"fd00::2","dev":"ens4","cache":[]}]'
    smaller, redirected = read_exceptions(raw)
    assert (smaller.destination, smaller.mtu_bytes, smaller.expires_s) == ("10.9.0.1", 1300, 596)
    assert (redirected.gateway, redirected.mtu_bytes) == ("10.0.0.7", None)


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
