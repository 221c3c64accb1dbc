"""What is said of each command: examples that work, flags in groups, plain values, true defaults."""

import re
import shlex
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest
from typer.core import TyperCommand, TyperOption
from typer.main import get_group

from kubectl_vxtrace import cli
from kubectl_vxtrace.app import app
from kubectl_vxtrace.commands import analyze, check, cleanup, compare, completion, dry_run, explain, pod, schema, version
from kubectl_vxtrace.flags.examples import EXAMPLES
from kubectl_vxtrace.flags.help import options_text
from kubectl_vxtrace.flags.manual import GROUPS, OTHER, entry, group_of, manual, value_of

COMMANDS: dict[str, Any] = dict(get_group(app).commands)
LINES = [example.line for examples in EXAMPLES.values() for example in examples]
PLAIN = {
    *("DURATION", "FILE", "N", "NAME", "NAMESPACE", "TARGET", "SELECTOR", "EXPR", "IMAGE", "ID"),
    *("USER", "GROUP", "UID", "URL", "TOKEN", "TEXT", "DIRECTORY"),
}


def options() -> Iterator[tuple[str, TyperOption]]:
    for name, command in COMMANDS.items():
        yield from ((name, option) for option in command.params if isinstance(option, TyperOption))


def _recorder(run: list[str], name: str) -> Callable[..., int]:
    def record(*_: object, **__: object) -> int:
        run.append(name)
        return 0

    return record


@pytest.mark.parametrize("line", LINES)
def test_an_example_is_taken_by_the_command_line(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command line, up to the command, which is not run."""
    run: list[str] = []
    for module in (analyze, check, cleanup, compare, completion, dry_run, explain, pod, schema, version):
        monkeypatch.setattr(module, "run", _recorder(run, module.__name__.rpartition(".")[2]))
    typed = re.sub(r"^source <\((.*)\)$", r"\1", line).partition(" | ")[0].partition(" > ")[0]
    program, plugin, *words = shlex.split(typed.replace("kubectl-", "kubectl "))
    assert (program, plugin) == ("kubectl", "vxtrace")
    assert cli._call(words) == 0
    module_of = dict.fromkeys(("service", "node", "mesh"), "pod")
    assert run == ([] if words[0] == "options" else ["dry_run" if "--dry-run" in words else module_of.get(words[0], words[0])])


def test_every_command_has_examples_and_they_come_first() -> None:
    assert set(EXAMPLES) == {"", *COMMANDS}
    for name, command in COMMANDS.items():
        text = command.get_help(command.make_context(name, [], resilient_parsing=True))
        assert text.index("Examples:") < text.index("Usage:")
        assert all(f"kubectl vxtrace {name}" in example.line or "kubectl-vxtrace" in example.line for example in EXAMPLES[name])


def test_every_flag_has_a_group_and_a_plain_word_for_its_value() -> None:
    for command, option in options():
        assert group_of(option.name) != OTHER, (command, option.opts, "add it to GROUPS in flags/manual.py")
        if not option.is_flag and not option.count:
            value = value_of(option)
            words = set(re.split(r"[|=:]", value))
            assert value == "TEXT" if option.name == "password" else value != "TEXT", (command, option.opts)
            assert words <= PLAIN or all(word.isupper() or word in ("-", "none") for word in words) or "|" in value, (command, value)


def test_groups_name_only_flags_that_there_are() -> None:
    there = {option.name for _, option in options()}
    assert [name for names in GROUPS.values() for name in names if name not in there] == []


def test_defaults_are_true_and_shown() -> None:
    for command, option in options():
        shown = re.findall(r"\[default: ([^;\]]*)", entry(option).text)
        default = option.default.value if isinstance(option.default, Enum) else option.default
        if default in (None, False):
            assert len(shown) < 2, (command, option.opts)
        else:
            assert shown == [str(default)], (command, option.opts)


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_fits_the_terminal(command: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    made: TyperCommand = COMMANDS[command]
    text = made.get_help(made.make_context(command, [], resilient_parsing=True))
    lines = [line for line in text.splitlines() if "kubectl " not in line and not line.startswith("  -")]
    assert max(map(len, lines)) <= min(120, int(columns))
    for group in manual(made).groups:
        assert f"\n{group.name}:\n" in text


def test_kubectls_own_flags_are_listed_and_the_hidden_ones_said() -> None:
    text = options_text(COMMANDS["pod"])
    assert "--as-uid UID" in text
    assert "-s, --server URL" in text
    help_ = COMMANDS["pod"].get_help(COMMANDS["pod"].make_context("pod", [], resilient_parsing=True))
    assert "--as-uid UID" not in help_
    assert "kubectl vxtrace options" in help_
