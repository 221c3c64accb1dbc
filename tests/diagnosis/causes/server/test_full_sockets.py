"""socket-overflow, nothing-listening and server-silent by what is seen inside the server's pod."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.pod_facts import PodFacts
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Verdict
from tests.diagnosis.build import HEALTHY, Fate, World
from tests.diagnosis.causes.server.test_endpoint import AT_SERVER, RESET, SILENT, refused, with_drops
from tests.diagnosis.frames import icmp
from tests.diagnosis.places import SERVER
from tests.diagnosis.pods import at_server, look_inside, tcp, udp

SILENT_TCP = replace(SILENT, protocol="TCP")


def seen(world: World, first: PodFacts, last: PodFacts) -> Finding:
    return diagnose(at_server(world, first, last).case())[0]


FULL_UDP = look_inside(udp_sockets=(udp(5),)), look_inside({"Udp.RcvbufErrors": 30}, udp_sockets=(udp(35, queue=9000),))
FULL_TCP = (
    look_inside(listeners=(tcp(5, waiting=2),)),
    look_inside({"TcpExt.ListenOverflows": 30}, listeners=(tcp(35, waiting=2),)),
)


@pytest.mark.parametrize(
    ("world", "looks", "said"),
    [
        pytest.param(
            SILENT,
            FULL_UDP,
            f"the UDP socket of {SERVER}:53 had no room for 30 packets (9000 bytes waited to be read); 24 requests got no answer",
            id="datagrams, of which none was read",
        ),
        pytest.param(
            SILENT_TCP,
            FULL_TCP,
            f"the listening TCP socket of {SERVER}:53 had no room for 30 packets (2 connections waited to be accepted, its backlog "
            "is 1); 24 requests got no answer",
            id="connections, at a full backlog",
        ),
    ],
)
def test_a_socket_that_accounts_for_the_requests(world: World, looks: tuple[PodFacts, PodFacts], said: str) -> None:
    found = seen(world, *looks)
    assert (found.cause, found.confidence, found.leg) == ("socket-overflow", Confidence.CERTAIN, Leg(from_=6, to=None))
    assert said in {one.text for one in found.evidence if one.kind is EvidenceKind.COUNTER}
    assert found.not_ruled_out == ()


def test_the_verdict_stays_that_nobody_answered() -> None:
    case = at_server(SILENT, *FULL_UDP).case()
    assert conclude(case, diagnose(case)).verdict is Verdict.UNANSWERED


@pytest.mark.parametrize(
    ("world", "looks"),
    [
        pytest.param(
            SILENT,
            (look_inside(udp_sockets=(udp(5),)), look_inside({"Udp.InDatagrams": 1}, udp_sockets=(udp(35),))),
            id="something was read",
        ),
        pytest.param(SILENT, (look_inside(udp_sockets=(udp(5),)), look_inside(udp_sockets=(udp(105),))), id="far more than these requests"),
        pytest.param(
            SILENT_TCP, (look_inside(listeners=(tcp(5),)), look_inside(listeners=(tcp(35, waiting=2),))), id="a backlog that was not full"
        ),
        pytest.param(SILENT, (look_inside(), look_inside({"Udp.RcvbufErrors": 24})), id="all sockets of the pod together"),
        pytest.param(
            SILENT_TCP, (look_inside(), look_inside({"TcpExt.ListenOverflows": 20, "TcpExt.TCPReqQFullDrop": 4})), id="all its listeners"
        ),
        pytest.param(SILENT, (look_inside(), look_inside({"Udp6RcvbufErrors": 0, "Udp.RcvbufErrors": 500})), id="many more, of any socket"),
    ],
)
def test_what_may_be_of_others_is_only_likely(world: World, looks: tuple[PodFacts, PodFacts]) -> None:
    found = seen(world, *looks)
    assert (found.cause, found.confidence) == ("socket-overflow", Confidence.LIKELY)


def test_a_counter_of_the_pod_and_the_kernels_word_are_certain() -> None:
    case = at_server(SILENT, look_inside(), look_inside({"Udp.RcvbufErrors": 24})).case()
    assert diagnose(with_drops(case, "SOCKET_RCVBUFF"))[0].confidence is Confidence.CERTAIN


@pytest.mark.parametrize(
    ("world", "looks"),
    [
        pytest.param(SILENT, (look_inside(udp_sockets=(udp(5),)), look_inside(udp_sockets=(udp(28),))), id="too few"),
        pytest.param(
            SILENT,
            (look_inside(udp_sockets=(udp(),)), look_inside({"Udp.RcvbufErrors": 99}, udp_sockets=(udp(),))),
            id="another socket's, for its own dropped nothing",
        ),
        pytest.param(SILENT, (look_inside(), look_inside({"TcpExt.ListenOverflows": 99})), id="another protocol's"),
        pytest.param(SILENT, (look_inside(), look_inside({"Udp.RcvbufErrors": 23})), id="too little was counted"),
        pytest.param(SILENT, (look_inside(), PodFacts(namespace=1)), id="not read the second time"),
        pytest.param(
            replace(SILENT, requests=(Fate(count=2),)), (look_inside(), look_inside({"Udp.RcvbufErrors": 2})), id="two are an accident"
        ),
    ],
)
def test_near_misses_of_a_full_socket(world: World, looks: tuple[PodFacts, PodFacts]) -> None:
    assert seen(world, *looks).cause == "server-silent"


def test_what_was_read_is_no_longer_open() -> None:
    assert "no return route in the pod" in seen(SILENT, look_inside(), PodFacts(namespace=2)).not_ruled_out
    found = seen(SILENT, look_inside(udp_sockets=(udp(),)), look_inside(udp_sockets=(udp(),)))
    assert found.not_ruled_out == ("a packet filter inside the pod", "a protocol that does not answer")


def test_counters_that_account_for_the_silence_are_its_reason() -> None:
    found = seen(SILENT, look_inside(), look_inside({"Ip.OutNoRoutes": 24}))
    assert (found.cause, found.confidence) == ("server-silent", Confidence.LIKELY)
    assert found.summary.endswith("no reply was seen there; Ip.OutNoRoutes inside its pod grew by 24: what it sent had no route")
    assert "grew by 23" not in str(seen(SILENT, look_inside(), look_inside({"Ip.OutNoRoutes": 23})))


def test_a_program_that_does_not_read_is_told() -> None:
    both = look_inside(udp_sockets=(udp(queue=700),))
    assert f"the UDP socket of {SERVER}:53 held 700 and 700 unread bytes before and after" in seen(SILENT, both, both).summary
    both = look_inside(listeners=(tcp(waiting=1),))
    assert f"1 and 1 connections to {SERVER}:53 waited to be accepted before and after" in seen(SILENT_TCP, both, both).summary
    some = look_inside(udp_sockets=(udp(),)), look_inside(udp_sockets=(udp(7),))
    assert f"the UDP socket of {SERVER}:53 had no room for 7 packets meanwhile" in seen(SILENT, *some).summary


def test_requests_that_no_socket_takes_and_nothing_refuses() -> None:
    first, last = look_inside(udp_sockets=(udp(port=5353),)), look_inside({"Udp.NoPorts": 24}, udp_sockets=(udp(port=5353),))
    found = seen(SILENT, first, last)
    assert (found.cause, found.confidence, found.leg) == ("nothing-listening", Confidence.LIKELY, Leg(from_=6, to=None))
    assert "there are such at 5353" in str(found.evidence)
    for other in (look_inside({"Udp.NoPorts": 23}, udp_sockets=()), look_inside({"Udp.NoPorts": 24}), look_inside(udp_sockets=())):
        assert seen(SILENT, look_inside(udp_sockets=()), other).cause == "server-silent"


REFUSED_TCP, REFUSED_UDP = refused(RESET, protocol="TCP"), refused(icmp(SERVER, 3, AT_SERVER))


@pytest.mark.parametrize(
    ("world", "both", "said"),
    [
        (REFUSED_TCP, look_inside(listeners=(tcp(address="127.0.0.1"),)), "there are such at 127.0.0.1:53"),
        (REFUSED_TCP, look_inside(listeners=()), f"no TCP socket of its pod listens for what comes to {SERVER}:53"),
        (REFUSED_UDP, look_inside(udp_sockets=(udp(port=54),)), "there are such at 54"),
    ],
)
def test_that_nothing_listens_is_seen_inside(world: World, both: PodFacts, said: str) -> None:
    found = seen(world, both, both)
    assert (found.cause, found.confidence, found.not_ruled_out) == ("nothing-listening", Confidence.CERTAIN, ())
    assert said in str(found.evidence)


def test_a_listener_makes_a_refusal_somebody_elses() -> None:
    both = look_inside(listeners=(tcp(),))
    found = seen(REFUSED_TCP, both, both)
    assert (found.cause, found.confidence) == ("nothing-listening", Confidence.POSSIBLE)
    assert "and yet a TCP socket of its pod listens" in found.summary
    assert len(found.not_ruled_out) == 2


def test_a_udp_socket_that_is_connected_to_another_refuses_as_well() -> None:
    both = look_inside(udp_sockets=(udp(),))
    assert seen(REFUSED_UDP, both, both).confidence is Confidence.CERTAIN
    assert seen(REFUSED_TCP, look_inside(listeners=()), look_inside(listeners=(tcp(),))).confidence is Confidence.CERTAIN


def test_counters_of_a_healthy_pod_say_nothing() -> None:
    assert diagnose(at_server(HEALTHY, *FULL_UDP).case()) == ()
