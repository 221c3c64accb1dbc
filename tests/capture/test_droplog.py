"""The kernel's drop log: its text, and the script for real under the shells of Debian and Alpine."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.capture import droplog
from kubectl_vxtrace.capture.dropsession import DropSession
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.facts import KernelDrop

NODE = "ada-ec-1"
# Printed by Linux 6.18; the times and pointers are shortened.
_LOG = b"""vxtrace-droplog 1 ok
# tracer: nop
#
# entries-in-buffer/entries-written: 6/6   #P:2
#
            dash-9616    [001] ...1. 16395.000000: tracing_mark_write: vxtrace-clock 1795427529000000000
            dash-9616    [001] ...1. 16395.002000: tracing_mark_write: vxtrace-clock 1795427529002500000
         a b: kfree_skb: [1] x-8435 [000] .Ns1. 16395.959216: kfree_skb: skbaddr=00000000cd667772 rx_sk=0000000000000000 \
protocol=2048 location=nft_do_chain+0x3e8/0x610 reason: NETFILTER_DROP
          ping-9629    [001] ..s.. 16396.071430: kfree_skb: skbaddr=00 protocol=34525 location=00000000deadbeef reason: NEIGH_FAILED
            dash-9672    [000] ...1. 16400.000000: tracing_mark_write: vxtrace-clock 1795427534000100000
            dash-9672    [000] ...1. 16400.003000: tracing_mark_write: vxtrace-clock 1795427534003050000
"""


def _answer(stdout: bytes, *, status: AnswerStatus = AnswerStatus.OK, stderr: bytes = b"", reason: str | None = None) -> NodeAnswer:
    command = droplog.stop(NODE, "7f3a00", "/capture")
    return NodeAnswer(command=command, status=status, exit_code=0, stdout=stdout, stderr=stderr, reason=reason)


def test_a_log_becomes_drops_in_unix_time() -> None:
    """Marks say that Unix time is ahead by 1795411134.0005 s at least, and by 1795411134.00250 s at most (the first pair)."""
    log = droplog.read_log(_answer(_LOG))
    first, second = log.drops
    assert (log.reason, first.reason, first.location, first.ethertype) == (None, "NETFILTER_DROP", "nft_do_chain", 0x0800)
    assert (second.reason, second.location, second.ethertype) == ("NEIGH_FAILED", "", 0x86DD)
    true_ns = 1_795_411_134_000_500_000 + 16395_959_216_000
    assert abs(first.time_ns - true_ns) <= first.uncertainty_ns
    assert first.uncertainty_ns < 1_500_000
    # From when its first marks were written until its last ones were begun.
    assert log.logged_ns == (1_795_427_529_002_500_000, 1_795_427_534_000_100_000)


def test_a_function_in_a_module_is_told_with_it() -> None:
    """%pS prints "name+offset/size [module]" (Documentation/core-api/printk-formats.rst); a build id may follow the module's name."""
    place = b"nft_do_chain+0x3e8/0x610"
    for printed in (b"vxlan_rcv+0x12/0x9f0 [vxlan]", b"vxlan_rcv+0x12/0x9f0 [vxlan 5f4e77]"):
        first, second = droplog.read_log(_answer(_LOG.replace(place, printed))).drops
        assert (first.location, first.module, first.address, first.socket) == ("vxlan_rcv", "vxlan", None, False)
        assert (second.location, second.module, second.address, second.socket) == ("", None, "00000000deadbeef", None)


def test_reasons_are_kept_as_the_kernel_says_them() -> None:
    """A subsystem's reason that the tracepoint has no word for is a number (mac80211, openvswitch)."""
    for said, kept in ((b"0x30001", "0x30001"), (b"SKB_DROP_REASON_XDP", "XDP"), (b"A_NEW_ONE", "A_NEW_ONE")):
        assert droplog.read_log(_answer(_LOG.replace(b"NETFILTER_DROP", said))).drops[0].reason == kept


def test_what_was_on_its_way_into_a_socket() -> None:
    (found, _) = droplog.read_log(_answer(_LOG.replace(b"rx_sk=0000000000000000", b"rx_sk=00000000beef4e55"))).drops
    assert found.socket is True


def test_a_clock_that_was_stepped_widens_the_doubt() -> None:
    stepped = _LOG.replace(b"1795427534", b"1795427544")
    assert droplog.read_log(_answer(stepped)).drops[0].uncertainty_ns > 4_900_000_000


def test_a_node_that_tells_whole_seconds_is_right_within_one() -> None:
    coarse = _LOG.replace(b"9002500000", b"9000000000").replace(b"4000100000", b"4000000000").replace(b"4003050000", b"4000000000")
    assert 400_000_000 < droplog.read_log(_answer(coarse)).drops[0].uncertainty_ns < 600_000_000


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"vxtrace-droplog 1 absent tracefs cannot be mounted: denied\n", "tracefs cannot be mounted: denied"),
        (b"vxtrace-droplog 1 ok\n", "the log's clock cannot be told"),
        (b"vxtrace-droplog 1 ok\n\xff\x00 kfree_skb: ]\n", "the log's clock cannot be told"),
        (_LOG.replace(b"6/6", b"6/90"), "the log is not whole: there were more drops than its buffer holds"),
        (_LOG + b"CPU:1 [LOST 12 EVENTS]\n", "the log is not whole: there were more drops than its buffer holds"),
    ],
)
def test_what_is_no_whole_log_says_why(raw: bytes, reason: str) -> None:
    assert droplog.read_log(_answer(raw)).reason == reason


