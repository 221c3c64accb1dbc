"""nothing-listening, server-silent, socket-overflow, no-endpoints."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Scope, Service, ServicePort
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_flow, with_paths
from tests.diagnosis.frames import Frame, icmp
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import CLIENT, NIC_B, SECOND_NS, SERVER, SERVER_END, SERVICE, START_NS, TAPS, A, B

REFUSED = Fate(count=24, leg=(6, None), outcome=OutcomeCode.REJECTED)
AT_SERVER = HEALTHY.frame(Direction.REQUEST, 5, 40000, Fate())
RESET = Frame(source=SERVER, destination=CLIENT, protocol=6, source_port=53, destination_port=40000, flags=0x14)


def refused(*answers: Frame, protocol: str = "UDP") -> World:
    return replace(HEALTHY, protocol=protocol, requests=(REFUSED,), replies=(), extra={6: answers})


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(refused(icmp(SERVER, 3, AT_SERVER)), id="ICMP port unreachable"),
        pytest.param(refused(RESET, protocol="TCP"), id="RST"),
        pytest.param(replace(refused(icmp(SERVER, 3, AT_SERVER)), requests=(replace(REFUSED, leg=None),)), id="refused without a leg"),
    ],
)
def test_a_server_that_says_no_does_not_listen(world: World) -> None:
    (found,) = diagnose(world.case())
    assert (found.cause, found.confidence, found.severity) == ("nothing-listening", Confidence.CERTAIN, Severity.ERROR)
    assert (found.leg, found.packets) == (Leg(from_=6, to=None), 24)
    assert [ref.capture for proof in found.evidence[1:] for ref in proof.frames] == [6]


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(refused(icmp(NIC_B, 3, AT_SERVER)), id="the node said it, not the server"),
        pytest.param(refused(icmp(SERVER, 13, AT_SERVER)), id="prohibited"),
        pytest.param(refused(replace(RESET, destination_port=41111), protocol="TCP"), id="an RST of another connection"),
        pytest.param(refused(replace(RESET, flags=0x12), protocol="TCP"), id="a SYN-ACK"),
        pytest.param(refused(), id="no answer in the files"),
    ],
)
def test_near_misses_of_a_refusal(world: World) -> None:
    (found,) = diagnose(world.case())
    assert (found.cause, found.leg) == ("unknown", Leg(from_=6, to=None))


def test_files_by_hand_make_a_refusal_likely() -> None:
    (found,) = diagnose(replace(refused(icmp(SERVER, 3, AT_SERVER)), status=CaptureStatus.PRESUMED).case())
    assert (found.cause, found.confidence) == ("nothing-listening", Confidence.LIKELY)


def test_requests_without_any_reply_find_a_silent_server() -> None:
    (found,) = diagnose(replace(HEALTHY, replies=()).case())
    assert (found.cause, found.confidence, found.leg) == ("server-silent", Confidence.LIKELY, Leg(from_=6, to=None))
    assert (found.direction, found.packets) == (Direction.REQUEST, 24)


def unsocketed(case: Case) -> Case:
    """The case in which the kernel says with each packet that it has no socket for one."""
    times_ns = case.tables[TAPS[5]].time_ns[case.paths[0].journeys.row[:, -1]].tolist()
    drops = tuple(KernelDrop(node=B, time_ns=time_ns + 1000, reason="NO_SOCKET", location="__udp4_lib_rcv") for time_ns in times_ns)
    return replace(case, recording=replace(case.recording, kernel_drops=drops))


def answered_from(*, port: int = 40083, address: str = SERVER, to_port: int = 40000, protocol: int = 17) -> Frame:
    at = START_NS + 60 * SECOND_NS
    return Frame(source=address, destination=CLIENT, protocol=protocol, source_port=port, destination_port=to_port, time_ns=at)


ONE_SOCKET = (Fate(count=4, port=40000),)
HEARD_ELSEWHERE = [
    pytest.param((answered_from(),), "port 40083, which a client", Confidence.LIKELY, id="another port"),
    pytest.param(
        (answered_from(address="10.244.56.140", port=53),), "address 10.244.56.140, which", Confidence.LIKELY, id="another address"
    ),
    pytest.param(
        (answered_from(), replace(answered_from(), source=CLIENT, destination=SERVER, source_port=40000, destination_port=40083)),
        "port 40083, with which the client goes on",
        Confidence.POSSIBLE,
        id="a protocol that changes ports",
    ),
]


@pytest.mark.parametrize(("frames", "said", "confidence"), HEARD_ELSEWHERE)
def test_a_server_that_answers_from_elsewhere_is_not_silent(frames: tuple[Frame, ...], said: str, confidence: Confidence) -> None:
    world = replace(HEALTHY, requests=ONE_SOCKET, replies=(), extra={6: (*frames, icmp(CLIENT, 3, frames[0]))})
    case = world.case()
    findings = diagnose(unsocketed(case))
    assert (findings[0].cause, findings[0].confidence, findings[0].leg) == ("unknown", confidence, Leg(from_=6, to=None))
    assert said in findings[0].summary
    assert any("the client refuses these answers" in proof.text for proof in findings[0].evidence)
    assert "NO_SOCKET" not in str(findings[0])


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(answered_from(to_port=41111), id="to another socket"),
        pytest.param(answered_from(address="10.244.56.140"), id="from another address and port"),
        pytest.param(answered_from(protocol=6), id="TCP"),
        pytest.param(replace(answered_from(), destination="10.244.114.99"), id="to another client"),
        pytest.param(replace(answered_from(), time_ns=1), id="before anything was asked"),
    ],
)
def test_what_answers_nobodys_question_leaves_the_server_silent(frame: Frame) -> None:
    (found,) = diagnose(replace(HEALTHY, requests=ONE_SOCKET, replies=(), extra={6: (frame,)}).case())
    assert found.cause == "server-silent"


STATSD = replace(
    HEALTHY, requests=(Fate(count=9, port=40000), Fate(count=9, port=40001)), replies=(), server=replace(SERVER_END, port=8125)
)


def paced(world: World, *gaps_ms: int) -> Case:
    """The case of that world, with these gaps between the packets of each of its sockets, again and again."""
    case = world.case()
    journeys = case.paths[0].journeys
    times_ns = journeys.time_ns.copy()
    for port in set(journeys.client_port.tolist()):
        mine = np.flatnonzero(journeys.client_port == port)
        gaps = np.resize(np.array(gaps_ms), len(mine))
        times_ns[mine] = START_NS + np.cumsum(gaps) * 1_000_000
    return with_paths(case, journeys=(replace(journeys, time_ns=times_ns), case.paths[1].journeys))


def test_where_the_client_waits_for_no_answer_the_server_is_only_possibly_silent() -> None:
    (found,) = diagnose(paced(STATSD, 200, 400))
    assert (found.cause, found.confidence, found.packets) == ("server-silent", Confidence.POSSIBLE, 18)
    assert "if the protocol answers at all" in found.summary
    assert (found.remediation or "").startswith("If the protocol does not answer (StatsD, syslog, NetFlow), nothing is wrong here")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(paced(STATSD, 200, 200, 200, 1000), id="a pause in which it may have waited"),
        pytest.param(paced(replace(STATSD, requests=(Fate(count=18),)), 200), id="a socket for each packet"),
        pytest.param(
            paced(replace(STATSD, requests=(Fate(count=9, port=40000), Fate(count=2, port=40001))), 200), id="one socket sent two"
        ),
        pytest.param(paced(replace(STATSD, server=SERVER_END), 200), id="DNS"),
        pytest.param(paced(replace(STATSD, protocol="TCP"), 200), id="TCP"),
        pytest.param(unsocketed(paced(STATSD, 200)), id="the kernel says that nobody listens"),
    ],
)
def test_a_client_that_may_wait_for_answers_makes_a_silent_server_likely(case: Case) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.confidence) == ("server-silent", Confidence.LIKELY)
    assert "if the protocol answers" not in found.summary


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(HEALTHY, id="answered"),
        pytest.param(replace(HEALTHY, replies=(Fate(count=1),)), id="one answer"),
        pytest.param(replace(HEALTHY, replies=(), blind={6: "the capture failed"}), id="nobody could have seen a reply"),
        pytest.param(
            replace(HEALTHY, replies=(), extra={6: (HEALTHY.frame(Direction.REPLY, 5, 40000, Fate()),)}), id="answered after the window"
        ),
        pytest.param(
            replace(HEALTHY, replies=(), requests=(Fate(count=5, outcome=OutcomeCode.UNDETERMINED),)), id="nothing known to arrive"
        ),
    ],
)
def test_servers_that_are_not_silent(world: World) -> None:
    assert [found.cause for found in diagnose(world.case()) if found.severity is Severity.ERROR] == []


REJECTED_AT_ONCE = replace(
    HEALTHY,
    server=None,
    hops=1,
    requests=(lost(24, 1, None, outcome=OutcomeCode.REJECTED),),
    replies=None,
    extra={1: (icmp(SERVICE, 3, HEALTHY.frame(Direction.REQUEST, 0, 40000, Fate())),)},
)


def snapshot(*backends: Backend) -> ClusterSnapshot:
    service = Service(namespace="kube-system", name="kube-dns", addresses=(SERVICE,), selector={}, backends=backends)
    return ClusterSnapshot(services=(service,))


@pytest.mark.parametrize(
    ("world", "cause", "confidence"),
    [
        pytest.param(replace(REJECTED_AT_ONCE, snapshot=snapshot()), "no-endpoints", Confidence.CERTAIN, id="the API names none"),
        pytest.param(
            replace(REJECTED_AT_ONCE, snapshot=snapshot(Backend(address=SERVER, port=53, ready=False))),
            "no-endpoints",
            Confidence.CERTAIN,
            id="none is ready",
        ),
        pytest.param(REJECTED_AT_ONCE, "no-endpoints", Confidence.LIKELY, id="the API was not asked"),
        pytest.param(
            replace(REJECTED_AT_ONCE, snapshot=snapshot(Backend(address=SERVER, port=53))),
            "unknown",
            Confidence.POSSIBLE,
            id="one is ready",
        ),
        pytest.param(replace(REJECTED_AT_ONCE, extra={}), "unknown", Confidence.POSSIBLE, id="no refusal in the files"),
    ],
)
def test_a_service_without_endpoints(world: World, cause: str, confidence: Confidence) -> None:
    (found,) = diagnose(world.case())
    assert (found.cause, found.confidence, found.leg) == (cause, confidence, Leg(from_=1, to=None))


NO_ENDPOINTS = rule("KUBE-SERVICES", f'-d {SERVICE}/32 --comment "kube-system/kube-dns:dns has no endpoints" -j REJECT', 7)
FEW_ANSWERED = replace(
    REJECTED_AT_ONCE,
    requests=(lost(2, 1, None, outcome=OutcomeCode.REJECTED), Fate(count=52, reach=1, outcome=OutcomeCode.UNDETERMINED)),
    snapshot=snapshot(),
)


def counted(world: World, growth: int) -> World:
    """`world`, in which kube-proxy's rule for a Service without endpoints has counted so many packets."""
    before, after = ruled(A, (rule("OUTPUT", "-j KUBE-SERVICES", 900), growth), (rule("FORWARD", "-j KUBE-SERVICES", 900), growth))
    own, grown = (NO_ENDPOINTS,), (replace(NO_ENDPOINTS, packets=7 + growth),)
    return replace(
        world,
        before=tuple(replace(one, rules=one.rules + own) if one.node == A else one for one in before),
        after=tuple(replace(one, rules=one.rules + grown) if one.node == A else one for one in after),
    )


