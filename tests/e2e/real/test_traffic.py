"""What real programs make of packets: kube-proxy's translation, DNS over TCP, two traces at once, many debug pods."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.model.cluster import CleanupState, Node
from kubectl_vxtrace.model.request import Access, PodOptions
from tests.cluster.kubectl import Kubectl
from tests.e2e.place import SERVICE, Lab, direction_of
from tests.e2e.real.conftest import SERVICE_ADDRESS, asking_pod
from tests.e2e.real.running import trace, tracing

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only]

NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")
TOO_MANY = 'apiserver_request_total{code="429"'


def test_the_translation_of_kube_proxy_is_followed(place: Lab, tmp_path: Path) -> None:
    """The ClusterIP stands in the pod's own packets alone; each answer comes from it again.

    Which backend is asked is chance: of the six questions of the usual two seconds all go to one of two once in 32 traces.
    """
    report = trace(place, tmp_path, duration="6s").report
    flows = [flow for flow in report["flows"] if flow["protocol"] == "UDP"]
    assert len(flows) == 2
    for flow in flows:
        backend = f"{flow['server']['address']}:53"
        there = [hop["tuple"] for hop in direction_of(flow, "request")["hops"]]
        back = [hop["tuple"] for hop in direction_of(flow, "reply")["hops"]]
        client = flow["client"]["address"]
        assert there[0] == f"{client} > {SERVICE_ADDRESS}:53"
        assert there[-1] == f"{client} > {backend}"
        assert back[0] == f"{backend} > {client}"
        assert back[-1] == f"{SERVICE_ADDRESS}:53 > {client}"


def test_dns_over_tcp(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    asking_pod(kubectl, space, "thorough", f"dig +tcp +time=1 +tries=1 @{SERVICE_ADDRESS} kubernetes.default.svc.cluster.local")
    # As many as two connections have: a capture may begin at the end of one, and the usual five are then none of the next one's data.
    arguments = (
        "pod",
        f"{space}/thorough",
        "--to",
        f"{SERVICE}:53/tcp",
        "--duration",
        "4s",
        "--show",
        "30",
        "--bundle",
        "none",
        "-o",
        "json",
    )
    run = place.vxtrace(*arguments, cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    assert {(flow["protocol"], flow["server"]["port"]) for flow in run.report["flows"]} == {("TCP", 53)}
    summaries = [packet["summary"] for packet in run.report["packets"]]
    assert any(summary.startswith("DNS A") and summary.endswith("(TCP)") for summary in summaries), summaries


def test_two_traces_at_the_same_time(place: Lab, tmp_path: Path) -> None:
    with tracing(place, tmp_path) as first, tracing(place, tmp_path) as second:
        runs = [first.end(), second.end()]
    for run in runs:
        assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
        assert run.report["cleanup"] == {"state": "confirmed", "left": []}
        assert run.report["completeness"] == {"complete": True, "blind": []}
    assert len({run.report["metadata"]["session"] for run in runs}) == 2


def test_thirty_debug_pods_are_made_without_throttling(place: Lab, kubectl: Kubectl) -> None:
    """Ten traces' worth at once. Where there are too many calls, API Priority and Fairness answers 429."""
    connection = connect(Access(kubeconfig=str(place.kubeconfig)))
    sessions = [DebugPods(connection, session=f"many{number}", options=PodOptions(), lifetime_s=120) for number in range(10)]
    nodes = [Node(name=name, annotations={}) for name in NODES]
    before = _too_many(kubectl)
    with ThreadPoolExecutor(len(sessions)) as pool:
        missing = list(pool.map(lambda session: session.start(nodes), sessions))
        cleanups = list(pool.map(lambda session: session.delete(), sessions))
    assert missing == [{}] * len(sessions)
    assert {cleanup.state for cleanup in cleanups} == {CleanupState.CONFIRMED}
    assert _too_many(kubectl) == before


def _too_many(kubectl: Kubectl) -> list[str]:
    """The API server's counts of calls that it has sent away."""
    return [line for line in kubectl.run("get", "--raw", "/metrics").splitlines() if line.startswith(TOO_MANY)]
