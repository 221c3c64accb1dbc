"""Datagrams that came to the client's interface and that its pod did not take."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.pod_facts import PodFacts
from kubectl_vxtrace.model.report import Confidence, Severity, Verdict
from tests.diagnosis.build import HEALTHY, Fate, World
from tests.diagnosis.pods import at_client, look_inside, udp

ONE_SOCKET = replace(HEALTHY, requests=(Fate(count=24, port=40000),), replies=(Fate(count=24, port=40000),))
FULL = look_inside(udp_sockets=(udp(1, port=40000),)), look_inside(udp_sockets=(udp(6, port=40000), udp(port=41000)))


def test_the_clients_own_socket_had_no_room() -> None:
    case = at_client(ONE_SOCKET, *FULL).case()
    (found,) = diagnose(case)
    assert (found.cause, found.confidence, found.severity, found.packets) == ("socket-overflow", Confidence.LIKELY, Severity.WARNING, 5)
    assert found.summary == (
        "24 replies came to the interface of kotsadm/kotsadm-1, and its socket had no room for all of them: "
        "UDP sockets of the flow's client ports had no room for 5 packets"
    )
    assert "SO_RCVBUF" in (found.remediation or "")


def test_what_came_to_the_interface_stays_delivered_and_the_cause_is_named() -> None:
    case = at_client(ONE_SOCKET, *FULL).case()
    report = conclude(case, diagnose(case))
    assert (report.verdict, report.cause) == (Verdict.DELIVERED, "socket-overflow")


@pytest.mark.parametrize(
    ("grown", "cause", "said"),
    [
        ({"Udp.RcvbufErrors": 24}, "socket-overflow", "Udp.RcvbufErrors inside the pod grew by 24"),
        ({"Ip.InDiscards": 30}, "unknown", "Ip.InDiscards inside the pod grew by 30: discarded on the way in"),
    ],
)
def test_a_counter_of_the_pod_that_accounts_for_all_answers(grown: dict[str, int], cause: str, said: str) -> None:
    (found,) = diagnose(at_client(HEALTHY, look_inside(), look_inside(grown)).case())
    assert (found.cause, found.confidence, found.severity, found.packets) == (cause, Confidence.LIKELY, Severity.WARNING, 24)
    assert said in found.summary
    assert found.not_ruled_out == ("other traffic of the pod, which the counter counts as well",)


@pytest.mark.parametrize(
    ("world", "first", "last"),
    [
        pytest.param(HEALTHY, look_inside(), look_inside({"Udp.RcvbufErrors": 23}), id="too few"),
        pytest.param(HEALTHY, look_inside(), look_inside({"Ip.OutNoRoutes": 99}), id="of what it sent"),
        pytest.param(HEALTHY, look_inside(), look_inside({"TcpExt.ListenOverflows": 99}), id="another protocol's"),
        pytest.param(replace(HEALTHY, protocol="TCP"), look_inside(), look_inside({"Udp.RcvbufErrors": 99}), id="TCP"),
        pytest.param(HEALTHY, look_inside(), None, id="not read the second time"),
        pytest.param(ONE_SOCKET, FULL[0], FULL[0], id="nothing dropped"),
        pytest.param(
            HEALTHY,
            look_inside(udp_sockets=(udp(port=8125),)),
            look_inside({"Udp.RcvbufErrors": 99}, udp_sockets=(udp(99, port=8125),)),
            id="another socket's",
        ),
        pytest.param(ONE_SOCKET, FULL[0], look_inside(udp_sockets=(udp(9, port=40000), udp(port=40000))), id="a port of several sockets"),
        pytest.param(
            replace(HEALTHY, requests=(Fate(count=2),), replies=(Fate(count=2),)),
            look_inside(),
            look_inside({"Udp.RcvbufErrors": 9}),
            id="two answers are few",
        ),
    ],
)
def test_near_misses(world: World, first: PodFacts, last: PodFacts | None) -> None:
    assert diagnose(at_client(world, first, last).case()) == ()
