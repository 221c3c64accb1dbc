"""A lab is made whole, is told from what is not its own, and is gone without a trace when it is taken down."""

import os
import shutil
from pathlib import Path

import pytest

from tests.datapath import faults, network, processes, records, servers, shape, tools
from tests.datapath.conftest import MakeLab
from tests.datapath.records import Lab

pytestmark = [pytest.mark.root, pytest.mark.lab]


def ask(lab: Lab, kind: str, target: str, what: str) -> tuple[int, int]:
    """Sent and answered, from the client's pod."""
    argv = servers.program("ask", kind, target, what, "--rate", "20", "--seconds", "0.3")
    words = tools.run_inside(servers.client(lab).netns or "", argv).stdout.split()
    return int(words[1]), int(words[3])


@pytest.mark.parametrize(("backend", "nodes"), [("calico", 2), ("flannel", 5)])
def test_pods_reach_every_service_and_only_those_with_endpoints(make_lab: MakeLab, backend: str, nodes: int) -> None:
    with make_lab(backend, nodes) as lab:
        assert network.problems(lab) == []
        assert records.load(Path(lab.state_dir)) == lab
        for kind, target, what in (
            ("dns", "10.96.0.10:53", servers.QUESTION),
            ("http", "10.106.0.218:3000", "/bytes/200000"),
            ("http", "10.97.116.105:4001", "/"),
            ("http", "10.99.230.140:3000", "/"),
            ("http", "10.96.0.10:9153", "/"),
            ("ping", ",".join(pod.address or "" for pod in lab.pods if pod.host_interface), "-"),
            ("ping", lab.nodes[-1].address, "-"),
        ):
            sent, answered = ask(lab, kind, target, what)
            assert sent == answered > 0, (kind, target)
        assert ask(lab, "http", "10.105.80.214:5432", "/")[1] == 0


def test_taking_down_leaves_no_namespace_process_or_file(make_lab: MakeLab) -> None:
    before = tools.namespaces()
    with make_lab("calico", 2) as lab:
        pids = processes.recorded(lab.state_dir)
        assert len(pids) == len(servers.expected(lab))
        assert all(os.getsid(process.pid) == process.pid for process in pids)
    assert tools.namespaces() == before
    assert not any(processes.alive(process) for process in pids)
    assert not Path(lab.state_dir).exists()
    network.remove(Path(lab.state_dir))


def test_a_lost_state_directory_does_not_keep_it_from_being_taken_down(make_lab: MakeLab) -> None:
    before = tools.namespaces()
    with make_lab("calico", 2) as lab:
        directory = Path(lab.state_dir)
        pids = processes.recorded(lab.state_dir)
        shutil.rmtree(directory)
        assert network.own_namespaces(directory) == set(lab.namespaces())
        assert network.own_namespaces(directory / "of another lab") == set()
        network.remove(directory)
        assert tools.namespaces() == before
        assert not any(processes.alive(process) for process in pids)


def test_what_a_failed_making_left_is_taken_down(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(lab: Lab) -> None:
        raise tools.LabError("no servers today")

    before = tools.namespaces()
    monkeypatch.setattr(servers, "start_all", fail)
    with pytest.raises(tools.LabError, match="no servers today"), make_lab("flannel", 2):
        pass
    assert tools.namespaces() == before


def test_a_foreign_namespace_is_not_ours(make_lab: MakeLab, tmp_path: Path) -> None:
    name = shape.lab("calico", 2, str(tmp_path)).nodes[1].netns
    tools.run(["ip", "netns", "add", name])
    try:
        assert network.own_namespaces(tmp_path) == set()
        network.remove(tmp_path)
        assert name in tools.namespaces()
    finally:
        tools.run(["ip", "netns", "delete", name])


def test_a_missing_process_is_a_problem(make_lab: MakeLab) -> None:
    with make_lab("calico", 2) as lab:
        pod = servers.dns_pods(lab)[0]
        servers.stop_dns(lab, pod)
        assert network.problems(lab) == [f"process dns-{pod.name} does not run"]
        faults.switch_on(lab, "nothing-listening", pod.node, None)
        assert network.problems(lab) == []  # it was asked for
        faults.heal(lab)
        servers.stop_dns(lab, pod)
        servers.start_dns(lab, pod)
        servers.start_dns(lab, pod)
        assert network.problems(lab) == []
