"""The script for real, at a node with a pod: what it is told inside the pod's network namespace."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubectl_vxtrace.facts import look, parse
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.pod_facts import PodFacts
from tests.facts.test_look_script import APPLETS, SHELLS

NODE, POD, ADDRESS = "fc-inside", "fc-inside-pod", "10.244.114.75"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("ip", "ss", "nsenter", "perl", "dash", "busybox")),
        reason="needs iproute2, nsenter, perl, dash, busybox",
    ),
]

_WIRING = f"""
ip link set lo up
ip addr add 10.128.0.72/32 dev lo
ip link add cali1 type veth peer name eth0 netns {POD}
ip link set cali1 up
ip route add {ADDRESS} dev cali1
ip -n {POD} link set lo up
ip -n {POD} addr add {ADDRESS}/32 dev eth0
ip -n {POD} link set eth0 up
ip -n {POD} route add default dev eth0
"""


@pytest.fixture(scope="module", autouse=True)
def pod() -> Iterator[None]:
    try:
        for name in (NODE, POD):
            subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("network namespaces are not allowed here")
    try:
        subprocess.run(["ip", "netns", "exec", NODE, "sh", "-e"], input=_WIRING, text=True, check=True, capture_output=True)
        yield
    finally:
        for name in (POD, NODE):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def asked(shell: str, folder: Path, *, prefix: tuple[str, ...] = ()) -> NodeFacts:
    """What the node says, asked by that shell; `prefix` is a command that runs the shell."""
    command = look(NODE, local=[ADDRESS], remote=["10.244.56.129"], underlay=["10.128.0.95"])
    applets = folder / "bin"
    applets.mkdir(exist_ok=True)
    for applet in APPLETS:
        (applets / applet).unlink(missing_ok=True)
        (applets / applet).symlink_to(str(shutil.which("busybox")))
    path = f"{applets}:{os.environ['PATH']}" if shell == "busybox" else os.environ["PATH"]
    interpreter = {"dash": "dash", "busybox": str(applets / "sh")}[shell]
    argv = ["nsenter", f"--net=/run/netns/{NODE}", *prefix, interpreter, *command.argv[1:]]
    sent_ns = time.time_ns()
    done = subprocess.run(argv, capture_output=True, check=False, env={"PATH": path, "TMPDIR": str(folder)})
    assert (done.returncode, done.stderr) == (0, b"")
    return parse(
        NodeAnswer(
            command=command,
            status=AnswerStatus.OK,
            exit_code=0,
            stdout=done.stdout,
            stderr=done.stderr,
            sent_ns=sent_ns,
            received_ns=time.time_ns(),
        )
    )


@contextmanager
def running(script: str) -> Iterator[None]:
    """A program in the pod that has said a line and waits for its end."""
    argv = [
        "nsenter",
        f"--net=/run/netns/{POD}",
        sys.executable,
        "-c",
        f"import socket, sys\n{script}\nprint(flush=True)\nsys.stdin.read()",
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        yield
        program.communicate()


def from_node(script: str) -> None:
    """Run Python in the node's network."""
    argv = ["nsenter", f"--net=/run/netns/{NODE}", sys.executable, "-c", f"import socket\n{script}"]
    subprocess.run(argv, check=True, capture_output=True)


def inside(facts: NodeFacts) -> PodFacts:
    (space,), (found,) = facts.pod_namespaces, facts.pod_facts
    assert found.namespace == space.id
    return found


