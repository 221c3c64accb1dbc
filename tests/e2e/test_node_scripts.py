"""The scripts of a dry run, pasted into shells on the nodes: what they record is analysed as a trace's own captures are."""

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import CLIENT, Lab, direction_of, place_of

pytestmark = [pytest.mark.lab]

SECONDS = "5s"


def _shells(place: Lab, folder: Path, duration: str = SECONDS) -> dict[str, subprocess.Popen[str]]:
    """The running script of each node."""
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--duration", duration, "--dry-run", "client", "-o", "json", cwd=folder)
    assert run.code == 0, run.stderr
    return {
        each["node"]: subprocess.Popen(
            ["ip", "netns", "exec", each["node"], "sh", "-c", each["script"]],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        for each in json.loads(run.stdout)["scripts"]
    }  # fmt: skip


def _archives(shells: Mapping[str, subprocess.Popen[str]], folder: Path) -> list[Path]:
    """What the scripts packed, one for each node."""
    moved = []
    for node, shell in shells.items():
        said, told = shell.communicate(timeout=60)
        # After Ctrl-C the shell in which the script was pasted ends by the signal, once the script has packed everything.
        assert shell.returncode in (0, -signal.SIGINT), said + told
        assert "was not found" not in told
        archive = Path(said.strip().splitlines()[-1])
        assert archive.name.rpartition("-")[0] == f"vxtrace-{node}"
        moved.append(archive.rename(folder / archive.name))
    return moved


def _analysed(place: Lab, folder: Path) -> tuple[int, dict[str, Any]]:
    run = place.vxtrace("analyze", *map(str, _archives(_shells(place, folder), folder)), "-o", "json", cwd=folder)
    return run.code, json.loads(run.stdout)


def test_a_healthy_path(place: Lab, tmp_path: Path) -> None:
    code, report = _analysed(place, tmp_path)
    assert (code, report["verdict"], report["completeness"]["complete"]) == (0, "delivered", True), report["summary"]
    assert all(capture["started"] and capture["stopped"] for capture in report["captures"])
    assert {flow["client"]["node"] for flow in report["flows"]} == {"ada-ec-1"}
    assert len({flow["server"]["node"] for flow in report["flows"]}) == 2


def test_a_loss_on_the_wire(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-udp-blocked", "--node", "ada-ec-2")
    code, report = _analysed(place, tmp_path)
    assert (code, report["verdict"]) == (3, "lost"), report["summary"]
    requests = [direction_of(flow, "request") for flow in report["flows"]]
    legs = {(place_of(each, leg["from"]), place_of(each, leg["to"])) for each in requests for leg in each["legs"] if leg["lost"]}
    assert legs == {("ada-ec-1/underlay", "ada-ec-2/underlay")}


def test_ctrl_c_ends_the_captures_and_packs_them(place: Lab, tmp_path: Path) -> None:
    shells = _shells(place, tmp_path, "10m")
    for shell in shells.values():
        assert shell.stderr is not None
        said = iter(shell.stderr.readline, "")
        assert any("capturing for" in line for line in said)
    time.sleep(2)
    for shell in shells.values():
        os.killpg(shell.pid, signal.SIGINT)
    for archive in _archives(shells, tmp_path):
        with tarfile.open(archive) as packed:
            times = packed.extractfile("./capture-times.txt")
            assert times is not None
            lines = times.read().decode().splitlines()
            captures = [name for name in packed.getnames() if name.endswith(".pcap")]
        assert len(lines) == len(captures) > 0
        assert all(int(stopped) - int(started) > 1_000_000_000 for _, started, stopped, _ in map(str.split, lines))
