"""Every command in the documents is one that the plugin understands. tests/e2e/test_guide.py runs those of the guide."""

import pytest
from typer.main import get_group

from kubectl_vxtrace.app import app
from kubectl_vxtrace.flags.called import called
from kubectl_vxtrace.flags.grammar import flags_of, normalised
from tests.command import ROOT
from tests.documents import DOCUMENTS, Command, commands

COMMANDS = [command for document in DOCUMENTS for command in commands(document)]


def test_all_kinds_of_commands_are_found() -> None:
    assert len(COMMANDS) > 60
    assert {command.to_run for command in COMMANDS} == {True, False}
    found = {(command.document.relative_to(ROOT).as_posix(), command.arguments) for command in COMMANDS}
    assert ("docs/wireshark.md", ("analyze", "BUNDLE.zip", "--pcap", "-")) in found
    assert ("docs/index.md", ("version",)) in found
    assert ("README.md", ("explain", "underlay-udp-blocked")) in found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.document.stem}: {command.line}")
def test_the_plugin_understands_it(command: Command) -> None:
    group = get_group(app)
    flags = flags_of(group)
    call = called(command.arguments, flags)
    assert call.name is not None
    if call.words or command.to_run:  # else its name alone, in a sentence
        group.commands[call.name].make_context(call.name, normalised(call.words, flags[call.name]))