_FULL_BACKLOG = f"""
made = [socket.socket() for _ in range(6)]
for each in made:
    each.setblocking(False)
    each.connect_ex(("{ADDRESS}", 9100))
import time
time.sleep(0.3)
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_connections_for_which_a_listener_has_no_room(shell: str, tmp_path: Path) -> None:
    with running(f's = socket.socket(); s.bind(("{ADDRESS}", 9100)); s.listen(1)'):
        first = inside(asked(shell, tmp_path))
        from_node(_FULL_BACKLOG)
        last = inside(asked(shell, tmp_path))
    grown = last.counters["TcpExt.ListenOverflows"] - first.counters["TcpExt.ListenOverflows"]
    assert grown >= 4
    assert first.listeners is not None
    assert last.listeners is not None
    (before,), (after,) = first.listeners, last.listeners
    assert (before.address, before.port, before.waiting, before.limit, before.drops) == (ADDRESS, 9100, 0, 1, 0)
    assert (after.waiting, after.limit, after.drops) == (2, 1, grown)


@pytest.mark.parametrize("shell", SHELLS)
def test_datagrams_for_which_a_socket_has_no_room(shell: str, tmp_path: Path) -> None:
    small = "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)"
    with running(f's = socket.socket(type=socket.SOCK_DGRAM); {small}; s.bind(("0.0.0.0", 9200))'):
        first = inside(asked(shell, tmp_path))
        from_node(f's = socket.socket(type=socket.SOCK_DGRAM)\nfor _ in range(40): s.sendto(bytes(500), ("{ADDRESS}", 9200))')
        last = inside(asked(shell, tmp_path))
    assert last.udp_sockets is not None
    (socket,) = last.udp_sockets
    assert (socket.address, socket.port) == ("0.0.0.0", 9200)
    assert socket.receive_queue_bytes > 0
    assert 20 < socket.drops == last.counters["Udp.RcvbufErrors"] - first.counters["Udp.RcvbufErrors"]


@pytest.mark.skipif(any(shutil.which(tool) is None for tool in ("nft", "iptables")), reason="needs nft, iptables")
@pytest.mark.parametrize("shell", SHELLS)
def test_packet_filters_inside_the_pod(shell: str, tmp_path: Path) -> None:
    def in_pod(*argv: str) -> None:
        subprocess.run(["nsenter", f"--net=/run/netns/{POD}", *argv], check=True, capture_output=True)

    assert asked(shell, tmp_path).pod_rules == ()
    in_pod("iptables", "-w", "-A", "INPUT", "-p", "udp", "--dport", "9400", "-j", "DROP")
    in_pod("nft", "add table inet own; add chain inet own in { type filter hook input priority 1; }; add rule inet own in counter drop")
    from_node(f's = socket.socket(type=socket.SOCK_DGRAM)\nfor _ in range(5): s.sendto(b"x", ("{ADDRESS}", 9400))')
    facts = asked(shell, tmp_path)
    in_pod("nft", "flush ruleset")
    drops = {(rule.backend, rule.chain, rule.packets) for rule in facts.pod_rules if rule.target == "DROP" and rule.text != "policy"}
    assert ("iptables-nft", "INPUT", 5) in drops
    assert ("nft", "in", 0) in drops
    assert {rule.namespace for rule in facts.pod_rules} == {facts.pod_namespaces[0].id}
    assert not any("9400" in rule.text for rule in facts.rules)


def test_nobody_listens(tmp_path: Path) -> None:
    first = inside(asked("dash", tmp_path))
    from_node(f's = socket.socket(type=socket.SOCK_DGRAM)\nfor _ in range(5): s.sendto(b"x", ("{ADDRESS}", 9300))')
    last = inside(asked("dash", tmp_path))
    assert last.counters["Udp.NoPorts"] - first.counters["Udp.NoPorts"] == 5
    assert (last.udp_sockets, last.listeners) == ((), ())


@pytest.mark.parametrize("shell", SHELLS)
def test_what_may_not_be_entered_is_not_read(shell: str, tmp_path: Path) -> None:
    """A pod without CAP_SYS_ADMIN, and one that is not shown the files."""
    less = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    facts = asked(shell, tmp_path, prefix=less)
    assert facts.pod_facts == ()
    empty = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run/netns && exec "$@"', "sh")
    facts = asked(shell, tmp_path, prefix=empty)
    assert facts.pod_facts == ()
    (space,) = facts.pod_namespaces
    assert facts.absent[f"pod-counters.{space.id}"] == "no file in /var/run/netns leads into its network namespace"
