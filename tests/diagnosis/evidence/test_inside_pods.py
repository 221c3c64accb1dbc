"""Growth of what was seen inside a pod's network namespace, and when nothing can be said."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.evidence.inside_pods import InsidePod, inside_pod
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.pod_facts import PodFacts
from tests.diagnosis.build import HEALTHY
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import SERVER, SERVER_END, B
from tests.diagnosis.pods import look_inside, tcp, udp, with_pod

FIRST, LAST = look_inside(), look_inside({"Udp.RcvbufErrors": 7})


def of(first: PodFacts, last: PodFacts) -> InsidePod:
    return InsidePod(first=first, last=last)


def seen(**last: object) -> InsidePod | None:
    """What is found where the last look is another one than the first in something."""
    before = with_pod(facts(B), FIRST, address=SERVER)
    after = with_pod(facts(B, later=True), LAST, **({"address": SERVER} | last))  # type: ignore[arg-type]
    return inside_pod(replace(HEALTHY, before=(before,), after=(after,)).case(), B, SERVER)


def test_the_same_pod_at_both_looks() -> None:
    found = seen()
    assert found is not None
    assert found.grown("Udp.RcvbufErrors") == 7


@pytest.mark.parametrize("change", [{"address": "10.244.56.130"}, {"mac": "02:00:00:00:00:02"}, {"times": 2}])
def test_a_pod_that_may_be_another_one_tells_nothing(change: dict[str, object]) -> None:
    assert seen(**change) is None


def test_what_was_not_read_tells_nothing() -> None:
    for before, after in ((FIRST, None), (None, LAST)):
        looks = (with_pod(facts(B), before, address=SERVER),), (with_pod(facts(B, later=True), after, address=SERVER),)
        assert inside_pod(replace(HEALTHY, before=looks[0], after=looks[1]).case(), B, SERVER) is None
    assert inside_pod(HEALTHY.case(), B, SERVER) is None
    empty = PodFacts(namespace=1)
    assert of(empty, LAST).grown("Udp.RcvbufErrors") is None
    assert of(LAST, FIRST).grown("Udp.RcvbufErrors") is None
    assert of(empty, empty).nobody_listens("UDP", SERVER_END) is None
    assert of(empty, empty).socket_drops("TCP", SERVER_END) is None


@pytest.mark.parametrize(
    ("bound", "address", "takes"),
    [
        ("0.0.0.0", SERVER, True),
        ("0.0.0.0%eth0", SERVER, True),
        (SERVER, SERVER, True),
        ("*", SERVER, True),
        ("*", "fd00::1", True),
        ("::", "fd00::1", True),
        ("127.0.0.1", SERVER, False),
        ("::", SERVER, False),
        ("0.0.0.0", "fd00::1", False),
    ],
)
def test_who_listens_for_connections(bound: str, address: str, takes: bool) -> None:
    both = look_inside(listeners=(tcp(address=bound),))
    assert of(both, both).nobody_listens("TCP", Endpoint(address=address, port=53)) is not takes
    assert of(both, both).nobody_listens("TCP", Endpoint(address=address, port=54)) is True
    assert of(both, both).nobody_listens("ICMP", Endpoint(address=address)) is None


def test_a_udp_socket_of_both_families_takes_datagrams_where_there_is_no_other() -> None:
    both = look_inside(udp_sockets=(udp(3, address="::"),))
    assert of(both, look_inside(udp_sockets=(udp(9, address="::"),))).socket_drops("UDP", SERVER_END) == 6
    own = (udp(3, address="::"), udp(1, address=SERVER)), (udp(9, address="::"), udp(2, address=SERVER))
    assert of(*(look_inside(udp_sockets=sockets) for sockets in own)).socket_drops("UDP", SERVER_END) == 1


@pytest.mark.parametrize(
    ("first", "last", "drops"),
    [
        ((tcp(3), tcp(4)), (tcp(5), tcp(5)), 3),
        ((tcp(3),), (tcp(5), tcp(5)), None),
        ((tcp(3),), (tcp(2),), None),
        ((tcp(None),), (tcp(5),), None),
        ((), (), None),
    ],
)
def test_drops_of_sockets(first: tuple[object, ...], last: tuple[object, ...], drops: int | None) -> None:
    looks = (PodFacts(namespace=1, listeners=sockets) for sockets in (first, last))  # type: ignore[arg-type]
    assert of(*looks).socket_drops("TCP", SERVER_END) == drops


def test_where_else_something_listens() -> None:
    both = look_inside(listeners=(tcp(address="127.0.0.1"), tcp(port=9153)), udp_sockets=(udp(port=9), udp(port=8)))
    assert of(both, both).elsewhere("TCP", SERVER_END) == ("127.0.0.1:53",)
    assert of(both, both).elsewhere("UDP", SERVER_END) == ("8", "9")


def test_only_what_grew_enough_and_is_of_the_protocol_is_a_reason() -> None:
    last = look_inside({"Ip.OutNoRoutes": 24, "TcpExt.PAWSEstab": 30, "Ip.InDiscards": 3})
    assert [name for name, _, _ in of(FIRST, last).reasons("TCP", 24)] == ["Ip.OutNoRoutes", "TcpExt.PAWSEstab"]
    assert [name for name, _, _ in of(FIRST, last).reasons("UDP", 24)] == ["Ip.OutNoRoutes"]
    assert list(of(FIRST, FIRST).reasons("UDP", 0)) == []
