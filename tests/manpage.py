"""The manual page: `python -m tests.manpage` writes docs/man/kubectl-vxtrace.1 anew from what `--help` is made of."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from typer.main import get_group

from kubectl_vxtrace import __version__
from kubectl_vxtrace.app import app
from kubectl_vxtrace.flags.examples import EXAMPLES, Example
from kubectl_vxtrace.flags.manual import Entry, Manual, cluster_entries, manual

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "man" / "kubectl-vxtrace.1"
EXIT_CODES = ROOT / "docs" / "exit-codes.md"


def page() -> str:
    """The page as it should be, for man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    group = get_group(app)
    commands: dict[str, Any] = dict(group.commands)
    yield '.\\" Made by python -m tests.manpage: do not edit.'
    yield f'.TH KUBECTL\\-VXTRACE 1 "" "kubectl\\-vxtrace {__version__}" "kubectl plugins"'
    yield from (".SH NAME", f"kubectl\\-vxtrace \\- {_text((group.help or '')[:1].lower() + (group.help or '')[1:].rstrip('.'))}")
    yield from (".SH SYNOPSIS", ".B kubectl vxtrace", ".I COMMAND", "[flags]")
    yield from (".SH EXAMPLES", *_examples(EXAMPLES[""]))
    yield ".SH COMMANDS"
    for command in commands.values():
        yield from _command(manual(command))
    yield from (".SH KUBECTL OPTIONS", "Every command that talks to a cluster takes them.", *_entries(cluster_entries(commands["pod"])))
    yield from (".SH EXIT STATUS", *_entries(_exit_codes()))
    yield ".SH ENVIRONMENT"
    yield from _entries(
        [
            Entry("KUBECONFIG", "Files of the cluster's access, as kubectl reads them."),
            Entry("NO_COLOR", "No colour, unless --color asks for it."),
        ]
    )
    yield from (".SH SEE ALSO", ".BR kubectl (1),", ".BR tcpdump (8),", ".BR wireshark (1)")


def _command(about: Manual) -> Iterator[str]:
    yield from (f".SS {_text(about.name)}", _text(about.summary), ".PP", f".B {_text(about.usage)}")
    yield from _entries(about.arguments)
    yield ".PP"
    yield from _examples(about.examples)
    for group in about.groups:
        if group.name == "Cluster":
            yield from (".PP", "Also the kubectl options below.")
            continue
        yield from (".PP", f"{_text(group.name)}:", *_entries(group.entries))


def _examples(examples: Iterable[Example]) -> Iterator[str]:
    for at, example in enumerate(examples):
        if example.about:
            yield from ([".PP"] if at else [])
            yield _text(example.about)
        yield from (".RS 4", ".nf", _text(example.line), ".fi", ".RE")


def _entries(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        yield from (".TP", f".B {_text(entry.typed)}", _text(entry.text))


def _exit_codes() -> Iterator[Entry]:
    """The rows of docs/exit-codes.md."""
    for line in EXIT_CODES.read_text(encoding="utf-8").splitlines():
        code, _, meaning = line.removeprefix("| ").removesuffix(" |").partition(" | ")
        if code.isdigit():
            yield Entry(code, meaning.replace("`", ""))


def _text(text: str) -> str:
    """Text that man(7) prints as it is: no escapes, dashes that can be pasted, no line that is a request."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{safe}" if safe.startswith(".") else safe


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
