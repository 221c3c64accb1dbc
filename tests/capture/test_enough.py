"""When a capture of automatic duration has seen enough."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.capture.enough import LATE_ANSWER_S, Enough, Place, Questions, questions
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Path, Role, ServiceRef, Tap
from kubectl_vxtrace.model.recording import CaptureTask
from tests.capture.judge import compiles, needs_tcpdump

CLIENT = Endpoint(address="10.1.0.2", pod="shop/web", node="node-a")
DNS = ServiceRef(address="10.96.0.10", port=53, name="kube-system/kube-dns")
BACKENDS = (Endpoint(address="10.1.1.3", port=53, node="node-b"), Endpoint(address="10.1.2.3", port=53, node="node-c"))
CLIENT_TAP = Tap(node="node-a", interface="cali1")


def _server_tap(server: Endpoint) -> Tap:
    return Tap(node=server.node or "", interface="cali9")


def _flow(number: int, server: Endpoint, protocol: str = "UDP", service: ServiceRef | None = DNS) -> Flow:
    return Flow(id=number, protocol=protocol, client=CLIENT, service=service, server=server)


def _path(flow: Flow, last: Role = Role.POD) -> Path:
    server = flow.server or BACKENDS[0]
    hops = (
        Hop(hop=1, role=Role.POD, tap=CLIENT_TAP),
        Hop(hop=2, role=Role.VXLAN, tap=Tap(node="node-a", interface="vxlan.calico")),
        Hop(hop=3, role=last, tap=_server_tap(server)),
    )
    return Path(flow=flow.id, direction=Direction.REQUEST, hops=hops)


def _task(number: int, tap: Tap, *, argv: tuple[str, ...] = ("tcpdump",)) -> CaptureTask:
    return CaptureTask(id=number, tap=tap, role=Role.POD, file=f"{number}.pcap", argv=argv)


TASKS = (_task(1, CLIENT_TAP), *(_task(number, _server_tap(server)) for number, server in enumerate(BACKENDS, 2)))
FLOWS = tuple(_flow(number, server) for number, server in enumerate(BACKENDS, 1))


def _asked(flows: Sequence[Flow] = FLOWS, tasks: Sequence[CaptureTask] = TASKS) -> Questions | None:
    return questions(flows, [_path(flow) for flow in flows], tasks)


def test_a_service_is_counted_at_the_client_and_each_backend_at_its_own_interface() -> None:
    asked = _asked()
    assert asked is not None
    assert asked.targets == (True,)
    assert [(one.task.id, one.place, one.backend, one.filter) for one in asked.counted] == [
        (1, Place.ASKED, None, "(src host 10.1.0.2) and (dst host 10.96.0.10) and (udp) and (dst port 53)"),
        (1, Place.BACK, None, "(dst host 10.1.0.2) and (src host 10.96.0.10) and (udp) and (src port 53)"),
        (2, Place.ARRIVED, "10.1.1.3", "(src host 10.1.0.2) and (dst host 10.1.1.3) and (udp) and (dst port 53)"),
        (2, Place.ANSWERED, "10.1.1.3", "(dst host 10.1.0.2) and (src host 10.1.1.3) and (udp) and (src port 53)"),
        (3, Place.ARRIVED, "10.1.2.3", "(src host 10.1.0.2) and (dst host 10.1.2.3) and (udp) and (dst port 53)"),
        (3, Place.ANSWERED, "10.1.2.3", "(dst host 10.1.0.2) and (src host 10.1.2.3) and (udp) and (src port 53)"),
    ]


def test_what_is_asked_by_its_own_address_is_counted_by_that() -> None:
    asked = _asked([_flow(1, BACKENDS[0], "ICMP", None)])
    assert asked is not None
    assert asked.counted[0].filter == "(src host 10.1.0.2) and (dst host 10.1.1.3) and (icmp or icmp6)"


@pytest.mark.parametrize(
    ("flows", "paths", "tasks"),
    [
        pytest.param(FLOWS, [_path(FLOWS[0])], TASKS, id="a flow without a path"),
        pytest.param(FLOWS, [_path(flow, Role.VXLAN) for flow in FLOWS], TASKS, id="a server in its node's network"),
        pytest.param(FLOWS, [_path(flow) for flow in FLOWS], TASKS[:2], id="a backend that is not captured at"),
        pytest.param(FLOWS, [_path(flow) for flow in FLOWS], (*TASKS[:2], replace(TASKS[2], argv=())), id="an interface without a name"),
        pytest.param([replace(FLOWS[0], server=None)], [_path(FLOWS[0])], TASKS, id="an unknown backend"),
        pytest.param(
            [FLOWS[0], _flow(2, BACKENDS[0], service=None)],
            [_path(FLOWS[0]), _path(_flow(2, BACKENDS[0]))],
            TASKS,
            id="a backend that is asked both ways, which its own interface cannot tell apart",
        ),
        pytest.param([], [], TASKS, id="nothing"),
    ],
)
def test_what_cannot_be_counted_at_both_ends_is_not_counted(
    flows: Sequence[Flow], paths: Sequence[Path], tasks: Sequence[CaptureTask]
) -> None:
    assert questions(flows, paths, tasks) is None


def _counts(asked: int, arrived: Sequence[int], answered: Sequence[int], back: int) -> dict[int, int]:
    """In the order of the questions for two backends."""
    return dict(enumerate((asked, back, arrived[0], answered[0], arrived[1], answered[1])))


WHOLE = _counts(24, (10, 14), (10, 14), 24)
LOST = _counts(24, (10, 0), (10, 0), 10)


def _ends(*counts: dict[int, int], pause_s: float = 1.0, begin_s: float = 2.0) -> tuple[float, str] | None:
    """When the capture ends, of counts that come one after the other, and why."""
    asked = _asked()
    assert asked is not None
    judge = Enough(asked)
    for number, each in enumerate(counts):
        if (why := judge.after(begin_s + number * pause_s, each)) is not None:
            return begin_s + number * pause_s, why
    return None


def test_a_healthy_path_is_clear_when_it_is_counted_whole_twice() -> None:
    assert _ends(WHOLE, WHOLE) == (
        3.0,
        "24 requests and 24 replies came through on each of 2 backends; for a fault that is rarer: --duration 2m",
    )


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(_counts(19, (9, 10), (9, 10), 19), id="too few"),
        pytest.param(_counts(24, (24, 0), (24, 0), 24), id="a backend that was not asked"),
        pytest.param(_counts(24, (10, 11), (10, 11), 21), id="requests are missing"),
        pytest.param(_counts(24, (10, 14), (10, 11), 21), id="some are not answered"),
        pytest.param(_counts(24, (10, 14), (10, 14), 21), id="replies are missing"),
        pytest.param({**WHOLE, 1: 0}, id="no reply came back"),
        pytest.param({number: count for number, count in WHOLE.items() if number != 4}, id="a node does not answer"),
        pytest.param(_counts(0, (0, 0), (0, 0), 0), id="silence"),
    ],
)
def test_it_goes_on_otherwise(counts: dict[int, int]) -> None:
    assert _ends(counts, counts, counts) is None


def test_nothing_is_clear_at_once() -> None:
    assert _ends(WHOLE, WHOLE, WHOLE, begin_s=0.5, pause_s=0.25) is None


def test_one_packet_that_stays_missing_is_not_in_flight() -> None:
    one = _counts(24, (10, 13), (10, 13), 23)
    assert _ends(one, one, one) is None
    assert _ends(one, WHOLE) is not None
    late = _counts(24, (10, 15), (10, 15), 25)  # the servers were counted after the client
    assert _ends(one, late) is not None


def test_what_came_before_all_captures_had_begun_is_not_missing() -> None:
    asked = _asked()
    assert asked is not None
    judge = Enough(asked)
    early = _counts(6, (1, 2), (1, 2), 6)  # the servers' captures began three packets later
    later = _counts(27, (11, 13), (11, 13), 27)
    assert [judge.after(elapsed_s, counts) for elapsed_s, counts in ((0.75, early), (1.5, early), (2.3, later))] == [None] * 3
    assert judge.after(2.6, later) is not None
    lossy = Enough(asked)
    lost = _counts(31, (11, 13), (11, 13), 27)
    assert [lossy.after(elapsed_s, counts) for elapsed_s, counts in ((0.75, early), (2.3, lost), (2.6, lost))] == [None] * 3


def test_after_a_whole_count_the_next_one_follows_soon() -> None:
    asked = _asked()
    assert asked is not None
    judge = Enough(asked)
    near = [judge.is_near]
    for elapsed_s, counts in ((2.0, WHOLE), (3.0, LOST)):
        judge.after(elapsed_s, counts)
        near.append(judge.is_near)
    assert near == [False, True, False]


def test_once_is_not_enough() -> None:
    assert _ends(WHOLE, LOST, WHOLE, LOST) is None


def test_what_is_missing_is_waited_for_as_long_as_a_late_answer_takes() -> None:
    assert _ends(*[LOST] * 20) == (2.0 + LATE_ANSWER_S, "14 requests were not counted at the servers for 6 s")


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (_counts(24, (10, 14), (0, 0), 0), "24 requests were not answered for 6 s"),
        (_counts(24, (10, 14), (10, 14), 3), "21 replies were not counted at the client for 6 s"),
        (_counts(24, (10, 14), (1, 1), 2), None),
    ],
)
def test_what_is_missing_is_said(counts: dict[int, int], why: str | None) -> None:
    assert (_ends(*[counts] * 20) or (None, None))[1] == why


def test_what_is_only_on_its_way_is_not_missing() -> None:
    assert _ends(*[_counts(24, (10, 10), (10, 10), 20)] * 20) is None


def test_what_came_after_all_was_not_missing() -> None:
    short = _counts(24, (24, 0), (24, 0), 24)
    assert _ends(*[LOST] * 4, short, *[LOST] * 5) is None


def test_tcp_answers_with_another_number_of_packets() -> None:
    asked = _asked([_flow(number, server, "TCP") for number, server in enumerate(BACKENDS, 1)])
    assert asked is not None
    assert asked.targets == (False,)
    judge = Enough(asked)
    counts = _counts(40, (20, 20), (30, 30), 60)
    assert [judge.after(elapsed_s, counts) for elapsed_s in (2.0, 3.0)] == [
        None,
        "40 requests and 60 replies came through on each of 2 backends; for a fault that is rarer: --duration 2m",
    ]


def test_of_several_targets_those_that_nobody_asks_do_not_count() -> None:
    metrics = [_flow(number, replace(server, port=9153), "TCP", replace(DNS, port=9153)) for number, server in enumerate(BACKENDS, 3)]
    asked = _asked([*FLOWS, *metrics])
    assert asked is not None
    assert asked.targets == (True, False)
    judge = Enough(asked)
    counts = {**WHOLE, **dict.fromkeys(range(6, 12), 0)}
    assert [judge.after(elapsed_s, counts) is None for elapsed_s in (2.0, 3.0)] == [True, False]


def test_one_backend_is_told_in_other_words() -> None:
    asked = _asked(FLOWS[:1], TASKS[:2])
    assert asked is not None
    judge = Enough(asked)
    assert judge.after(2.0, dict.fromkeys(range(4), 20)) is None
    assert (
        judge.after(3.0, dict.fromkeys(range(4), 20))
        == "20 requests and 20 replies came through and none is missing; for a fault that is rarer: --duration 2m"
    )


@needs_tcpdump
def test_every_filter_compiles() -> None:
    flows = [
        _flow(number, server, protocol, service)
        for protocol in ("UDP", "TCP", "ICMP")
        for service in (DNS, None)
        for number, server in enumerate(BACKENDS, 1)
    ]
    for flow in flows:
        asked = _asked([flow])
        assert asked is not None
        assert [compiles(one.filter) for one in asked.counted] == [None] * 4
