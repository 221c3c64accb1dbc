"""The lab's command line: what it prints, what it refuses, and that it leaves nothing."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.datapath import lock, network, processes, records, shape, tools
from tests.datapath.conftest import why_no_lab
from tests.lab.__main__ import main

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state directory of its own: these tests never see, or touch, a lab that somebody uses."""
    monkeypatch.setenv(records.STATE_VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_table_of_faults_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 8
    end = r"ada-ec-\d/(pod|bridge|vxlan|underlay)"
    for line in lines:
        name, direction, leg, cause = line.split("\t")
        assert direction in ("request", "reply")
        assert re.fullmatch(rf"{end}>({end}|-)", leg)
        assert name.partition("@")[0] == cause


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--family", "6", "--backend", "cilium"], "not built"),
        (["up", "--family", "dual"], "not built"),
        (["up", "--nodes", "1"], "from 2 to 10"),
        (["up", "--nodes", "11"], "from 2 to 10"),
        (["fault", "no-such"], "underlay-udp-blocked"),
        (["traffic", "--rate", "0"], "more than 0"),
        (["traffic", "--seconds", "-1"], "more than 0"),
    ],
)
def test_wrong_commands_are_status_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [[], ["up", "--backend", "weave"], ["fault"], ["nonsense"]])
def test_what_argparse_refuses_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", [["up"], ["down"], ["status"], ["traffic"], ["heal"], ["fault", "fdb-missing"]])
def test_without_root_a_message_says_so(command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    assert main(command) == 1
    assert "needs root" in capsys.readouterr().err


def test_elsewhere_than_on_linux_a_message_says_what_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["up"]) == 1
    assert "analyze" in capsys.readouterr().err


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tools, "TOOLS", {"no-such-tool": "dnsmasq-base", "also-none": "iproute2"})
    assert main(["up"]) == 1
    message = capsys.readouterr().err
    assert "no-such-tool, also-none" in message
    assert "apt-get install dnsmasq-base iproute2" in message


@pytest.fixture
def run(own_state: Path) -> Iterator[Run]:
    """Runs a command in a process of its own; takes down whatever is up afterwards."""
    if reason := why_no_lab():
        pytest.skip(reason)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "tests.lab", *arguments]
        return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    yield command
    assert command("down").returncode == 0
    assert not own_state.exists()
    assert processes.with_arguments(["-m", "tests.lab.apiserver", str(own_state)]) == ()
    assert not lock.LOCK_FILE.exists()
    assert not tools.namespaces() & set(shape.lab("calico", shape.MAX_NODES, "").namespaces())


@pytest.mark.root
@pytest.mark.lab
def test_up_twice_other_shape_status_and_down(run: Run, own_state: Path) -> None:
    assert run("status").returncode == 1
    first = run("up", "--nodes", "2")
    assert first.returncode == 0, first.stderr
    kubeconfig = Path(first.stdout.splitlines()[-1])
    assert kubeconfig == own_state / "kubeconfig"
    assert kubeconfig.is_file()
    pids = processes.recorded(str(own_state))

    begin = time.monotonic()
    again = run("up", "--nodes", "2")
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    assert time.monotonic() - begin < 3
    assert processes.recorded(str(own_state)) == pids

    status = run("status")
    assert status.returncode == 0, status.stderr
    assert "vxlan.calico" in status.stdout

    (own_state / "apiserver.pid").unlink()  # it is found, and not left behind, all the same
    other = run("up", "--nodes", "2", "--backend", "flannel")
    assert (other.returncode, other.stdout.splitlines()[-1:]) == (0, [str(kubeconfig)]), other.stderr
    assert "taking down" in other.stderr
    assert "flannel.1" in run("status").stdout
    assert not any(processes.alive(process) for process in pids)
    assert len(processes.with_arguments(["-m", "tests.lab.apiserver", str(own_state)])) == 1

    assert run("down").returncode == 0
    assert run("status").returncode == 1


@pytest.mark.root
@pytest.mark.lab
def test_a_fault_and_its_healing_show_in_traffic(run: Run, own_state: Path) -> None:
    assert run("up").returncode == 0
    healthy = run("traffic", "--rate", "20", "--seconds", "0.5")
    assert healthy.stdout == "sent 10 answered 10\n"
    assert run("traffic", "--kind", "http", "--seconds", "0.5").stdout == "sent 3 answered 3\n"
    assert run("traffic", "--kind", "ping", "--seconds", "0.5").stdout == "sent 3 answered 3\n"

    for words in ("is on", "was already on"):
        done = run("fault", "underlay-udp-blocked", "--node", "ada-ec-1")
        assert (done.returncode, done.stdout) == (0, "")
        assert words in done.stderr
    assert "fault underlay-udp-blocked at ada-ec-1" in run("status").stdout
    assert run("traffic", "--rate", "20", "--seconds", "0.5").stdout == "sent 10 answered 0\n"
    assert "is on at ada-ec-1" in run("up").stderr
    assert run("fault", "no-endpoints").returncode == 0  # it changes what the API says, and with it the records
    assert "no-endpoints is on at ada-ec-1" in run("up").stderr
    assert run("fault", "host-firewall", "--node", "ada-ec-9").returncode == 2
    assert run("heal").returncode == 0
    assert run("heal").returncode == 0
    assert run("traffic", "--rate", "20", "--seconds", "0.5").stdout == "sent 10 answered 10\n"


@pytest.mark.root
@pytest.mark.lab
def test_foreign_namespaces_are_not_touched(run: Run, own_state: Path) -> None:
    tools.run(["ip", "netns", "add", "ada-ec-2"])
    try:
        done = run("up")
        assert (done.returncode, done.stdout) == (1, "")
        assert "ada-ec-2" in done.stderr
        assert tools.namespaces() & set(shape.lab("calico", 3, "").namespaces()) == {"ada-ec-2"}
        assert run("down").returncode == 0
        assert "ada-ec-2" in tools.namespaces()
        assert not own_state.exists()
    finally:
        tools.run(["ip", "netns", "delete", "ada-ec-2"])


@pytest.mark.root
@pytest.mark.lab
def test_an_up_that_was_killed_half_way_is_cleared_by_the_next(run: Run, own_state: Path) -> None:
    with subprocess.Popen([sys.executable, "-m", "tests.lab", "up"], cwd=REPOSITORY, stdout=subprocess.DEVNULL) as half:
        until = time.monotonic() + 10
        while not (own_state / network.PLAN_FILE).exists() and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(0.05)
        half.kill()
    assert run("up", "--nodes", "2").returncode == 0
    assert network.problems(shape.lab("calico", 2, str(own_state))) == []