@pytest.mark.parametrize(("growth", "packets"), [(60, 54), (54, 54), (53, 2), (0, 2)])
def test_refusals_that_are_limited_in_rate_stand_for_all_that_the_rule_counted(growth: int, packets: int) -> None:
    case = counted(FEW_ANSWERED, growth).case()
    findings = diagnose(case)
    (found,) = findings
    assert (found.cause, found.confidence, found.packets) == ("no-endpoints", Confidence.CERTAIN, packets)
    assert any(one.kind is EvidenceKind.ABSENCE and "52 more requests got no answer" in one.text for one in found.evidence)
    report = conclude(case, findings)
    assert report.summary.startswith("REJECTED, 2 of 54 requests (backend unknown), after ada-ec-1/cali9d8b6a7d855; ")
    assert "52 more requests got no answer at all: a kernel sends ICMP errors at a limited rate" in report.summary


def test_what_a_server_got_and_did_not_answer_beside_what_it_refused() -> None:
    quoted = HEALTHY.frame(Direction.REQUEST, 5, 40000, Fate())
    world = replace(
        HEALTHY,
        requests=(Fate(outcome=OutcomeCode.REJECTED, leg=(6, None)), Fate(count=23)),
        replies=(Fate(count=3, port=40001),),
        extra={6: (icmp(SERVER, 3, quoted),)},
    )
    case = world.case()
    assert "REJECTED, 1 of 24 requests" in conclude(case, diagnose(case)).summary
    assert "; 22 more requests got no answer at all: a kernel sends ICMP errors" in conclude(case, diagnose(case)).summary


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(REJECTED_AT_ONCE, id="all were answered"),
        pytest.param(
            replace(REJECTED_AT_ONCE, hops=2, requests=(lost(2, 2, None, outcome=OutcomeCode.REJECTED), lost(22, 1, 2))),
            id="the others vanished before",
        ),
    ],
)
def test_nothing_is_said_of_others(world: World) -> None:
    case = world.case()
    findings = diagnose(case)
    assert "no answer at all" not in conclude(case, findings).summary
    assert not any("no answer at all" in proof.text for found in findings for proof in found.evidence)


