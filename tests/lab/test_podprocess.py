"""Debug pods as real process trees: what works inside, how they end, and that nothing of them stays."""

import hashlib
import json
import os
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websocket import WebSocketBadStatusException, WebSocketTimeoutException

from tests.datapath.records import Lab
from tests.lab import apiserver
from tests.lab.client import V4, V5, Exec, Result, ask, debug_pod, finish, gone, running, wait_for
from tests.lab.conftest import Control, own_lab
from tests.lab.podprocess import PATH, Container, ContainerSpec, StartError

pytestmark = pytest.mark.root

Run = Callable[..., Result]


def processes_in(lab: Lab) -> set[str]:
    """The command lines of all processes in the nodes' network namespaces."""
    spaces = {(Path("/run/netns") / node.netns).stat().st_ino for node in lab.nodes}
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/net").stat().st_ino in spaces:
                    found.add(entry.name + " " + (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # ended meanwhile, or not ours to look at
    return found


def wait_until_empty(lab: Lab) -> None:
    """Wait for what the kernel was told to kill."""
    ends_s = time.monotonic() + 3
    while processes_in(lab):
        assert time.monotonic() < ends_s
        time.sleep(0.02)


def traces(lab: Lab) -> dict[str, Any]:
    """Everything on the machine that a pod could leave behind."""
    # Network namespaces are mounts too, and somebody else may make some meanwhile.
    mounts = {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - nsfs " not in line}
    folders = {
        name: sorted(entry.name for entry in Path(name).iterdir()) for name in ("/", "/dev", "/mnt", "/run/mount") if Path(name).is_dir()
    }
    return {"processes": processes_in(lab), "mounts": mounts, "folders": folders, "host": os.uname().nodename}


@pytest.fixture
def nothing_left(lab: Lab) -> Iterator[None]:
    """Fails if the machine is not as it was before."""
    before = traces(lab)
    assert before["processes"] == set()
    yield
    if traces(lab) != before:
        time.sleep(0.2)  # the list of mounts, read while somebody else's change, can miss a line
    assert traces(lab) == before


@pytest.fixture
def core(kubeconfig: str, nothing_left: None) -> Iterator[Any]:
    """The API; every debug pod is removed after the test, and then nothing may be left."""
    found = ask("CoreV1Api", kubeconfig)
    yield found
    session = "vxtrace/session=la"
    found.delete_collection_namespaced_pod("default", label_selector=session, grace_period_seconds=1)
    ends_s = time.monotonic() + 10
    while found.list_namespaced_pod("default", label_selector=session).items:
        assert time.monotonic() < ends_s
        time.sleep(0.05)


@pytest.fixture
def execute(kubeconfig: str) -> Exec:
    return Exec(kubeconfig)


@pytest.fixture
def pod(core: Any) -> str:
    """A running debug pod on ada-ec-1."""
    core.create_namespaced_pod("default", debug_pod("worker"))
    wait_for(core, "worker", running)
    return "worker"


def spec(lab: Lab, *argv: str, **changes: Any) -> ContainerSpec:
    values: dict[str, Any] = {
        "netns": f"/run/netns/{lab.nodes[0].netns}",
        "hostname": "ada-ec-1",
        "argv": argv,
        "environment": {"PATH": PATH},
    }
    return ContainerSpec(**(values | changes))


def test_start_is_quick_and_everything_ends_with_the_first_process(lab: Lab, nothing_left: None) -> None:
    log = os.memfd_create("log")
    times_s = []
    for _ in range(3):
        before_s = time.monotonic()
        container = Container.start(spec(lab, "sleep", "100", volumes=(("/capture", 1 << 20),)), log)
        times_s.append(time.monotonic() - before_s)
        inside = subprocess.Popen(container.enter(["sh", "-c", "echo in; sleep 100"]), env={"PATH": PATH}, stdout=subprocess.PIPE)
        assert inside.stdout is not None
        assert inside.stdout.readline() == b"in\n"
        container.signal(signal.SIGTERM)  # which a first process without a handler does not feel
        assert inside.poll() is None
        container.signal(signal.SIGKILL)
        assert container.reap() == 137
        assert inside.wait(5) == -signal.SIGKILL
        inside.stdout.close()
    os.close(log)
    assert statistics.median(times_s) < 0.3


def test_a_container_ends_with_the_thread_that_started_it(lab: Lab, nothing_left: None) -> None:
    log = os.memfd_create("log")
    started: list[Container] = []
    thread = threading.Thread(target=lambda: started.append(Container.start(spec(lab, "sleep", "100"), log)))
    thread.start()
    thread.join()
    assert started[0].reap() == 137  # the guardian, which takes the rest with it
    wait_until_empty(lab)
    os.close(log)


def test_what_is_shown_of_the_machine_can_be_entered_and_not_be_changed(lab: Lab, nothing_left: None) -> None:
    log = os.memfd_create("log")
    container = Container.start(spec(lab, "sleep", "100", host_paths=(("/var/run/netns", "/run/netns"),)), log)
    other = f"--net=/var/run/netns/{lab.nodes[1].netns}"
    script = f"nsenter {other} cat /proc/net/snmp; touch /var/run/netns/x || echo refused"
    said = subprocess.run(container.enter(["sh", "-c", script]), env={"PATH": PATH}, capture_output=True, text=True, check=True).stdout
    container.signal(signal.SIGKILL)
    container.reap()
    os.close(log)
    assert "Udp: InDatagrams" in said
    assert said.endswith("refused\n")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"argv": ("no-such-program",)}, 'exec: "no-such-program": executable file not found'),
        ({"netns": "/run/netns/la-not-there"}, "la-not-there"),
        ({"volumes": (("/usr/x", None),)}, "Read-only file system"),
    ],
)
def test_what_cannot_start_says_why(lab: Lab, nothing_left: None, changes: dict[str, Any], said: str) -> None:
    log = os.memfd_create("log")
    with pytest.raises(StartError) as error:
        Container.start(spec(lab, *changes.pop("argv", ("true",)), **changes), log)
    os.close(log)
    assert said in str(error.value)


