"""The command line without a cluster."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from kubectl_vxtrace.options import duration_s, request_timeout_s

ROOT = Path(__file__).parents[1]
HEAVY = ("kubernetes", "pyshark", "numpy", "websocket", "msgspec", "tabulate", "yaml", "rich", "pydantic")


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubectl_vxtrace", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("arguments", [["--help"], ["pod", "--help"], ["analyze", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom kubectl_vxtrace.cli import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert "vxtrace" in done.stdout or "Usage" in done.stdout


def test_every_default_stands_in_the_help() -> None:
    text = _run("pod", "--help", COLUMNS="200").stdout
    for default in ("15s", "docker.io/nicolaka/netshoot:v0.16", "IfNotPresent", "privileged", "512", "10"):
        assert default in text


@pytest.mark.parametrize(
    "arguments", [["pod"], ["nonsense"], ["pod", "x", "--unknown"], ["pod", "x", "-o", "html"], ["pod", "x", "--duration", "15"]]
)
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_source_that_looks_like_a_flag_is_refused() -> None:
    done = _run("pod", "--to", "kube-dns", "--", "-x")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_explain_names_what_it_knows() -> None:
    assert "4789" in _run("explain", "underlay-udp-blocked").stdout
    unknown = _run("explain", "gremlins")
    assert unknown.returncode == 2
    assert "underlay-udp-blocked" in unknown.stderr


def test_version_without_a_cluster() -> None:
    done = _run("version", "--kubeconfig", "/nonexistent")
    assert done.returncode == 0
    assert done.stdout.startswith("Client Version: v")
    assert "no server version" in done.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m kubectl_vxtrace schema | head -c 1", shell=True, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("text", "seconds"), [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400)])
def test_durations_are_go_s(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["15", "", "s", "1d", "-1s", "0s", "1 s", "25h", "1s5"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration_s(text)


def test_request_timeout_is_kubectl_s() -> None:
    assert (request_timeout_s("0"), request_timeout_s("30"), request_timeout_s("1m")) == (None, 30.0, 60.0)
