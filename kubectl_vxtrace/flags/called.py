"""Which command a command line calls, by any of its names."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.grammar import CommandFlags, has_level, takes_next

# As kubectl takes plural and short names of the same kinds.
ALIASES = {"pods": "pod", "po": "pod", "nodes": "node", "no": "node", "services": "service", "svc": "service"}
_WORKLOADS = frozenset({"deployment", "deployments", "deploy", "statefulset", "statefulsets", "sts", "daemonset", "daemonsets", "ds"})
_OF_THE_PROGRAM = frozenset({"-h", "--help", "--version"})
HELP = "help"


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A command line in three: the words of the program itself (`--help`), the command, and its own words; `name` is None where there is
    no command. A command's flags may stand before it."""

    before: tuple[str, ...] = ()
    name: str | None
    words: tuple[str, ...] = ()


def called(words: Sequence[str], commands: Mapping[str, CommandFlags]) -> Called:
    """The command that is called, by the name that it is known by.

    Args:
        words: the command line without the program's name.
        commands: the flags of each command.

    Raises:
        UsageError: there is no such command; the hint has the nearest.
    """
    at = _first_name(words, commands)
    if at is not None and words[at] == HELP and at + 1 == len(words):
        return Called(before=tuple(words[:at]), name=None, words=("--help",))
    if at is None:
        return Called(before=tuple(words), name=None)
    name = ALIASES.get(words[at], words[at])
    own, flags = _sorted(words[:at])
    rest = (*flags, *words[at + 1 :])
    if name == HELP and name not in commands:
        about = called(rest, commands)
        return Called(before=(*own, *about.before), name=about.name, words=(*about.words, "--help"))
    if name not in commands:
        _refuse(name, commands)
    return Called(before=own, name=name, words=rest)


def _first_name(words: Sequence[str], commands: Mapping[str, CommandFlags]) -> int | None:
    """Where the first word stands that is neither a flag nor a flag's value."""
    at = 0
    while at < len(words) and words[at] != "--":
        if not words[at].startswith("-"):
            return at
        in_two = has_level(words[at], words[at + 1 :]) or any(takes_next(words[at], flags) for flags in commands.values())
        at += 2 if in_two else 1
    return None


def _sorted(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands before a command: flags of the program, and flags of the command."""
    own = tuple(word for word in words if word in _OF_THE_PROGRAM)
    return own, tuple(word for word in words if word not in own)


def _refuse(name: str, commands: Mapping[str, CommandFlags]) -> NoReturn:
    if name.lower() in _WORKLOADS:
        raise UsageError(
            f"there is no command {name!r}", f"a workload is traced from one of its pods: kubectl vxtrace pod {name.lower()}/NAME"
        )
    spellings = {**ALIASES, **{command: command for command in commands}}
    close = [spellings[each] for each in difflib.get_close_matches(name.lower(), spellings, n=1)]
    hint = f"did you mean {close[0]}?" if close else f"the commands: {', '.join(commands)}"
    raise UsageError(f"there is no command {name!r}", hint)


def checked_source(what: list[str], selector: str | None, to: str | None) -> tuple[bool, str | None]:
    """Whether `check [pod [NAME]]` is for a trace, and of which pod; not for one where it is for the cluster as a whole."""
    match what:
        case []:
            if to is not None or selector is not None:
                flag = "-l" if to is None else "--to"
                raise UsageError(f"{flag} is given without a pod", "kubectl vxtrace check pod [NAMESPACE/]NAME --to TARGET")
            return False, None
        case [kind, *names] if ALIASES.get(kind, kind) == "pod" and len(names) < 2:
            return True, names[0] if names else None
        case _:
            raise UsageError(f"check does not know {' '.join(what)!r}", "it is kubectl vxtrace check, or check pod NAME [--to TARGET]")