def test_created_to_running_and_exec_are_quick(core: Any, execute: Exec) -> None:
    created_s = []
    for name in ("quick", "quick-2", "quick-3"):
        before_s = time.monotonic()
        core.create_namespaced_pod("default", debug_pod(name))
        found = wait_for(core, name, running)
        created_s.append(time.monotonic() - before_s)
    assert min(created_s) < 0.3
    assert (found.status.pod_ip, found.status.host_ip) == ("10.128.0.72", "10.128.0.72")
    (status,) = found.status.container_statuses
    assert status.state.running is not None
    assert status.image_id.startswith("sha256:")
    times_s = []
    for _ in range(5):
        before_s = time.monotonic()
        assert execute.run("quick", "true").code == 0
        times_s.append(time.monotonic() - before_s)
    assert min(times_s) < 0.1  # with the TLS handshake; 0.05 on an idle machine


def test_it_is_the_node_as_a_host_network_pod_sees_it(pod: str, execute: Exec) -> None:
    def say(*argv: str) -> str:
        result = execute.run(pod, *argv)
        assert result.code == 0, bytes(result.stderr)
        return result.stdout.decode()

    assert say("hostname").strip() == "ada-ec-1"
    assert {link["ifname"] for link in json.loads(say("ip", "-j", "link"))} == {"lo", "ens4", "wire"}
    assert set(say("ls", "/sys/class/net").split()) == {"lo", "ens4", "wire"}
    assert "Udp:" in say("cat", "/proc/net/snmp")
    assert say("sysctl", "-n", "net.ipv4.ip_forward").strip() in ("0", "1")
    for argv in (
        ["bridge", "-j", "fdb"],
        ["iptables-save", "-c"],
        ["nft", "list", "ruleset"],
        ["conntrack", "-L"],
        ["ethtool", "-k", "ens4"],
    ):
        say(*argv)
    environment = dict(line.split("=", 1) for line in say("env").splitlines())
    assert environment["HOSTNAME"] == "ada-ec-1"
    assert not [name for name in environment if name.startswith("KUBERNETES_")]
    assert say("cat", "/proc/1/comm").strip() == "sh"
    assert execute.run(pod, "touch", "/x").code == 1  # a read-only root
    assert "size=65536k" in say("grep", " /capture ", "/proc/mounts")
    filled = execute.run(pod, "sh", "-c", "head -c 70000000 /dev/zero > /capture/full")
    assert (filled.code != 0, b"No space left" in filled.stderr) == (True, True)


def test_a_capture_outlives_its_exec_and_stops_on_sigint(pod: str, execute: Exec, lab: Lab) -> None:
    capture = "timeout -s INT 20 tcpdump -p -i ens4 -U -w /capture/x.pcap icmp6 or arp or icmp"
    assert execute.run(pod, "sh", "-c", f"setsid nohup {capture} > /capture/out 2> /capture/err < /dev/null &").code == 0
    ends_s = time.monotonic() + 5
    while b"listening on" not in execute.run(pod, "cat", "/capture/err").stdout:
        assert time.monotonic() < ends_s
        time.sleep(0.05)
    subprocess.run(["ip", "netns", "exec", lab.nodes[0].netns, "ping", "-c", "2", "-i", "0.2", "-W", "1", "192.0.2.2"], check=False)
    assert execute.run(pod, "pkill", "-INT", "tcpdump").code == 0
    while b" captured" not in execute.run(pod, "cat", "/capture/err").stdout:
        assert time.monotonic() < ends_s
        time.sleep(0.05)
    assert len(execute.run(pod, "cat", "/capture/x.pcap").stdout) > 24


