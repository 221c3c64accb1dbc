"""The plugin as the real kubectl finds it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import binaries, places
from tests.e2e.place import CLIENT, SERVICE, Lab

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]


@pytest.fixture
def kubectl_call(tmp_path: Path) -> list[str]:
    """A folder on the PATH with kubectl and the plugin in it; the command `kubectl`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "kubectl").symlink_to(binaries.ensure(print)["kubectl"])
    plugin = folder / "kubectl-vxtrace"
    plugin.write_text(f'#!/bin/sh\nPYTHONPATH={places.ROOT} exec {sys.executable} -m kubectl_vxtrace "$@"\n')
    plugin.chmod(0o755)
    (folder / "kubectl_complete-vxtrace").write_text(_completion())
    (folder / "kubectl_complete-vxtrace").chmod(0o755)
    return [str(folder / "kubectl")]


def _completion() -> str:
    """The script that the manual gives."""
    _, _, behind = (places.ROOT / "docs" / "completion.md").read_text().partition("```sh\n")
    return behind.partition("```")[0]


def _run(place: Lab, argv: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**place.environment(), "PATH": f"{cwd / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_is_listed(place: Lab, kubectl_call: list[str], tmp_path: Path) -> None:
    done = _run(place, [*kubectl_call, "plugin", "list"], tmp_path)
    assert str(tmp_path / "bin" / "kubectl-vxtrace") in done.stdout.split()


def test_a_trace(place: Lab, kubectl_call: list[str], tmp_path: Path) -> None:
    done = _run(place, [*kubectl_call, "vxtrace", "pod", CLIENT, "--to", SERVICE, "--duration", "2s", "--bundle", "none"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "DELIVERED" in done.stdout


def test_its_exit_code_is_kubectl_s(place: Lab, kubectl_call: list[str], tmp_path: Path) -> None:
    done = _run(place, [*kubectl_call, "vxtrace", "pod", "kotsadm/no-such-pod", "--to", SERVICE], tmp_path)
    assert done.returncode == 2
    assert "kubectl vxtrace" in done.stderr or "no-such-pod" in done.stderr


def test_its_commands_are_completed(place: Lab, kubectl_call: list[str], tmp_path: Path) -> None:
    done = _run(place, [*kubectl_call, "__complete", "vxtrace", "ana"], tmp_path)
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == ["analyze", ":4"]