SILENT = replace(HEALTHY, replies=())


def full(world: World, *, host: bool = True, counter: str = "Udp.RcvbufErrors", growth: int = 24) -> Case:
    """`world`, whose server's node counted so many packets for which a socket had no room."""
    first, last = (replace(look, counters={**look.counters, counter: 0}) for look in (world.before[1], world.after[1]))
    last = replace(last, counters={**last.counters, counter: growth})
    made = replace(world, before=(world.before[0], first), after=(world.after[0], last))
    case = replace(made, server=replace(SERVER_END, host_network=host)).case()
    return with_flow(case, replace(case.flows[0], server=replace(SERVER_END, host_network=host)))


def with_drops(case: Case, reason: str, *, node: str = B, late_ns: int = 100_000) -> Case:
    """The kernel of `node` named a drop `late_ns` after each request was seen last."""
    times = case.tables[TAPS[5]].time_ns
    drops = tuple(KernelDrop(node=node, time_ns=int(time) + late_ns, reason=reason, location="__udp_queue_rcv_skb") for time in times)
    return replace(case, recording=replace(case.recording, kernel_drops=drops))


@pytest.mark.parametrize(
    ("case", "confidence", "kind"),
    [
        pytest.param(full(SILENT), Confidence.LIKELY, EvidenceKind.COUNTER, id="the node counts, for all its sockets"),
        pytest.param(with_drops(full(SILENT), "SOCKET_RCVBUFF"), Confidence.CERTAIN, EvidenceKind.KERNEL, id="and its kernel says so"),
        pytest.param(with_drops(SILENT.case(), "SOCKET_RCVBUFF"), Confidence.LIKELY, EvidenceKind.KERNEL, id="a pod's: the kernel alone"),
        pytest.param(
            full(replace(SILENT, protocol="TCP"), counter="TcpExt.ListenOverflows"), Confidence.LIKELY, EvidenceKind.COUNTER, id="accept"
        ),
    ],
)
def test_a_socket_without_room(case: Case, confidence: Confidence, kind: EvidenceKind) -> None:
    (found,) = diagnose(case)
    assert (found.cause, found.confidence, found.leg) == ("socket-overflow", confidence, Leg(from_=6, to=None))
    assert kind in {one.kind for one in found.evidence}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(full(SILENT, host=False), id="the node's counter says nothing of a pod"),
        pytest.param(full(SILENT, growth=3), id="too little was counted"),
        pytest.param(full(SILENT, counter="TcpExt.ListenOverflows"), id="another protocol's"),
        pytest.param(with_drops(SILENT.case(), "NO_SOCKET"), id="the kernel says something else"),
        pytest.param(with_drops(SILENT.case(), "SOCKET_RCVBUFF", node=A), id="on another node"),
        pytest.param(with_drops(SILENT.case(), "SOCKET_RCVBUFF", late_ns=150_000_000), id="at another time"),
    ],
)
def test_near_misses_of_a_full_socket(case: Case) -> None:
    assert diagnose(case)[0].cause == "server-silent"