@pytest.mark.parametrize("protocol", [V5, V4])
def test_exec_gives_every_byte_and_then_the_status(pod: str, execute: Exec, protocol: str) -> None:
    script = "head -c 20000000 /dev/urandom > /capture/r; sha256sum /capture/r >&2; cat /capture/r; exit 3"
    result = execute.run(pod, "sh", "-c", script, protocol=protocol)
    assert len(result.stdout) == 20_000_000
    assert hashlib.sha256(result.stdout).hexdigest() == result.stderr.decode().split()[0]
    assert result.code == 3
    assert result.status is not None
    assert result.status["reason"] == "NonZeroExitCode"
    assert result.frames[0] == (1, 0)  # "the connection is established"
    assert result.frames[-1][0] == 3
    assert execute.run(pod, "true", protocol=protocol).status == {"metadata": {}, "status": "Success"}
    assert execute.run(pod, "sh", "-c", "kill -9 $$", protocol=protocol).code == 137


def test_standard_input_and_its_end(pod: str, execute: Exec) -> None:
    data = bytes(range(256)) * 4000
    result = execute.run(pod, "sha256sum", stdin=data)
    assert result.stdout.decode().split()[0] == hashlib.sha256(data).hexdigest()


def test_a_slow_reader_slows_the_process_down(pod: str, execute: Exec) -> None:
    socket = execute.open(pod, "sh", "-c", "head -c 50000000 /dev/zero; touch /capture/done")
    time.sleep(0.5)
    assert execute.run(pod, "ls", "/capture/done").code != 0
    assert len(finish(socket).stdout) == 50_000_000
    assert execute.run(pod, "ls", "/capture/done").code == 0


def test_a_process_survives_the_loss_of_its_connection(pod: str, execute: Exec) -> None:
    socket = execute.open(pod, "sh", "-c", "head -c 3000000 /dev/zero; sleep 0.5; touch /capture/survived")
    socket.recv()
    socket.shutdown()
    ends_s = time.monotonic() + 5
    while execute.run(pod, "ls", "/capture/survived").code != 0:
        assert time.monotonic() < ends_s
        time.sleep(0.1)


def test_programs_that_are_not_there(pod: str, execute: Exec) -> None:
    result = execute.run(pod, "nope")
    assert result.code is None
    assert result.status is not None
    assert (result.status["reason"], result.status["code"]) == ("InternalError", 500)
    assert 'exec: "nope": executable file not found in $PATH' in result.status["message"]


def test_a_cut_connection_has_no_status(pod: str, execute: Exec, faults: Control) -> None:
    faults(exec_cut_after_bytes=65536, exec_cut_times=1)
    result = execute.run(pod, "head", "-c", "1000000", "/dev/zero")
    assert (len(result.stdout), result.status) == (65536, None)
    assert len(execute.run(pod, "head", "-c", "1000000", "/dev/zero").stdout) == 1_000_000


def test_a_node_that_refuses_exec(pod: str, execute: Exec, faults: Control) -> None:
    faults(refuse_exec=["ada-ec-1"])
    wanted = "error dialing backend: dial tcp 10.128.0.72:10250: connect: connection refused"
    status = execute.run(pod, "true").status
    assert status is not None
    assert wanted in status["message"]
    with pytest.raises(WebSocketBadStatusException, match="500"):
        execute.run(pod, "true", protocol=V4)
    faults(hang_exec=["ada-ec-1"])
    socket = execute.open(pod, "true")
    socket.settimeout(0.5)
    with pytest.raises(WebSocketTimeoutException):
        socket.recv()
    socket.close()


def test_exec_where_nothing_runs(core: Any, execute: Exec) -> None:
    core.create_namespaced_pod("default", debug_pod("ended", container={"command": ["sh", "-c", "exit 4"]}))
    found = wait_for(core, "ended", lambda pod: pod.status.phase == "Failed")
    ended = found.status.container_statuses[0].state.terminated
    assert (ended.exit_code, ended.reason) == (4, "Error")
    status = execute.run("ended", "true").status
    assert status is not None
    assert status["message"] == 'Internal error occurred: unable to upgrade connection: container not found ("debug")'
    with pytest.raises(WebSocketBadStatusException, match="404"):
        execute.run("nobody", "true")
    core.create_namespaced_pod("default", debug_pod("good", container={"command": ["true"]}))
    assert wait_for(core, "good", lambda pod: pod.status.phase == "Succeeded").status.container_statuses[0].state.terminated.exit_code == 0


