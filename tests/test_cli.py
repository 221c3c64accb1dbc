"""The command line without a cluster."""

import json
import subprocess
import sys

import pytest

from tests.command import ROOT, call

HEAVY = ("kubernetes", "pyshark", "numpy", "websocket", "msgspec", "tabulate", "yaml", "rich")


@pytest.mark.parametrize("arguments", [["--help"], ["pod", "--help"], ["analyze", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom kubectl_vxtrace.app import app\n"
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
    "arguments", [["pod"], ["nonsense"], ["pod", "x", "--unknown"], ["pod", "x", "--port", "53"], ["pod", "x", "--duration", "15"]]
)
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pod"], "error: no pod is named\nhint: "),
        (["analyze"], "error: PATH... is missing\nhint: kubectl vxtrace analyze --help "),
        (["pod", "x", "-l", "app=x", "--to", "y"], "error: both a pod, 'x', and a selector are given\nhint: "),
        (["nonsense"], "error: there is no command 'nonsense'\nhint: "),
        (["pod", "x", "--duraton=5s"], "error: unknown flag: --duraton\nhint: did you mean --duration?"),
        (["pod", "x", "--zzz"], "error: unknown flag: --zzz\nhint: kubectl vxtrace pod --help "),
        (["pod", "x", "-o", "htm"], "error: -o htm is no form of a report\nhint: one of: table, "),
        (["pod", "x", "--show", "2000"], "error: --show: input should be less than or equal to 1000\nhint: "),
        (["pod", "x", "--to"], "error: --to needs a value\nhint: "),
        (["pod", "x", "y", "--to", "z"], "error: nothing is expected after the names, but there is: y\nhint: "),
        (["pod", "x", "--to", "y", "--duration", "15"], "error: --duration: '15' is not a duration\nhint: write for example 15s"),
        (["version", "--profile-output", "x"], "error: --profile-output: "),
        (["version", "--match-server-version"], "error: --match-server-version: "),
    ],
)
def test_every_error_speaks_with_one_voice(arguments: list[str], said: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said), done.stderr
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


def test_without_a_command_there_is_help() -> None:
    done = call()
    assert (done.returncode, done.stdout, done.stderr) == (0, call("--help").stdout, "")


def test_a_pod_by_any_of_its_names() -> None:
    for name in ("pods", "po"):
        assert call(name, "--help").stdout == call("help", name).stdout == call("pod", "--help").stdout


def test_a_source_that_looks_like_a_flag_is_refused() -> None:
    done = call("pod", "--to", "kube-dns", "--", "-x")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_version_without_a_cluster() -> None:
    done = call("version", "--kubeconfig", "/nonexistent")
    assert done.returncode == 0
    assert done.stdout.startswith("Client Version: v")
    assert "no server version" in done.stderr


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
