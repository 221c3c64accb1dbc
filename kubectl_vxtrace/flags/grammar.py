"""kubectl's grammar of flags, in front of Click's.

kubectl reads its command line with pflag (github.com/spf13/pflag, flag.go: parseLongArg and parseSingleShortArg), Typer with Click. They
differ where it hurts: `-n=x` is `x` to pflag and `=x` to Click, and a switch may be given as `--quiet=false` to pflag alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from typer.core import TyperGroup, TyperOption

from kubectl_vxtrace.errors import UsageError

# Go's strconv.ParseBool, with which pflag reads the value of a switch; https://pkg.go.dev/strconv#ParseBool
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# kubectl's -v is a level, here it is a switch: every level above 0 is on.
_LEVEL = "--verbose"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFlags:
    """The flags of one command as they are spelled.

    `switches` maps each spelling of a flag that needs no value to one that stands for all of its spellings; `valued` are the others'.
    """

    switches: Mapping[str, str]
    valued: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What a word, or one letter of it, says. `words` is how Click reads the same, `open` that the next word is its value."""

    words: tuple[str, ...]
    switch: str | None = None
    open: bool = False


def flags_of(group: TyperGroup) -> dict[str, CommandFlags]:
    """The flags of each command, as Click has them; --help, which every command has and which Click itself handles, is left out."""
    found = {}
    for name, command in group.commands.items():
        options = [option for option in command.params if isinstance(option, TyperOption)]
        found[name] = CommandFlags(
            switches={spelling: option.opts[0] for option in options if option.is_flag for spelling in option.opts},
            valued=frozenset(spelling for option in options if not option.is_flag for spelling in option.opts),
        )
    return found


def command_name(words: Sequence[str]) -> str | None:
    """The command that is called: the first word that is no flag; None where there is none."""
    flags = tuple(takewhile(lambda word: word.startswith("-"), words))
    return words[len(flags)] if len(flags) < len(words) and "--" not in flags else None


def normalised(words: Sequence[str], commands: Mapping[str, CommandFlags]) -> list[str]:
    """A command line as Click understands it, that means what kubectl would understand of `words`.

    `help COMMAND` becomes `COMMAND --help`. Values, and what stands after `--`, are not touched; what kubectl would not take either is
    left for Click to refuse.

    Args:
        words: the command line without the program's name.
        commands: the flags of each command.

    Raises:
        UsageError: a switch has a value that is neither true nor false.
    """
    name = command_name(words)
    if name is None:
        return list(words)
    at = words.index(name)
    before, after = words[:at], words[at + 1 :]
    if name == "help" and name not in commands:
        return [*before, *after, "--help"]
    if name not in commands:
        return list(words)
    return [*before, name, *_in_effect(list(_parts(after, commands[name])))]


def _in_effect(parts: Sequence[_Part]) -> Iterator[str]:
    """The words of all parts, but for switches that a later part turns off: Click knows only how to turn one on."""
    off = {part.switch: at for at, part in enumerate(parts) if part.switch is not None and not part.words}
    for at, part in enumerate(parts):
        if part.switch is None or at > off.get(part.switch, -1):
            yield from part.words


def _parts(words: Sequence[str], flags: CommandFlags) -> Iterator[_Part]:
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield _Part(words=(word, *rest))
            return
        parts = _parts_of(word, flags)
        yield from parts
        if parts[-1].open:
            yield _Part(words=tuple(islice(rest, 1)))


def _parts_of(word: str, flags: CommandFlags) -> list[_Part]:
    """What one word says, which is not `--`."""
    if not word.startswith("-") or word == "-":
        return [_Part(words=(word,))]
    if not word.startswith("--"):
        return _letters(word, flags)
    name, equals, value = word.partition("=")
    if name in flags.switches:
        return [_set(name, flags, value if equals else "true")]
    return [_Part(words=(word,), open=name in flags.valued and not equals)]


def _letters(word: str, flags: CommandFlags) -> list[_Part]:
    """A word of one dash: any number of switches, then at most one flag with a value, as parseSingleShortArg takes them."""
    parts: list[_Part] = []
    letters = word[1:]
    while letters:
        name, rest = f"-{letters[0]}", letters[1:]
        given = rest[1:] if rest.startswith("=") and len(rest) > 1 else None
        if name in flags.switches and (given is not None or (flags.switches[name] == _LEVEL and _is_level(rest))):
            return [*parts, _set(name, flags, rest if given is None else given)]
        if name in flags.valued:
            value = rest if given is None else given
            return [*parts, _Part(words=(name, value) if value else (name,), open=not value)]
        if name not in flags.switches:
            return [_Part(words=(word,))]
        parts.append(_set(name, flags, "true"))
        letters = rest
    return parts


def _set(name: str, flags: CommandFlags, value: str) -> _Part:
    """A switch that is given a value; one that is off has no words."""
    switch = flags.switches[name]
    if switch == _LEVEL and _is_level(value):
        on = int(value) > 0
    elif value in _TRUE or value in _FALSE:
        on = value in _TRUE
    else:
        raise UsageError(f"{name}={value}: {name} is a switch, and its value is true or false", f"write {name}, or {name}=false")
    return _Part(words=(name,) if on else (), switch=switch)


def _is_level(text: str) -> bool:
    return text.isascii() and text.isdigit()
