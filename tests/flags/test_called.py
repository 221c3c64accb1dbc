"""Which command a command line calls."""

import pytest
from typer.main import get_group

from kubectl_vxtrace.app import app
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.called import Called, called
from kubectl_vxtrace.flags.grammar import flags_of

FLAGS = flags_of(get_group(app))


def call(line: str) -> Called:
    return called(line.split(), FLAGS)


@pytest.mark.parametrize(
    ("line", "name", "words"),
    [
        ("pod x", "pod", "x"),
        ("pods x -n=shop", "pod", "x -n=shop"),
        ("po x", "pod", "x"),
        ("help pod", "pod", "--help"),
        ("help po", "pod", "--help"),
        ("help pod x", "pod", "x --help"),
        ("-n shop pod x", "pod", "-n shop x"),
        ("-n=shop --context a -q pod x", "pod", "-n=shop --context a -q x"),
        ("-qn shop pod x", "pod", "-qn shop x"),
        ("-v 6 pod x", "pod", "-v 6 x"),
        ("--to explain pod x", "pod", "--to explain x"),
        ("check pod x", "check", "pod x"),
    ],
)
def test_a_command_by_any_of_its_names_and_its_flags_on_either_side(line: str, name: str, words: str) -> None:
    assert call(line) == Called(name=name, words=tuple(words.split()))


@pytest.mark.parametrize("line", ["", "--version", "-h", "-- pod", "-n shop"])
def test_no_command(line: str) -> None:
    assert call(line) == Called(before=tuple(line.split()), name=None)


def test_the_programs_own_flags_stay_before_the_command() -> None:
    assert call("-h pod x") == Called(before=("-h",), name="pod", words=("x",))
    assert call("help") == Called(name=None, words=("--help",))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("pdo x", "did you mean pod?"),
        ("Pod x", "did you mean pod?"),
        ("PODS x", "did you mean pod?"),
        ("analyse x", "did you mean analyze?"),
        ("clean-up", "did you mean cleanup?"),
        ("help chek", "did you mean check?"),
        ("zzz", "the commands: pod, service, node, mesh, analyze, compare, check"),
        ("deploy web", "kubectl vxtrace pod deploy/NAME"),
    ],
)
def test_an_unknown_command_names_the_nearest(line: str, hint: str) -> None:
    with pytest.raises(UsageError, match="there is no command") as caught:
        call(line)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("line", "name"), [("no a", "node"), ("svc x", "service"), ("help nodes", "node")])
def test_kinds_by_their_short_names(line: str, name: str) -> None:
    assert call(line).name == name
