"""The command line without a cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT, call

HEAVY = ("kubernetes", "pyshark", "numpy", "websocket", "msgspec", "tabulate", "yaml", "rich")


@pytest.mark.parametrize("arguments", [["--help"], ["pod", "--help"], ["analyze", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom kubectl_vxtrace.cli import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    # Typer itself imports pydantic as soon as there is a subcommand.
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert "vxtrace" in done.stdout or "Usage" in done.stdout


def test_every_default_stands_in_the_help() -> None:
    text = call("pod", "--help", COLUMNS="200").stdout
    for default in ("15s", "docker.io/nicolaka/netshoot:v0.16", "IfNotPresent", "privileged", "512", "10"):
        assert default in text


@pytest.mark.parametrize(
    "arguments", [["pod"], ["nonsense"], ["pod", "x", "--unknown"], ["pod", "x", "-o", "html"], ["pod", "x", "--duration", "15"]]
)
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_source_that_looks_like_a_flag_is_refused() -> None:
    done = call("pod", "--to", "kube-dns", "--", "-x")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_version_without_a_cluster() -> None:
    done = call("version", "--kubeconfig", "/nonexistent")
    assert done.returncode == 0
    assert done.stdout.startswith("Client Version: v")
    assert "no server version" in done.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [(["an"], {"analyze"}), (["pod", "--dura"], {"--duration"}), (["pod", "--profile", ""], {"privileged", "netraw"})],
)
def test_completion_for_a_shell(words: list[str], wanted: set[str]) -> None:
    typed = " ".join(["kubectl-vxtrace", *words])
    done = call(_KUBECTL_VXTRACE_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words)))
    assert (done.returncode, set(done.stdout.split())) == (0, wanted)


def test_completion_for_kubectl(tmp_path: Path) -> None:
    """The script in docs/completion.md, called as kubectl calls it."""
    text = (ROOT / "docs" / "completion.md").read_text()
    script = tmp_path / "kubectl_complete-vxtrace"
    script.write_text(text.partition("```sh\n")[2].partition("```")[0])
    program = tmp_path / "kubectl-vxtrace"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kubectl_vxtrace "$@"\n')
    for path in (script, program):
        path.chmod(0o755)
    path_variable = f"{tmp_path}:{os.environ['PATH']}"
    for words, wanted in ((["ana"], ["analyze", ":4"]), (["pod", "x", "--color", ""], ["auto", "always", "never", ":4"])):
        done = subprocess.run(
            [script, *words], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PATH": path_variable}
        )
        assert done.stdout.split() == wanted


def test_commands_that_check_take_what_a_trace_takes() -> None:
    """Every cluster command has kubectl's flags and the output's."""
    for command in ("pod", "check", "cleanup", "version"):
        text = call(command, "--help", COLUMNS="200").stdout
        flags = "--kubeconfig --context --cluster --user --namespace --as --as-group --request-timeout --output --color --quiet --verbose"
        for flag in flags.split():
            assert f"{flag} " in text or f"{flag}\n" in text, (command, flag)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cleanup", "-n", "=shop"], "'=shop' is no name of a namespace"),
        (["cleanup", "--debug-namespace", "Shop"], "'Shop' is no name of a namespace"),
        (["pod", "web", "--to", "api", "-n", "../shop"], "'../shop' is no name of a namespace"),
        (["pod", "web", "--to", "api", "--debug-namespace=_"], "'_' is no name of a namespace"),
        (["check", "-n=a b"], "'a b' is no name of a namespace"),
        (["version", "-q=perhaps"], "-q is a switch"),
    ],
)
def test_values_that_cannot_be_are_refused(arguments: list[str], said: str) -> None:
    done = call(*arguments, "--kubeconfig", "/nonexistent")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_are_read_as_kubectl_reads_them() -> None:
    done = call("version", "-o=json", "--kubeconfig=/nonexistent", "--quiet=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["serverVersion"] is None


def test_help_may_be_asked_for_as_a_command() -> None:
    assert call("help").stdout == call("--help").stdout
    assert call("help", "check").stdout == call("check", "--help").stdout != ""
    assert call("help", "nonsense").returncode == 2


def test_the_version_alone_asks_no_cluster() -> None:
    done = call("--version", KUBECONFIG="/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == call("version", "-q", "--kubeconfig", "/nonexistent").stdout


@pytest.mark.parametrize(
    "arguments", [["node", "a", "--to", "node/b"], ["service", "web"], ["mesh"], ["mesh", "-h"], ["compare"], ["help", "completion"]]
)
def test_a_command_that_is_not_built_says_so(arguments: list[str]) -> None:
    done = call(*arguments)
    name = arguments[-1] if arguments[0] == "help" else arguments[0]
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {name} is not in this version\nhint: " in done.stderr
