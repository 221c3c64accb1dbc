"""What could stand where the user has pressed Tab, in cobra's protocol, which kubectl's own completion speaks.

Candidates stand one a line, a description behind a tab; the last line is `:` and a directive
(github.com/spf13/cobra, completions.go: ShellCompDirective). Whatever fails, there are fewer candidates and nothing else.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from enum import IntFlag
from functools import partial
from typing import TYPE_CHECKING, Any

from typer.core import TyperArgument, TyperGroup, TyperOption

from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.flags.called import called
from kubectl_vxtrace.flags.cluster import ClusterFlags
from kubectl_vxtrace.flags.grammar import flags_of
from kubectl_vxtrace.flags.manual import choices_of
from kubectl_vxtrace.flags.records import NODE
from kubectl_vxtrace.model.request import Access

if TYPE_CHECKING:
    from kubectl_vxtrace.kube.names import Names

BOUND_S = 0.7
"""Time for the cluster's answer, of the second that a Tab may take with the start of the program."""

_SHELLS = ("bash", "zsh", "fish", "install")
_TYPES = ("pod", "deploy", "sts", "ds")
_FILES = frozenset({"kubeconfig", "client_certificate", "client_key", "certificate_authority", "cache_dir", "kuberc", "pcap", "bundle"})


class Directive(IntFlag):
    """What a shell does with the candidates; without any, it completes files where there are none."""

    FILES = 0
    NO_SPACE = 2
    NO_FILES = 4


@dataclass(frozen=True, slots=True)
class Candidates:
    """What could stand there, each with its description or an empty one."""

    words: tuple[tuple[str, str], ...] = ()
    directive: Directive = Directive.NO_FILES


@dataclass(slots=True)
class _Line:
    """A command line up to the word that is typed: the command's parameters by name, what stands before, and whose value is typed."""

    options: dict[str, TyperOption] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    pending: TyperOption | None = None


def run(words: Sequence[str], group: TyperGroup, causes: Callable[[str], Sequence[str]], *, described: bool) -> None:
    """Print what could stand in place of the last of `words`."""
    sys.stdin = None  # credential plugins that would ask on the terminal do not
    try:
        found = candidates(words, group, causes)
    except Exception:  # a shell has no place for an error
        found = Candidates()
    lines = [f"{word}\t{about}" if described and about else word for word, about in found.words]
    stdout.write("\n".join([*lines, f":{int(found.directive)}"]) + "\n")


def candidates(words: Sequence[str], group: TyperGroup, causes: Callable[[str], Sequence[str]]) -> Candidates:
    """What could stand in place of the last of `words`, which is what is typed of it; the others stand before it.

    Args:
        causes: the names of causes that begin with a text.
    """
    typed, start = list(words[:-1]), words[-1] if words else ""
    commands: dict[str, Any] = dict(group.commands)
    try:
        call = called(typed, flags_of(group))
    except VxtraceError:
        return Candidates()
    every = {spelling: option for command in commands.values() for spelling, option in _options(command).items()}
    line = _read(typed if call.name is None else [*call.before, *call.words], every if call.name is None else _options(commands[call.name]))
    if line.pending is not None:
        return _values(line.pending, start, line)
    if start.startswith("-") and "--" not in typed:
        return _flags(line, start)
    if call.name is None:
        return _beginning(start, [(name, command.help or "") for name, command in commands.items()])
    return _names(call.name, commands[call.name], start, line, causes)


def _options(command: Any) -> dict[str, TyperOption]:
    return {spelling: option for option in command.params if isinstance(option, TyperOption) for spelling in option.opts}


def _read(words: Sequence[str], options: dict[str, TyperOption]) -> _Line:
    line = _Line(options=options)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            line.names += rest
            break
        if not word.startswith("-"):
            line.names.append(word)
            continue
        name, equals, value = word.partition("=")
        option = options.get(name)
        if option is None:
            continue
        if option.is_flag or option.count:
            line.given[option.name] = value if equals else "true"
        elif not equals and not rest:
            line.pending = option
        else:
            typed = value if equals else rest.pop(0)
            line.given[option.name] = [*line.given.get(option.name, []), typed] if option.multiple else typed
    return line


def _flags(line: _Line, start: str) -> Candidates:
    """Flags that begin with `start`, or the values of one where it ends with `=` or goes on behind it."""
    name, equals, value = start.partition("=")
    if equals:
        option = line.options.get(name)
        return _values(option, value, line) if option is not None and not option.is_flag else Candidates()
    longest = {max(option.opts, key=len): option.help or "" for option in line.options.values()}
    if start.startswith("-") and not start.startswith("--") and start != "-":
        return Candidates()
    return _beginning(start, sorted([*longest.items(), ("--help", "Show help.")]))


