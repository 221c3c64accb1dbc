"""Verdicts, impact, exit codes and the report's parts: a test for each sentence of the contract."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import with_dropped
from kubectl_vxtrace.diagnosis.report.verdict import conclude, exit_code, left_behind
from kubectl_vxtrace.errors import ExitCode
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState, ClusterSnapshot
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint, ServiceRef
from kubectl_vxtrace.model.recording import CaptureStatus, Gap
from kubectl_vxtrace.model.report import Blind, ClockBound, Impact, OffsetBound, Severity, TraceReport, Verdict, worst
from tests.diagnosis.build import HEALTHY, Fate, World, lost, of_flow
from tests.diagnosis.frames import Frame, icmp
from tests.diagnosis.nodes import facts, rule, ruled
from tests.diagnosis.places import CLIENT, SERVER, SERVICE, A, B

DROP = rule("INPUT", "-p udp --dport 4789 -j DROP", 0)


def report(world: World) -> TraceReport:
    return conclude_case(world.case())


def conclude_case(case: Case) -> TraceReport:
    return conclude(case, diagnose(case))


def admitted(world: World) -> World:
    """The world with a rule on ada-ec-2 that owns up to 24 packets lost between hops 4 and 5."""
    before, after = ruled(B, (DROP, 24))
    return replace(world, before=before, after=after)


LOST = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=())
DROPPED = admitted(replace(HEALTHY, requests=(lost(24, 4, 5),), replies=()))
REJECTED = replace(HEALTHY, requests=(Fate(count=24, leg=(6, None), outcome=OutcomeCode.REJECTED),), replies=())
UNANSWERED = replace(HEALTHY, replies=())
UNDETERMINED = replace(HEALTHY, requests=(Fate(count=24, outcome=OutcomeCode.UNDETERMINED),), replies=())


@pytest.mark.parametrize(
    ("world", "verdict", "request_verdict", "reply_verdict"),
    [
        pytest.param(HEALTHY, Verdict.DELIVERED, Verdict.DELIVERED, Verdict.DELIVERED, id="delivered"),
        pytest.param(DROPPED, Verdict.DROPPED, Verdict.DROPPED, Verdict.NO_TRAFFIC, id="a counter accounts for it"),
        pytest.param(LOST, Verdict.LOST, Verdict.LOST, Verdict.NO_TRAFFIC, id="nobody admits it"),
        pytest.param(REJECTED, Verdict.REJECTED, Verdict.REJECTED, Verdict.NO_TRAFFIC, id="an ICMP error or RST answered it"),
        pytest.param(UNANSWERED, Verdict.UNANSWERED, Verdict.DELIVERED, Verdict.UNANSWERED, id="no reply was seen at the server"),
        pytest.param(UNDETERMINED, Verdict.UNDETERMINED, Verdict.UNDETERMINED, Verdict.NO_TRAFFIC, id="it cannot be known"),
        pytest.param(
            replace(HEALTHY, requests=(Fate(count=20), lost(4, 5, 6)), replies=(Fate(count=20),)),
            Verdict.LOST,
            Verdict.LOST,
            Verdict.DELIVERED,
            id="a direction takes the worst of its packets",
        ),
        pytest.param(
            replace(HEALTHY, replies=(Fate(count=20), lost(4, 1, 2))), Verdict.LOST, Verdict.DELIVERED, Verdict.LOST, id="lost replies"
        ),
        pytest.param(
            replace(HEALTHY, requests=(Fate(count=4), lost(4, 5, 6)), replies=()),
            Verdict.LOST,
            Verdict.LOST,
            Verdict.NO_TRAFFIC,
            id="not all requests reached the server: not unanswered",
        ),
        pytest.param(
            replace(HEALTHY, replies=(), blind={6: "the capture failed"}),
            Verdict.UNDETERMINED,
            Verdict.DELIVERED,
            Verdict.UNDETERMINED,
            id="replies that nobody could have seen",
        ),
        pytest.param(replace(HEALTHY, replies=None), Verdict.DELIVERED, Verdict.DELIVERED, Verdict.NOT_APPLICABLE, id="one way only"),
    ],
)
def test_verdicts(world: World, verdict: Verdict, request_verdict: Verdict, reply_verdict: Verdict) -> None:
    made = report(world)
    assert made.verdict is verdict
    assert [direction.verdict for direction in made.flows[0].directions] == [request_verdict, reply_verdict]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.DELIVERED, Verdict.UNDETERMINED], Verdict.UNDETERMINED),
        ([Verdict.UNDETERMINED, Verdict.UNANSWERED], Verdict.UNANSWERED),
        ([Verdict.UNANSWERED, Verdict.REJECTED], Verdict.REJECTED),
        ([Verdict.REJECTED, Verdict.LOST], Verdict.LOST),
        ([Verdict.LOST, Verdict.DROPPED], Verdict.DROPPED),
        ([Verdict.NO_TRAFFIC, Verdict.DELIVERED], Verdict.DELIVERED),
        ([Verdict.NO_TRAFFIC, Verdict.NO_TRAFFIC], Verdict.NO_TRAFFIC),
        ([Verdict.NOT_APPLICABLE, Verdict.DELIVERED], Verdict.DELIVERED),
        ([], Verdict.NO_TRAFFIC),
    ],
)
def test_the_order_of_verdicts(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is expected
    assert worst(verdicts[::-1]) is expected


def no_flow(world: World) -> Case:
    """The case of `world` without any of its packets."""
    case = replace(world, requests=(), replies=None).case()
    return replace(case, paths=(), connections={})


def test_frames_between_the_ends_are_never_no_traffic() -> None:
    made = conclude_case(replace(HEALTHY.case(), paths=(), connections={}))
    assert (made.verdict, exit_code(made)) == (Verdict.UNDETERMINED, ExitCode.UNDECIDED)
    assert "frames between the ends were seen but could not be followed: 48 x" in made.summary
    (note,) = made.findings
    assert (note.cause, note.severity) == ("unknown", Severity.INFO)
    assert len(note.evidence) == 6  # one for each tap that saw some


def test_frames_that_only_carry_something_between_the_ends_are_seen_as_well() -> None:
    tunnelled = Frame(source="10.9.9.9", destination="10.8.8.8", tunnel=(CLIENT, SERVER, 40000, 4789, 42))
    made = conclude_case(no_flow(replace(HEALTHY, extra={1: (tunnelled,)})))
    assert made.verdict is Verdict.UNDETERMINED


def test_what_the_client_sent_instead_is_told() -> None:
    other = Frame(source=CLIENT, destination="10.8.8.8", source_port=40000, destination_port=443)
    made = conclude_case(no_flow(replace(HEALTHY, extra={1: (other,) * 7})))
    assert made.verdict is Verdict.NO_TRAFFIC
    assert made.summary.endswith(f"; the client sent 7 other packets, most as {CLIENT} > 10.8.8.8")


def test_a_clock_that_was_set_makes_a_report_incomplete() -> None:
    clock = ClockBound(reference=A, node=B, offset_ns=OffsetBound(low=None, high=None), samples=24, stepped=True)
    made = conclude_case(replace(HEALTHY.case(), clocks=(clock,)))
    assert (made.verdict, made.completeness.complete, exit_code(made)) == (Verdict.DELIVERED, False, ExitCode.UNDECIDED)


def test_no_packet_at_all_is_no_traffic() -> None:
    made = conclude_case(no_flow(HEALTHY))
    assert (made.verdict, made.impact, made.cause, exit_code(made)) == (Verdict.NO_TRAFFIC, Impact.NONE, None, ExitCode.UNDECIDED)
    assert made.summary == f"NO TRAFFIC, no packet from {CLIENT} to {SERVICE}, {SERVER} was seen in 5 s"
    assert "--duration" in (made.remediation or "")


def test_no_packet_where_nobody_could_see_one_is_undetermined() -> None:
    made = conclude_case(no_flow(replace(HEALTHY, blind={1: "tcpdump ended at once"})))
    assert (made.verdict, made.completeness.complete) == (Verdict.UNDETERMINED, False)


def with_second_backend(world: World, second: World) -> Case:
    """Two flows of one Service: the world's, and another backend's on the same hops."""
    one, other = world.case(), replace(second, extra=world.seen()).case()
    flow = replace(other.flows[0], id=2, server=Endpoint(address="10.244.106.65", port=53, node=B))
    return replace(
        one,
        tables=other.tables,
        paths=(*one.paths, *(of_flow(traced, flow) for traced in other.paths)),
    )


def test_the_report_takes_the_worst_flow_and_says_how_many_backends() -> None:
    blocked = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=())
    made = conclude_case(with_second_backend(blocked, replace(HEALTHY, requests=(Fate(count=26),))))
    assert (made.verdict, made.impact) == (Verdict.LOST, Impact.PARTIAL)
    assert made.summary == "LOST, 24 of 50 requests (1 of 2 backends), between ada-ec-1/ens4 and ada-ec-2/ens4"
    assert [flow.id for flow in made.flows] == [1, 2]
    assert [flow.directions[0].verdict for flow in made.flows] == [Verdict.LOST, Verdict.DELIVERED]


@pytest.mark.parametrize(
    ("world", "summary"),
    [
        (DROPPED, "DROPPED, 24 of 24 requests, between ada-ec-2/ens4 and ada-ec-2/vxlan.calico"),
        (REJECTED, "REJECTED, 24 of 24 requests, by the server behind ada-ec-2/cali2b903875fe4"),
        (UNANSWERED, "UNANSWERED, 24 of 24 requests, without a reply at ada-ec-2/cali2b903875fe4"),
        (HEALTHY, "DELIVERED, 24 requests and 24 replies"),
        (
            replace(HEALTHY, replies=(Fate(count=23), lost(1, 1, 2))),
            "LOST, 1 of 24 replies, between ada-ec-2/cali2b903875fe4 and ada-ec-2/vxlan.calico",
        ),
        (
            replace(HEALTHY, requests=(lost(9, 5, 6), lost(1, 1, 2)), replies=()),
            "LOST, 10 of 10 requests, between ada-ec-2/vxlan.calico and ada-ec-2/cali2b903875fe4 and 1 other place",
        ),
        (
            replace(HEALTHY, server=None, hops=1, requests=(lost(3, 1, None),), replies=None),
            "LOST, 3 of 3 requests (backend unknown), after ada-ec-1/cali9d8b6a7d855",
        ),
        (replace(HEALTHY, gaps=(Gap(node=B, reason="not ready"),)), "DELIVERED, 24 requests and 24 replies; not complete: not ready"),
    ],
)
def test_the_summary_is_one_line(world: World, summary: str) -> None:
    assert report(world).summary == summary


@pytest.mark.parametrize(
    ("world", "impact"),
    [
        pytest.param(HEALTHY, Impact.NONE, id="nothing is hurt"),
        pytest.param(UNDETERMINED, Impact.NONE, id="nothing is shown to be hurt"),
        pytest.param(LOST, Impact.TOTAL, id="no request arrives"),
        pytest.param(UNANSWERED, Impact.TOTAL, id="no reply is sent"),
        pytest.param(replace(HEALTHY, replies=(lost(24, 2, 3),)), Impact.TOTAL, id="no reply arrives"),
        pytest.param(replace(HEALTHY, requests=(lost(23, 5, 6), Fate()), replies=(Fate(),)), Impact.PARTIAL, id="one arrives"),
    ],
)
def test_impact(world: World, impact: Impact) -> None:
    assert report(world).impact is impact


@pytest.mark.parametrize(
    ("service", "impact"),
    [
        pytest.param(None, Impact.TOTAL, id="straight to the server: another form"),
        pytest.param(HEALTHY.case().flows[0].service, Impact.PARTIAL, id="to another server of the Service"),
    ],
)
def test_what_is_hurt_is_measured_by_its_own_form(service: ServiceRef | None, impact: Impact) -> None:
    dead, well = LOST.case(), HEALTHY.case()
    other = replace(well.flows[0], id=2, service=service)
    case = replace(well, paths=(*dead.paths, *(of_flow(traced, other) for traced in well.paths)))
    assert conclude_case(case).impact is impact


def tcp(*requests: Fate) -> World:
    return replace(HEALTHY, protocol="TCP", requests=requests)


def gone(seq: int, length: int, *, flags: int = 0x18, ack: int = 1, port: int = 41000) -> Fate:
    return replace(lost(1, 3, 4), segment=(flags, seq, ack, length), port=port)


def came(seq: int, length: int, *, flags: int = 0x18, ack: int = 1, port: int = 41000) -> Fate:
    return Fate(segment=(flags, seq, ack, length), port=port)


@pytest.mark.parametrize(
    ("world", "impact"),
    [
        pytest.param(tcp(gone(100, 50), came(100, 50)), Impact.RECOVERED, id="sent again"),
        pytest.param(tcp(gone(100, 50), came(100, 20), came(120, 30)), Impact.RECOVERED, id="sent again in pieces"),
        pytest.param(tcp(gone(100, 20), gone(120, 30), came(90, 80)), Impact.RECOVERED, id="sent again merged"),
        pytest.param(tcp(gone(2**32 - 10, 50), came(2**32 - 10, 50)), Impact.RECOVERED, id="over the end of the numbers"),
        pytest.param(tcp(gone(0, 0, flags=0x02), came(0, 0, flags=0x02)), Impact.RECOVERED, id="SYN sent again"),
        pytest.param(tcp(gone(5, 0, flags=0x10, ack=70), came(5, 9, ack=90)), Impact.RECOVERED, id="a later ACK covers it"),
        pytest.param(tcp(gone(5, 0, flags=0x10, ack=90), came(5, 9, ack=70)), Impact.PARTIAL, id="no later ACK"),
        pytest.param(tcp(gone(100, 50), came(100, 49)), Impact.PARTIAL, id="one byte is missing"),
        pytest.param(tcp(gone(100, 50), came(100, 50, port=41001)), Impact.PARTIAL, id="another connection's numbers"),
        pytest.param(tcp(gone(0, 0, flags=0x02), came(1, 5)), Impact.PARTIAL, id="a SYN is not its data"),
        pytest.param(tcp(gone(100, 50)), Impact.TOTAL, id="never again"),
        pytest.param(replace(tcp(gone(100, 50), came(100, 50)), protocol="UDP"), Impact.PARTIAL, id="UDP does not recover"),
    ],
)
def test_recovered_means_that_every_lost_segment_arrived_in_another_copy(world: World, impact: Impact) -> None:
    made = report(world)
    assert (made.verdict, made.impact) == (Verdict.LOST, impact)
    assert made.summary.endswith("every lost segment arrived in another copy") is (impact is Impact.RECOVERED)


@pytest.mark.parametrize(
    ("world", "code", "strict"),
    [
        pytest.param(HEALTHY, ExitCode.DELIVERED, ExitCode.DELIVERED, id="delivered"),
        pytest.param(LOST, ExitCode.BROKEN, ExitCode.BROKEN, id="lost"),
        pytest.param(DROPPED, ExitCode.BROKEN, ExitCode.BROKEN, id="dropped"),
        pytest.param(REJECTED, ExitCode.BROKEN, ExitCode.BROKEN, id="rejected"),
        pytest.param(UNANSWERED, ExitCode.BROKEN, ExitCode.BROKEN, id="unanswered"),
        pytest.param(replace(LOST, interrupted=True), ExitCode.BROKEN, ExitCode.BROKEN, id="lost, even when incomplete"),
        pytest.param(UNDETERMINED, ExitCode.UNDECIDED, ExitCode.UNDECIDED, id="undetermined"),
        pytest.param(replace(HEALTHY, blind={3: "cut"}), ExitCode.UNDECIDED, ExitCode.UNDECIDED, id="delivered but incomplete"),
        pytest.param(tcp(gone(100, 50), came(100, 50)), ExitCode.DELIVERED, ExitCode.BROKEN, id="recovered"),
    ],
)
def test_exit_codes(world: World, code: ExitCode, strict: ExitCode) -> None:
    made = report(world)
    assert exit_code(made) is code
    assert exit_code(made, strict=True) is strict


@pytest.mark.parametrize(
    ("cleanup", "left"),
    [
        (None, False),
        (Cleanup(state=CleanupState.CONFIRMED), False),
        (Cleanup(state=CleanupState.UNCONFIRMED), True),
        (Cleanup(state=CleanupState.UNCONFIRMED, left=("default/vxtrace-7f3a-ada-ec-1",)), True),
        (Cleanup(state=CleanupState.KEPT, left=("default/vxtrace-7f3a-ada-ec-1",)), False),
    ],
)
def test_what_may_be_left_behind(cleanup: Cleanup | None, left: bool) -> None:
    made = report(replace(HEALTHY, cleanup=cleanup))
    assert left_behind(made) is left
    assert (made.cleanup is None) is (cleanup is None)


def test_the_top_cause_is_the_surest_error_then_the_largest() -> None:
    made = report(admitted(replace(HEALTHY, requests=(lost(24, 4, 5), lost(40, 5, 6)), replies=())))
    assert [finding.cause for finding in made.findings] == ["host-firewall", "unknown"]
    assert made.cause == "host-firewall"
    assert made.remediation == made.findings[0].remediation
    assert made.verdict is Verdict.DROPPED
    assert made.summary.startswith("DROPPED, 64 of 64 requests, between ada-ec-2/ens4 and ada-ec-2/vxlan.calico and 1 other place")


def test_a_healthy_report_names_no_cause() -> None:
    made = report(HEALTHY)
    assert (made.cause, made.remediation, made.findings) == (None, None, ())


def test_settling_marks_only_the_packets_of_the_leg_and_only_once() -> None:
    case = admitted(replace(HEALTHY, requests=(lost(24, 4, 5), lost(3, 5, 6), Fate(count=2)), replies=())).case()
    findings = diagnose(case)
    once = with_dropped(case, findings)
    assert [int((once.paths[0].journeys.outcome == code).sum()) for code in OutcomeCode] == [2, 0, 0, 3, 24]
    assert not once.paths[0].journeys.outcome.flags.writeable
    assert (with_dropped(once, findings).paths[0].journeys.outcome == once.paths[0].journeys.outcome).all()
    assert (case.paths[0].journeys.outcome == OutcomeCode.LOST).sum() == 27


def test_a_case_that_is_settled_gives_the_same_findings() -> None:
    case = DROPPED.case()
    findings = diagnose(case)
    assert diagnose(with_dropped(case, findings)) == findings


@pytest.mark.parametrize(
    ("world", "blind"),
    [
        pytest.param(HEALTHY, (), id="all was seen"),
        pytest.param(replace(HEALTHY, zero={5: "vxlan.calico was down"}), (), id="a device that was down saw all there was"),
        pytest.param(replace(HEALTHY, blind={4: "cut"}), (Blind(node=B, interface="ens4", reason="cut"),), id="a blind hop, once"),
        pytest.param(
            replace(HEALTHY, gaps=(Gap(node="ada-ec-3", reason="not ready"),)),
            (Blind(node="ada-ec-3", interface=None, reason="not ready"),),
            id="a gap",
        ),
        pytest.param(
            replace(HEALTHY, gaps=(Gap(node=B, interface="ens4", reason="again"),), blind={4: "cut"}),
            (Blind(node=B, interface="ens4", reason="cut"),),
            id="a gap that a blind hop says already",
        ),
        pytest.param(
            replace(HEALTHY, interrupted=True), (Blind(node=None, interface=None, reason="the trace was interrupted"),), id="interrupted"
        ),
    ],
)
def test_completeness(world: World, blind: tuple[Blind, ...]) -> None:
    seen = report(world).completeness
    assert (seen.complete, seen.blind) == (not blind, blind)


def test_what_only_the_cluster_knows_is_said_and_hides_nothing() -> None:
    by_hand = replace(HEALTHY, gaps=(Gap(reason="only capture files were given"),), status=CaptureStatus.PRESUMED)
    made = report(by_hand)
    assert made.completeness.complete
    assert [blind.reason for blind in made.completeness.blind] == ["only capture files were given"]
    assert exit_code(made) is ExitCode.DELIVERED
    traced = report(replace(by_hand, snapshot=ClusterSnapshot()))
    assert not traced.completeness.complete


def test_the_other_parts_restate_the_recording() -> None:
    made = report(replace(HEALTHY, cleanup=Cleanup(state=CleanupState.CONFIRMED, pods=2)))
    assert (made.metadata.session, made.metadata.started, made.metadata.duration_s) == ("7f3a", "2026-11-18T11:06:40Z", 5.0)
    assert [(device.node, device.interface, device.vni, device.port, device.mtu) for device in made.overlay.devices] == [
        (A, "vxlan.calico", 4096, 4789, 1410),
        (B, "vxlan.calico", 4096, 4789, 1410),
    ]
    assert [capture.id for capture in made.captures] == [1, 2, 3, 4, 5, 6]
    assert (made.captures[2].interface, made.captures[2].started) == ("ens4", "2026-11-18T11:06:40.000000000Z")
    flow = made.flows[0]
    assert (flow.connections, flow.client.pod, flow.client.port) == (24, "kotsadm/kotsadm-1", None)
    assert flow.server is not None
    assert (flow.server.address, flow.server.port) == (SERVER, 53)
    assert flow.service is not None
    assert flow.service.name == "kube-system/kube-dns"
    assert [direction.direction for direction in flow.directions] == [Direction.REQUEST, Direction.REPLY]
    assert [hop.hop for hop in flow.directions[0].hops] == [1, 2, 3, 4, 5, 6]
    assert made.packets == ()


def test_files_by_hand_have_no_times_and_no_closing_numbers() -> None:
    made = report(replace(HEALTHY, status=CaptureStatus.PRESUMED))
    assert {(capture.started, capture.stopped, capture.dropped_by_kernel) for capture in made.captures} == {(None, None, None)}


def test_an_unknown_backend_has_no_server_and_no_reply_direction() -> None:
    made = report(replace(HEALTHY, server=None, hops=3, requests=(lost(3, 1, 2),), replies=None))
    assert made.flows[0].server is None
    assert made.flows[0].directions[1].verdict is Verdict.NOT_APPLICABLE
    assert (made.verdict, made.cause) == (Verdict.LOST, "unknown")


def test_rejected_on_the_way_is_rejected_and_stands_in_its_leg() -> None:
    asked = HEALTHY.frame(Direction.REQUEST, 0, 40000, Fate())
    world = replace(
        HEALTHY, requests=(lost(24, 1, 2, outcome=OutcomeCode.REJECTED),), replies=(), extra={1: (icmp("10.128.0.72", 0, asked),)}
    )
    made = report(world)
    assert (made.verdict, made.cause) == (Verdict.REJECTED, "unknown")
    assert made.summary == "REJECTED, 24 of 24 requests, between ada-ec-1/cali9d8b6a7d855 and ada-ec-1/vxlan.calico"


def test_background_noise_of_the_device_does_not_admit_a_loss() -> None:
    after = (facts(A, later=True, vx={"tx.dropped": 100}), facts(B, later=True))
    made = report(replace(HEALTHY, requests=(lost(24, 2, 3),), replies=(), after=after))
    assert (made.verdict, made.cause) == (Verdict.LOST, "unknown")