def test_why_a_node_gave_no_log() -> None:
    assert droplog.why_not(_answer(b"", status=AnswerStatus.ABSENT, reason="no debug pod")) == "no debug pod"
    assert droplog.why_not(_answer(b"", status=AnswerStatus.FAILED, stderr=b"sh: unshare: not found\n")) == "sh: unshare: not found"
    assert droplog.why_not(_answer(b"", status=AnswerStatus.TIMEOUT)) == "no answer in time"
    cut = droplog.read_log(_answer(_LOG, status=AnswerStatus.TRUNCATED))
    assert (len(cut.drops), cut.reason) == (2, "the log is not whole: its end is missing")


def test_nodes_of_one_kernel_have_logs_of_their_own() -> None:
    names = {droplog.start(node, "7f3a00", "/capture", 60).argv[-2] for node in ("a", "b")}
    assert len(names) == 2
    assert all(name.startswith("vxtrace-7f3a00-") for name in names)


class _Nodes:
    """Nodes of which one cannot start its log."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        self.asked += [f"{command.node} {command.key}" for command in commands]
        return tuple(replace(_answer(self._say(command)), command=command) for command in commands)

    def _say(self, command: NodeCommand) -> bytes:
        if command.node == "b":
            return b"vxtrace-droplog 1 absent it was never started\n" if "stop" in command.key else b"vxtrace-droplog 1 absent no\n"
        return _LOG


def test_a_session_says_what_each_node_said() -> None:
    nodes = _Nodes()
    session = DropSession(nodes, ("a", "b"), session="7f3a00", directory="/capture", limit_s=60)
    session.start()
    a, b = session.collect()
    assert (a.reason, [drop.node for drop in a.drops], b.reason) == (None, ["a", "a"], "no")
    assert nodes.asked == ["a droplog-start", "b droplog-start", "a droplog-stop", "b droplog-stop"]


def test_an_answer_that_is_lost_is_asked_for_again() -> None:
    class Forgetful(_Nodes):
        def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
            fresh = {f"{command.node} {command.key}" for command in commands} - set(self.asked)
            answers = super().ask(commands)
            return tuple(
                replace(answer, stdout=b"", status=AnswerStatus.TRUNCATED, reason="the stream broke")
                if f"{answer.command.node} {answer.command.key}" in fresh
                else answer
                for answer in answers
            )

    nodes = Forgetful()
    session = DropSession(nodes, ("a",), session="7f3a00", directory="/capture", limit_s=60)
    session.start()
    [log] = session.collect()
    assert (log.reason, len(log.drops)) == (None, 2)
    assert nodes.asked == ["a droplog-start", "a droplog-start", "a droplog-stop", "a droplog-stop"]


def test_where_no_pod_may_nobody_is_asked() -> None:
    nodes = _Nodes()
    session = DropSession(nodes, ("a",), session="7f3a00", directory="/capture", limit_s=60, refused="not privileged")
    session.start()
    assert [(log.node, log.reason) for log in session.collect()] == [("a", "not privileged")]
    assert nodes.asked == []


SHELLS = ("dash", "busybox")
_needed = ("unshare", "mount", *SHELLS)
real = pytest.mark.skipif(os.geteuid() != 0 or any(shutil.which(tool) is None for tool in _needed), reason=f"needs root and {_needed}")


def _run(shell: str, command: NodeCommand, *, before: str = "true") -> NodeAnswer:
    """`before` runs first, in the command's own mount namespace."""
    interpreter = {"dash": ["dash"], "busybox": ["busybox", "sh"]}[shell]
    argv = [*command.argv[:2], "sh", "-c", f'{before} && exec "$@"', "sh", *interpreter, *command.argv[3:]]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=20)
    return NodeAnswer(command=command, status=AnswerStatus.OK, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def _instances(session: str) -> list[str]:
    script = "[ -d /sys/kernel/tracing/instances ] || mount -t tracefs tracefs /sys/kernel/tracing; ls /sys/kernel/tracing/instances"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no tracefs here: {done.stderr}")
    return [name for name in done.stdout.split() if name.startswith(f"vxtrace-{session}-")]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[str]:
    """An id of a trace whose logs are taken away whatever becomes of the test."""
    name = f"t{os.getpid():x}{time.monotonic_ns() % 4096:x}"
    _instances(name)
    yield name
    subprocess.run(["sh", str(tmp_path / ".finish")], check=False, capture_output=True)
    assert _instances(name) == []


@real
@pytest.mark.root
@pytest.mark.parametrize("shell", SHELLS)
def test_addresses_of_older_kernels_become_functions(shell: str, tmp_path: Path) -> None:
    """A log as Linux 5.17 prints it, in a tracefs of our own making; symbols are this machine's."""
    symbols = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    address = next((int(words[0], 16) for words in symbols if words[2] == "kfree_skb_list_reason" and words[1] in "tT"), 0)
    if not address:
        pytest.skip("this machine's symbols cannot be read")
    traces = tmp_path / "tracing"
    instance = traces / "instances" / "i"
    instance.mkdir(parents=True)
    line = (
        f"  x-1 [001] ..s1. 16397.5: kfree_skb: skbaddr=ffff888104b3c200 protocol=2048 location={address + 9:016x} reason: NETFILTER_DROP\n"
    )
    (instance / "trace").write_text(line)
    (instance / "trace_marker").write_text("")
    (tmp_path / ".drops").write_text("/sys/kernel/tracing/instances/i\n")
    stop = _run(shell, droplog.stop(NODE, "t0", str(tmp_path)), before=f"mount --bind {traces} /sys/kernel/tracing")
    told = stop.stdout.decode()
    assert "location=kfree_skb_list_reason reason: NETFILTER_DROP" in told
    assert "skbaddr=1 " in told
    assert "ffff" not in told


@real
@pytest.mark.root
@pytest.mark.parametrize("shell", SHELLS)
def test_a_queue_that_nobody_reads_is_told_by_its_function(shell: str, session: str, tmp_path: Path) -> None:
    """The kernel has no word for it, so that the place is all that it says."""
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if release < (6, 5) or shutil.which("iptables") is None:
        pytest.skip("needs Linux 6.5, which can filter by function, and iptables")
    assert droplog.why_not(_run(shell, droplog.start(NODE, session, str(tmp_path), 60))) is None
    send = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 99)); s.send(b'x')"
    script = f'ip link set lo up && iptables -A OUTPUT -p udp -j NFQUEUE --queue-num 7 && {sys.executable} -c "{send}"'
    subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, check=False)
    log = droplog.read_log(_run(shell, droplog.stop(NODE, session, str(tmp_path))))
    assert ("NOT_SPECIFIED", "nf_queue") in {(drop.reason, drop.location) for drop in log.drops}


