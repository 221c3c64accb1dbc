"""What becomes of captures that fill the disk of a real debug pod."""

from pathlib import Path

import pytest

from kubectl_vxtrace import facts
from kubectl_vxtrace.capture import tcpdump
from kubectl_vxtrace.capture.session import CaptureSession
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.cluster import CleanupState, Node, NodeCommand
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CapturePlan, CaptureStatus, CaptureTask
from kubectl_vxtrace.model.request import Access, PodOptions
from kubectl_vxtrace.packets import read_pcap
from tests.e2e.place import Lab

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]

NODE = "ada-ec-1"
FOLDER = "/capture"


def _task() -> CaptureTask:
    argv = tcpdump.argv("lo", "lo.pcap", "icmp", role=Role.POD, snaplen_bytes=1500)
    return CaptureTask(id=1, tap=Tap(node=NODE, interface="lo"), role=Role.POD, file="lo.pcap", filter="icmp", argv=argv)


def test_what_a_full_disk_holds_is_fetched_and_said_and_the_node_can_still_be_asked(place: Lab, tmp_path: Path) -> None:
    """A disk of 1,100 KiB is mounted over the pod's folder: room for the reserve, and for a part of 100 pings of 1,400 bytes."""
    connection = connect(Access(kubeconfig=str(place.kubeconfig)))
    pods = DebugPods(connection, session="full", options=PodOptions(), lifetime_s=120)
    with DebugNodes(connection, pods) as nodes:

        def run(*argv: str) -> None:
            (answer,) = nodes.ask([NodeCommand(node=NODE, key="run", argv=argv, timeout_s=20, max_bytes=1 << 20)])
            assert answer.exit_code == 0, answer

        try:
            assert pods.start([Node(name=NODE, annotations={})]) == {}
            run("mount", "-t", "tmpfs", "-o", "size=1100k", "small", FOLDER)
            session = CaptureSession(nodes, CapturePlan(tasks=(_task(),), duration_s=10), FOLDER)
            session.start()
            run("ping", "-q", "-c", "100", "-i", "0.01", "-s", "1400", "127.0.0.1")
            (looked,) = nodes.ask([facts.look(NODE, local=(), remote=(), underlay=())])
            session.stop()
            (result,) = session.collect(Store(folder=tmp_path))
        finally:
            cleanup = pods.delete()
    assert cleanup.state is CleanupState.CONFIRMED
    assert result.status is CaptureStatus.PARTIAL
    assert (result.reason or "").startswith("disk full: ")
    assert result.sha256 is not None
    assert 20 < len(read_pcap(tmp_path / "lo.pcap")) < (result.captured or 0)
    assert "lo" in {link.name for link in facts.parse(looked).links}