def on_the_node(case: Case) -> Case:
    """`case`, whose server is in its node's own network."""
    return with_flow(case, replace(case.flows[0], server=replace(SERVER_END, host_network=True)))


@pytest.mark.parametrize("reason", ["NETFILTER_DROP", "NO_SOCKET"])
def test_what_a_nodes_packet_filter_dropped_did_not_come_to_a_silent_server(reason: str) -> None:
    found = diagnose(with_drops(on_the_node(SILENT.case()), reason))[0]
    assert (found.cause, found.leg) == ("unknown" if reason == "NETFILTER_DROP" else "server-silent", Leg(from_=6, to=None))
    assert reason in found.summary


def test_drops_beside_some_of_the_requests_leave_a_nodes_server_silent() -> None:
    case = with_drops(on_the_node(SILENT.case()), "NETFILTER_DROP")
    few = replace(case, recording=replace(case.recording, kernel_drops=case.recording.kernel_drops[:6]))
    assert diagnose(few)[0].cause == "server-silent"


def to_node_port(*, node_port: int | None = 30_080, asked: int = 30_080, pod: str | None = None) -> Case:
    """Requests to a node's own address that got no answer, and a Service with a node port."""
    port = ServicePort(name="http", port=80, protocol="UDP", node_port=node_port)
    service = Service(namespace="shop", name="web", addresses=("10.96.0.80",), selector={}, ports=(port,))
    snapshot = ClusterSnapshot(scope=Scope.NEAR, namespace="shop", services=(service,))
    world = replace(HEALTHY, replies=(), snapshot=snapshot)
    node = Endpoint(address=NIC_B, port=asked, node=B, host_network=True, pod=pod)
    return with_flow(world.case(), replace(world.flow(), service=None, server=node))


def test_a_node_port_hands_requests_on_and_is_no_silent_server() -> None:
    found = diagnose(to_node_port())[0]
    assert (found.cause, found.confidence, found.leg) == ("unknown", Confidence.POSSIBLE, Leg(from_=6, to=None))
    assert "the node port of shop/web" in found.summary
    assert "externalTrafficPolicy" in (found.remediation or "")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(to_node_port(node_port=None), id="no node port"),
        pytest.param(to_node_port(asked=9100), id="another port"),
        pytest.param(to_node_port(pod="shop/agent"), id="a pod that listens there itself"),
    ],
)
def test_what_listens_on_a_node_itself_may_be_silent(case: Case) -> None:
    assert diagnose(case)[0].cause == "server-silent"