def test_the_deadline_ends_a_pod(core: Any, lab: Lab) -> None:
    core.create_namespaced_pod("default", debug_pod("late", activeDeadlineSeconds=1, terminationGracePeriodSeconds=0))
    found = wait_for(core, "late", lambda pod: pod.status.phase == "Failed" and pod.status.reason)
    assert (found.status.reason, found.status.message) == (
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )
    assert processes_in(lab) == set()


def test_deletion_waits_for_the_processes_and_kills_after_the_grace_period(core: Any, execute: Exec, lab: Lab) -> None:
    stubborn = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}
    core.create_namespaced_pod("default", debug_pod("stubborn", container=stubborn))
    wait_for(core, "stubborn", running)
    execute.run("stubborn", "sh", "-c", "setsid nohup sleep 100 > /dev/null 2>&1 < /dev/null &")
    before_s = time.monotonic()
    core.delete_namespaced_pod("stubborn", "default", grace_period_seconds=1)
    found = core.read_namespaced_pod("stubborn", "default")
    assert (found.status.phase, found.metadata.deletion_grace_period_seconds) == ("Running", 1)
    assert found.metadata.deletion_timestamp is not None
    wait_for(core, "stubborn", gone)
    assert processes_in(lab) == set()
    assert 0.9 < time.monotonic() - before_s < 3


def test_a_pod_that_heeds_sigterm_is_gone_at_once(core: Any, pod: str) -> None:
    before_s = time.monotonic()
    core.delete_namespaced_pod(pod, "default")
    wait_for(core, pod, gone)
    assert time.monotonic() - before_s < 1


def test_a_pod_with_fewer_rights(core: Any, execute: Exec) -> None:
    rights = {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW", "SETUID", "SETGID"]}, "allowPrivilegeEscalation": False}
    core.create_namespaced_pod("default", debug_pod("netraw", container={"securityContext": rights | {"readOnlyRootFilesystem": True}}))
    wait_for(core, "netraw", running)
    capture = execute.run("netraw", "timeout", "-s", "INT", "1", "tcpdump", "-p", "-Z", "root", "-i", "ens4", "-w", "/capture/x.pcap")
    assert b"listening on ens4" in capture.stderr
    assert b"0 packets dropped by kernel" in capture.stderr
    assert execute.run("netraw", "nft", "list", "ruleset").code != 0
    assert execute.run("netraw", "sysctl", "-w", "net.ipv4.ip_forward=1").code != 0
    assert b"NoNewPrivs:\t1" in execute.run("netraw", "cat", "/proc/self/status").stdout


def test_what_the_lab_does_not_have_is_said(core: Any) -> None:
    core.create_namespaced_pod("default", debug_pod("own-net", hostNetwork=False))
    found = wait_for(core, "own-net", lambda pod: pod.status.container_statuses and pod.status.container_statuses[0].state.waiting.message)
    assert "set hostNetwork" in found.status.container_statuses[0].state.waiting.message


def test_the_lab_s_own_pods_can_be_entered(execute: Exec, nothing_left: None) -> None:
    socket = execute.open("kotsadm-58f859745b-x4nh8", "ip", "-j", "link", namespace="kotsadm")
    assert {link["ifname"] for link in json.loads(finish(socket).stdout)} == {"lo", "ens4", "wire"}


@pytest.mark.parametrize("kill", [False, True])
def test_the_end_of_the_server_is_the_end_of_its_pods(tmp_path: Path, lab: Lab, nothing_left: None, kill: bool) -> None:
    """Also where it is killed and can do nothing about it."""
    other = own_lab(tmp_path, lab.nodes[0].netns.removesuffix("ada-ec-1"))
    kubeconfig = str(apiserver.start(other))
    core = ask("CoreV1Api", kubeconfig)
    core.create_namespaced_pod("default", debug_pod("x"))
    wait_for(core, "x", running)
    Exec(kubeconfig).run("x", "sh", "-c", "setsid nohup sleep 100 > /dev/null 2>&1 < /dev/null &")
    assert len(processes_in(lab)) >= 3
    if kill:
        os.kill(int((tmp_path / "apiserver.pid").read_text()), signal.SIGKILL)
    apiserver.stop(tmp_path)
    assert not apiserver.running(tmp_path)
    if kill:
        wait_until_empty(lab)
    assert processes_in(lab) == set()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab.json"]
