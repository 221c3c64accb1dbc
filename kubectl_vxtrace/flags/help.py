"""`--help`: examples first, then flags in groups, in kubectl's layout."""

import shutil
import textwrap
from collections.abc import Iterable, Iterator

from typer._click.core import Command, Context
from typer.core import TyperCommand, TyperGroup

from kubectl_vxtrace.flags.examples import EXAMPLES, Example
from kubectl_vxtrace.flags.manual import Entry, Manual, cluster_entries, manual

_WIDEST, _NARROWEST = 120, 60
_TYPED = 30
"""Columns for what is typed; what is longer has a line of its own."""


class HelpCommand(TyperCommand):
    """A command whose help is laid out here."""

    def get_help(self, ctx: Context) -> str:  # noqa: ARG002 (Click's signature)
        """The text of `--help`."""
        return "\n".join(_command_lines(manual(self)))


class HelpGroup(TyperGroup):
    """The program as a whole, whose help lists the commands."""

    def get_help(self, ctx: Context) -> str:  # noqa: ARG002 (Click's signature)
        """The text of `--help`."""
        return "\n".join(_program_lines(self))


def options_text(command: Command) -> str:
    """What `kubectl vxtrace options` prints: kubectl's flags as every cluster command takes them."""
    return (
        "\n".join(["kubectl's flags that every command takes which talks to a cluster:", "", *_entry_lines(cluster_entries(command))])
        + "\n"
    )


def _command_lines(page: Manual) -> Iterator[str]:
    yield from _wrapped(page.summary)
    yield from _example_lines(page.examples)
    yield from ("", "Usage:", f"  {page.usage}")
    if page.arguments:
        yield from ("", "Arguments:")
        yield from _entry_lines(page.arguments)
    for group in page.groups:
        yield from ("", f"{group.name}:")
        yield from _entry_lines(group.entries)
    if page.has_hidden:
        yield from ("", "kubectl's other flags (--server, --token, --as-uid, ...) are taken as well: kubectl vxtrace options")


def _program_lines(group: TyperGroup) -> Iterator[str]:
    yield from _wrapped(group.help or "")
    yield from _example_lines(EXAMPLES[""])
    yield from ("", "Commands:")
    yield from _entry_lines(Entry(name, command.help or "") for name, command in group.commands.items())
    yield from ("", "Usage:", "  kubectl vxtrace COMMAND [flags]", "")
    yield from _entry_lines([Entry("--version", "Print this version."), Entry("-h, --help", "Show this.")])
    yield from ("", "kubectl vxtrace COMMAND --help has examples and flags of a command, kubectl vxtrace options kubectl's own flags.")


def _example_lines(examples: Iterable[Example]) -> Iterator[str]:
    yield from ("", "Examples:")
    for example in examples:
        if example.about:
            yield f"  # {example.about}"
        yield f"  {example.line}"


def _entry_lines(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        typed, text = entry.typed, _wrapped(entry.text, _TYPED + 2)
        if len(typed) >= _TYPED or not text:
            yield f"  {typed}"
        else:
            text[0] = f"  {typed:{_TYPED}}{text[0].lstrip()}"
        yield from text


def _wrapped(text: str, indent: int = 0) -> list[str]:
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    margin = " " * indent
    return textwrap.wrap(text, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False, break_long_words=False)
