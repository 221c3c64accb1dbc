"""kubectl's grammar of flags, in front of Click's.

kubectl reads its command line with pflag (github.com/spf13/pflag, flag.go: parseLongArg and parseSingleShortArg), Typer with Click. They
differ where it hurts: `-n=x` is `x` to pflag and `=x` to Click, and a switch may be given as `--quiet=false` to pflag alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from typer.core import TyperGroup, TyperOption

from kubectl_vxtrace.errors import UsageError

# Go's strconv.ParseBool, with which pflag reads the value of a switch; https://pkg.go.dev/strconv#ParseBool
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# kubectl's -v is a level, here it is counted: of levels above 0 those count once, and twice, from which on kubectl shows answers, too.
_LEVEL, _ANSWERS = "--verbose", 6
_LEVEL_NAMES = ("-v", "--v")


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
            switches={spelling: option.opts[0] for option in options if _is_switch(option) for spelling in option.opts},
            valued=frozenset(spelling for option in options if not _is_switch(option) for spelling in option.opts),
        )
    return found


def _is_switch(option: TyperOption) -> bool:
    return option.is_flag or option.count


def normalised(words: Sequence[str], flags: CommandFlags) -> list[str]:
    """The words behind a command as Click understands them, that mean what kubectl would understand of `words`.

    Values, and what stands after `--`, are not touched; what kubectl would not take either is left for Click to refuse.

    Args:
        words: the command line behind the command's name.
        flags: the command's.

    Raises:
        UsageError: a switch has a value that is neither true nor false.
    """
    return list(_in_effect(list(_parts(words, flags))))


def takes_next(word: str, flags: CommandFlags) -> bool:
    """Whether `word` is a flag whose value is the next word."""
    return word not in ("-", "--") and _parts_of(word, flags)[-1].open


def has_level(word: str, following: Sequence[str]) -> bool:
    """Whether `word` is kubectl's -v and the first of the `following` its level (`-v 6`). A pod that is called `6` is still `pod/6`."""
    return word in _LEVEL_NAMES and bool(following) and len(following[0]) < 3 and _is_level(following[0])


def _in_effect(parts: Sequence[_Part]) -> Iterator[str]:
    """The words of all parts, but for switches that a later part turns off: Click knows only how to turn one on."""
    off = {part.switch: at for at, part in enumerate(parts) if part.switch is not None and not part.words}
    for at, part in enumerate(parts):
        if part.switch is None or at > off.get(part.switch, -1):
            yield from part.words


def _parts(words: Sequence[str], flags: CommandFlags) -> Iterator[_Part]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            yield _Part(words=(word, *rest))
            return
        if flags.switches.get("-v") == _LEVEL and word.partition("=")[0] in _LEVEL_NAMES:
            word = f"-v={rest.pop(0)}" if has_level(word, rest) else word.removeprefix("-") if word.startswith("--") else word
        parts = _parts_of(word, flags)
        yield from parts
        if parts[-1].open and rest:
            yield _Part(words=(rest.pop(0),))


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
        times = (int(value) > 0) + (int(value) >= _ANSWERS)
    elif value in _TRUE or value in _FALSE:
        times = int(value in _TRUE)
    else:
        raise UsageError(f"{name}={value}: {name} is a switch, and its value is true or false", f"write {name}, or {name}=false")
    return _Part(words=(name,) * times, switch=switch)


def _is_level(text: str) -> bool:
    return text.isascii() and text.isdigit()