def _drop_a_datagram() -> int:
    """A datagram to a port of this machine that nobody listens on; the Unix time before."""
    now_ns = time.time_ns()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        sender.sendto(b"x", ("127.0.0.1", 9))
    return now_ns


@real
@pytest.mark.root
@pytest.mark.parametrize("shell", SHELLS)
def test_a_drop_of_this_machine_is_told_with_its_time(shell: str, session: str, tmp_path: Path) -> None:
    for _ in range(2):  # its answer may be lost
        assert droplog.why_not(_run(shell, droplog.start(NODE, session, str(tmp_path), 60))) is None
    assert len(_instances(session)) == 1
    dropped_ns = _drop_a_datagram()
    answer = _run(shell, droplog.stop(NODE, session, str(tmp_path)))
    assert _instances(session) == []
    log = droplog.read_log(answer)
    assert log.reason is None or "not whole" in log.reason
    mine = [drop for drop in log.drops if drop.reason == "NO_SOCKET" and _fits(drop, dropped_ns)]
    assert mine
    assert not (tmp_path / ".finish").exists()
    assert _run(shell, droplog.stop(NODE, session, str(tmp_path))).stdout == answer.stdout
    assert "mounted" not in answer.stderr.decode()


def _fits(drop: KernelDrop, dropped_ns: int) -> bool:
    """A drop lies within its doubt of the time when a datagram was sent, or of the 50 ms after it."""
    return dropped_ns - drop.uncertainty_ns <= drop.time_ns <= dropped_ns + 50_000_000 + drop.uncertainty_ns


@real
@pytest.mark.root
@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_first_process_runs_at_its_end_takes_the_log_away(shell: str, session: str, tmp_path: Path) -> None:
    assert droplog.why_not(_run(shell, droplog.start(NODE, session, str(tmp_path), 60))) is None
    subprocess.run(["sh", str(tmp_path / ".finish")], check=True, capture_output=True)
    assert _instances(session) == []
    assert droplog.read_log(_run(shell, droplog.stop(NODE, session, str(tmp_path)))).reason == "the trace instance is gone"


@real
@pytest.mark.root
def test_a_log_that_was_left_behind_is_taken_away_after_its_time(session: str, tmp_path: Path) -> None:
    assert droplog.why_not(_run("dash", droplog.start("left", session, str(tmp_path), -1))) is None
    other = tmp_path / "other"
    other.mkdir()
    assert droplog.why_not(_run("dash", droplog.start(NODE, session, str(other), 60))) is None
    assert [droplog.start(NODE, session, "", 0).argv[-2]] == [name.rpartition("-")[0] for name in _instances(session)]
    _run("dash", droplog.stop(NODE, session, str(other)))


@real
@pytest.mark.root
def test_a_directory_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    answer = _run("dash", droplog.start(NODE, "t0", str(tmp_path / "no"), 60))
    assert droplog.why_not(answer)
    assert _instances("t0") == []