def _values(option: TyperOption, start: str, line: _Line) -> Candidates:
    """What could be the value of a flag."""
    if choices := choices_of(option):
        return _beginning(start, [(choice, "") for choice in choices])
    match option.name:
        case "to" if option.metavar == NODE:
            return _nodes(line, start)
        case "to":
            return _objects(line, start, ("service", "pod"), ("svc", *_TYPES, "node"))
        case "namespace" | "debug_namespace":
            (namespaces,) = _asked(line, lambda names: names.of("namespace"))
            return _beginning(start, [(name, "") for name in namespaces])
        case "context" | "cluster" | "user" as section:
            return _beginning(start, [(name, "") for name in _of_kubeconfig(f"{section}s", line)])
        case "protocol":
            return _beginning(start, [(name, "") for name in ("tcp", "udp", "icmp")])
        case name if name in _FILES:
            return Candidates(directive=Directive.FILES)
        case _:
            return Candidates()


def _names(command: str, made: Any, start: str, line: _Line, causes: Callable[[str], Sequence[str]]) -> Candidates:
    """What could be the next name behind a command."""
    most = sum(1 if param.nargs == 1 else 100 for param in made.params if isinstance(param, TyperArgument))
    if len(line.names) >= most:
        return Candidates()
    match command, len(line.names):
        case ("pod", 0) | ("check", 1):
            return _objects(line, start, ("pod",), _TYPES)
        case ("service", 0):
            return _objects(line, start, ("service",), ("svc",))
        case ("node", 0):
            return _nodes(line, start)
        case ("check", 0):
            return _beginning(start, [("pod", "Check for a trace of this pod.")])
        case ("explain", 0):
            return Candidates(tuple((cause, "") for cause in causes(start)))
        case ("completion", 0):
            return _beginning(start, [(shell, "") for shell in _SHELLS])
        case ("analyze", _):
            return Candidates(directive=Directive.FILES)
        case _:
            return Candidates()


def _nodes(line: _Line, start: str) -> Candidates:
    """Names of nodes."""
    (nodes,) = _asked(line, lambda names: names.of("node"))
    return _beginning(start, [(name, "") for name in nodes])


def _objects(line: _Line, start: str, kinds: Sequence[str], types: Sequence[str]) -> Candidates:
    """Objects by name, as `TYPE/[NAMESPACE/]NAME` or `NAMESPACE/NAME`; without a slash also types and namespaces to go on with."""
    from kubectl_vxtrace.topology.target import parse_kind

    *before, _ = start.split("/")
    kind = parse_kind(before[0]) if before else None
    place = "".join(f"{part}/" for part in before)
    namespace = before[-1] if len(before) > (1 if kind else 0) else None
    if len(before) > (2 if kind else 1):
        return Candidates()

    def ask(names: "Names") -> list[str]:
        where = namespace or names.namespace
        return [name for each in ([kind] if kind else kinds) for name in names.of(each, None if each == "node" else where)]

    if before:
        (named,) = _asked(line, ask)
        found = [f"{place}{name}" for name in named]
    else:
        named, namespaces = _asked(line, ask, lambda names: names.of("namespace"))
        found = [*named, *(f"{each}/" for each in (*types, *namespaces))]
    fitting = [name for name in found if name.startswith(start)]
    no_space = Directive.NO_SPACE if fitting and all(name.endswith("/") for name in fitting) else Directive.FILES
    return Candidates(tuple((name, "") for name in dict.fromkeys(fitting)), Directive.NO_FILES | no_space)


def _beginning(start: str, words: Sequence[tuple[str, str]]) -> Candidates:
    return Candidates(tuple((word, about.partition(". ")[0]) for word, about in words if word.startswith(start)))


def _access(line: _Line) -> Access:
    """The cluster that the flags before the word name. Raises UsageError."""
    given: dict[str, Any] = {each.name: line.given[each.name] for each in fields(ClusterFlags) if each.name in line.given}
    for each in fields(ClusterFlags):
        if each.name in given and each.default is False:
            given[each.name] = given[each.name] == "true"
    return ClusterFlags(**given).access()


def _of_kubeconfig(section: str, line: _Line) -> list[str]:
    """Names of the kubeconfig, which may be a pipe or lie on a slow disk."""

    def ask() -> list[str]:
        from kubectl_vxtrace.kube.kubeconfig import known

        return known(_access(line), os.environ, section)

    (found,) = _bounded(ask)
    return found


def _asked(line: _Line, *asks: "Callable[[Names], list[str]]") -> list[list[str]]:
    """What the cluster answers to each question, as far as it does within the bound."""

    def ask(question: "Callable[[Names], list[str]]") -> list[str]:
        from kubectl_vxtrace.kube.names import Names

        return question(Names(_access(line), BOUND_S))

    return _bounded(*(partial(ask, question) for question in asks))


def _bounded(*jobs: Callable[[], list[str]]) -> list[list[str]]:
    """What each job gives, all at once; nothing for one that fails, or has not ended within the bound: its thread ends with the process."""
    answers: list[list[str]] = [[] for _ in jobs]

    def do(at: int) -> None:
        with suppress(Exception):  # an empty answer is all that a shell can be told
            answers[at] = jobs[at]()

    threads = [threading.Thread(target=do, args=(at,), daemon=True) for at in range(len(jobs))]
    limit_s = time.monotonic() + BOUND_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, limit_s - time.monotonic()))
    return list(answers)
