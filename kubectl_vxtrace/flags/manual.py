"""What is to be said of a command: examples, arguments, flags in groups. `--help` and the manual page are made of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from typer._click.core import Command
from typer.core import TyperArgument, TyperCommand, TyperOption

from kubectl_vxtrace.flags.cluster import ClusterFlags
from kubectl_vxtrace.flags.examples import EXAMPLES, Example
from kubectl_vxtrace.flags.values import FORM, Output

# Names of flags by what they are about, in the order of the help.
GROUPS: dict[str, tuple[str, ...]] = {
    "What": ("selector", "all_pods", "to", "port", "protocol", "filter", "probe", "mtu", "ab", "everything"),
    "Where": ("node", "hop", "max_nodes"),
    "How long": ("duration", "count", "max_wall"),
    "Output": (
        *("output", "color", "show", "pcap", "bundle", "ticket"),
        *("payload", "anonymize", "snaplen", "dry_run", "strict", "exit_zero", "quiet", "verbose"),
    ),
    "Debug pods": ("image", "image_pull_policy", "image_pull_secret", "debug_namespace", "profile", "keep_pods"),
    "Cluster": tuple(field.name for field in fields(ClusterFlags)),
}
OTHER = "Other"
# What a value is, where the flag itself has no word for it.
_VALUES = {
    "duration": "DURATION",
    "max_wall": "DURATION",
    "protocol": "tcp|udp|icmp",
    "image": "IMAGE",
    "image_pull_secret": "NAME",
    "debug_namespace": "NAMESPACE",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A flag or an argument as it is typed, and what it does."""

    typed: str
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Flags that are about the same."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """All that is to be said of one command."""

    name: str
    summary: str
    usage: str
    examples: tuple[Example, ...]
    arguments: tuple[Entry, ...]
    groups: tuple[Group, ...]
    has_hidden: bool


def manual(command: TyperCommand) -> Manual:
    """The manual of a command, without its hidden flags."""
    name = command.name or ""
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    options = [param for param in command.params if isinstance(param, TyperOption)]
    shown = [option for option in options if not option.hidden]
    required = {"pod": ["[--to TARGET]"], "node": ["--to node/NAME"]}.get(name, [])
    words = ["kubectl vxtrace", name, *(_placeholder(argument) for argument in arguments), *required, "[flags]"]
    return Manual(
        name=name,
        summary=command.help or "",
        usage=" ".join(words),
        examples=EXAMPLES.get(name, ()),
        arguments=tuple(Entry(_placeholder(argument), argument.help or "") for argument in arguments),
        groups=tuple(_grouped(shown)),
        has_hidden=len(shown) < len(options),
    )


def cluster_entries(command: Command) -> tuple[Entry, ...]:
    """kubectl's own flags, hidden ones too, by name."""
    named = {field.name for field in fields(ClusterFlags)}
    options = [param for param in command.params if isinstance(param, TyperOption) and param.name in named]
    return tuple(map(entry, sorted(options, key=lambda option: max(option.opts, key=len))))


def group_of(name: str) -> str:
    """The group that the flag with this parameter's name belongs to."""
    return next((group for group, names in GROUPS.items() if name in names), OTHER)


def entry(option: TyperOption) -> Entry:
    """A flag with its value as it is typed, and its text with the default and the range."""
    spelled = ", ".join(sorted(option.opts, key=len))
    value = "" if option.is_flag or option.count else f" {value_of(option)}"
    said = [part for part in (_default(option), _range(option)) if part]
    return Entry(f"{spelled}{value}", (option.help or "") + (f" [{'; '.join(said)}]" if said else ""))


def value_of(option: TyperOption) -> str:
    """What the value of a flag is, in a word: `DURATION`, `FILE`, `N`, or the words that it may be."""
    if option.metavar is not None or option.name in _VALUES:
        return option.metavar or _VALUES[option.name]
    choices = choices_of(option)
    return "|".join(choices) if choices else "N" if _is_number(option) else "TEXT"


def choices_of(option: TyperOption) -> tuple[str, ...]:
    """The words that a flag's value may be; none where it may be anything."""
    if option.metavar == FORM:
        return tuple(Output)
    default = option.type_descriptor
    kind = getattr(default, "annotation", None)
    return tuple(str(member.value) for member in kind) if isinstance(kind, type) and issubclass(kind, Enum) else ()


def _grouped(options: Sequence[TyperOption]) -> Iterator[Group]:
    for name in (*GROUPS, OTHER):
        entries = [entry(option) for option in options if group_of(option.name) == name]
        if name == "Output":
            entries.append(Entry("-h, --help", "Show this."))
        if entries:
            yield Group(name, tuple(entries))


def _placeholder(argument: TyperArgument) -> str:
    return argument.metavar or argument.name.upper()


def _is_number(option: TyperOption) -> bool:
    return getattr(option.type_descriptor, "annotation", None) in (int, float)


def _default(option: TyperOption) -> str:
    default: Any = option.default
    if default is None or default is False or option.count:
        return ""
    return f"default: {default.value if isinstance(default, Enum) else default}"


def _range(option: TyperOption) -> str:
    if option.count or (option.min is None and option.max is None):
        return ""
    if option.max is None:
        return f"at least {option.min}"
    return f"{option.min} to {option.max}"
