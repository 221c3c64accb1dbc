"""pod-firewall, and what looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.report import Finding, Leg
from tests.diagnosis.build import HEALTHY, Fate, World
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import SECOND_NS, SERVER_END, START_NS, A, B

ON_THE_HOST = replace(SERVER_END, host_network=True)
SILENT = replace(HEALTHY, requests=(Fate(count=20),), replies=())
LATE_NS = 60_000_000


def case(world: World = SILENT, *, node: str = B, reason: str = "NETFILTER_DROP", late_ns: int = 1_000_000) -> Case:
    """`world` with a drop of the kernel of `node` after each request."""
    words = tuple(
        KernelDrop(node=node, time_ns=START_NS + number * SECOND_NS // 5 + late_ns, reason=reason, location="nft_do_chain")
        for number in range(20)
    )
    made = world.case()
    return replace(made, recording=replace(made.recording, kernel_drops=words, duration_s=15.0))


def top(found: Case) -> Finding:
    return diagnose(found)[0]


def test_drops_right_behind_the_pods_interface_are_the_pods_own() -> None:
    finding = top(case())
    assert finding.cause == "pod-firewall"
    assert "inside the pod's own network namespace" in finding.summary
    assert "nsenter" in (finding.remediation or "")
    assert finding.not_ruled_out == ()


def test_what_the_client_never_acknowledged_was_dropped_in_its_pod() -> None:
    behind = Fate(count=20, leg=(6, None), outcome=OutcomeCode.LOST)
    after_requests_ns = 20 * SECOND_NS // 5  # in the file of the client's interface, which has both
    world = replace(HEALTHY, protocol="TCP", requests=(Fate(count=20),), replies=(behind,))
    finding = top(case(world, node=A, late_ns=after_requests_ns + 1_000_000))
    assert (finding.cause, finding.direction, finding.leg) == ("pod-firewall", Direction.REPLY, Leg(from_=6, to=None))
    assert "dropped 20 replies" in finding.summary
    assert "answers to them" not in finding.summary
    assert "ada-ec-1" in (finding.remediation or "")


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        pytest.param(SILENT.case(), "server-silent", id="the kernel says nothing"),
        pytest.param(case(node=A), "server-silent", id="another node's drops"),
        pytest.param(case(late_ns=LATE_NS), "server-silent", id="too late"),
        pytest.param(case(reason="SOCKET_RCVBUFF"), "socket-overflow", id="a full socket"),
        pytest.param(case(replace(SILENT, server=ON_THE_HOST)), "unknown", id="a server of the host's network"),
        pytest.param(case(replace(SILENT, roles=(*SILENT.roles[:5], Role.VXLAN))), "server-silent", id="no interface of a pod"),
    ],
)
def test_what_looks_like_it(found: Case, cause: str) -> None:
    assert top(found).cause == cause


def test_rules_of_the_node_that_counted_as_many_leave_a_doubt() -> None:
    before, after = ruled(B, (rule("FORWARD", "-p tcp -j DROP", 50), 30))
    (doubt,) = top(case(replace(SILENT, before=before, after=after))).not_ruled_out
    assert "30" in doubt


def test_what_the_kernel_dropped_before_the_socket_never_came_to_the_server() -> None:
    finding = top(case(reason="IP_CSUM"))
    assert finding.cause == "unknown"
    assert "the checksum of its IP header is wrong" in finding.summary
    assert "network namespace of kube-system/coredns-b" in (finding.remediation or "")
