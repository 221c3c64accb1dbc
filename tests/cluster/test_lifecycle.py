"""Up and down, cut short in the middle: afterwards the machine is as it was. Takes minutes; skipped while a cluster is up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import cgroups, places, plan, underlay
from tests.datapath import tools

pytestmark = [pytest.mark.cluster]


def _machine() -> dict[str, set[str]]:
    """What a cluster could leave behind."""
    first, second = cgroups.hierarchies(Path("/proc/self/mounts").read_text())
    groups = {str(path) for place in (*first, *second) for path in place.glob(f"{cgroups.OURS}*")}
    links = tools.run(["ip", "-o", "link"]).stdout
    return {
        "processes": _processes(),
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "namespaces": tools.namespaces(),
        "control groups": groups,
        "cables": {underlay.HOST_INTERFACE} & {line.split()[1].partition("@")[0] for line in links.splitlines()},
        "files": {str(path) for path in (places.state_dir(), places.KUBECONFIG) if path.exists()},
    }


def _processes() -> set[str]:
    """Everything that runs a program of the cluster's, or was given a file of its."""
    words = (str(places.state_dir()).encode(), str(places.cache_dir()).encode(), b"containerd", b"tests/cluster/programs")
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # ended in between
            if any(word in command for word in words):
                found.add(f"{entry.name} {command!r}")
    return found


@pytest.fixture
def as_before() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the cluster's nodes are namespaces of this machine")
    if plan.read(places.state_dir()) is not None:
        pytest.skip("a cluster is up, and this test would take it down: `make cluster-down` first")
    before = _machine()
    yield
    _command("down").wait()
    assert _machine() == before


def _command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cluster", *arguments], cwd=places.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said, but: {''.join(said)}")


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("cni", plan.NETWORKS)
def test_up_then_down_leaves_nothing(cni: str) -> None:
    begin = time.monotonic()
    process = _command("up", "--cni", cni)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    if "building" not in said:
        assert time.monotonic() - begin < 60
    assert places.KUBECONFIG.exists()
    down = _command("down")
    assert down.wait(timeout=60) == 0
    assert not places.KUBECONFIG.exists()
    assert not places.state_dir().exists()


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_start_takes_down_what_was_begun(number: signal.Signals) -> None:
    before = _machine()
    process = _command("up")
    _until(process, "the API answers")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert _machine() == before


@pytest.mark.usefixtures("as_before")
def test_a_signal_before_the_api_answers() -> None:
    before = _machine()
    process = _command("up")
    until = time.monotonic() + 60
    while not (places.state_dir() / "pki").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert _machine() == before


@pytest.mark.usefixtures("as_before")
def test_a_start_that_was_killed_is_taken_down_by_down() -> None:
    before = _machine()
    process = _command("up")
    _until(process, "the API answers")
    process.kill()
    process.wait()
    assert _machine() != before
    assert _command("down").wait(timeout=60) == 0
    assert _machine() == before


@pytest.mark.usefixtures("as_before")
def test_foreign_namespaces_are_left_alone() -> None:
    tools.ip_batch(None, ["netns add ada-ec-2"])
    try:
        process = _command("up")
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "ada-ec-2" in said
        assert "ada-ec-2" in tools.namespaces()
    finally:
        tools.ip_batch(None, ["netns delete ada-ec-2"])
