"""Command lines as kubectl reads them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperOption
from typer.main import get_group

from kubectl_vxtrace.cli import app
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.grammar import command_name, flags_of, normalised

GROUP = get_group(app)
FLAGS = flags_of(GROUP)


def understood(words: list[str]) -> dict[str, Any]:
    """What Click makes of a command line once it is normalised."""
    name, *rest = normalised(words, FLAGS)
    return dict(GROUP.commands[name].make_context(name, rest).params)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-n=shop", {"namespace": "shop"}),
        ("-n shop", {"namespace": "shop"}),
        ("-nshop", {"namespace": "shop"}),
        ("--namespace=shop", {"namespace": "shop"}),
        ("--namespace shop", {"namespace": "shop"}),
        ("--namespace=", {"namespace": ""}),
        ("-n=a=b", {"namespace": "a=b"}),
        ("-n=", {"namespace": "="}),
        ("-n=-x", {"namespace": "-x"}),
        ("-n -x", {"namespace": "-x"}),
        ("-n -q", {"namespace": "-q", "quiet": False}),
        ("--to -n=x", {"to": "-n=x", "namespace": None}),
        ("--to --quiet=false -q", {"to": "--quiet=false", "quiet": True}),
        ("--to --", {"to": "--"}),
        ("-o=json", {"output": "json"}),
        ("-ojson", {"output": "json"}),
        ("-q", {"quiet": True}),
        ("-q=true", {"quiet": True}),
        ("-q=T", {"quiet": True}),
        ("-q=0", {"quiet": False}),
        ("--quiet=false", {"quiet": False}),
        ("--quiet=True", {"quiet": True}),
        ("--quiet -q=false", {"quiet": False}),
        ("--quiet=false -q", {"quiet": True}),
        ("-qv=false", {"quiet": True, "verbose": False}),
        ("-qv", {"quiet": True, "verbose": True}),
        ("-qn=shop", {"quiet": True, "namespace": "shop"}),
        ("-qnshop", {"quiet": True, "namespace": "shop"}),
        ("-qn shop", {"quiet": True, "namespace": "shop"}),
        ("-qn -v", {"quiet": True, "namespace": "-v", "verbose": False}),
        ("-v=6", {"verbose": True}),
        ("-v6", {"verbose": True}),
        ("-qv6", {"quiet": True, "verbose": True}),
        ("-v=0", {"verbose": False}),
        ("--verbose=9", {"verbose": True}),
        ("--keep-pods=false --strict=true", {"keep_pods": False, "strict": True}),
        ("--as-group=a --as-group b", {"as_group": ["a", "b"]}),
        ("-n=a -n=b", {"namespace": "b"}),
        ("--show=3 --show 4", {"show": 4}),
    ],
)
def test_it_means_what_it_means_in_kubectl(typed: str, meant: dict[str, Any]) -> None:
    params = understood(["pod", "web", *typed.split(" ")])
    assert {name: params[name] for name in meant} == meant
    assert params["source"] == "web"


def test_flags_may_stand_before_and_between_names() -> None:
    params = understood(["check", "-n=shop", "pod", "--quiet=false", "web"])
    assert (params["what"], params["namespace"], params["quiet"]) == (["pod", "web"], "shop", False)


def test_nothing_after_two_dashes_is_touched() -> None:
    words = ["pod", "--", "-n=x", "--quiet=false", "-q=nonsense"]
    assert normalised(words, FLAGS) == words
    assert normalised(["--", "-n=x"], FLAGS) == ["--", "-n=x"]


@pytest.mark.parametrize("word", ["--unknown=1", "-x=1", "-qx", "-h", "--help", "-", "", "web"])
def test_what_is_no_flag_of_the_command_is_left_to_click(word: str) -> None:
    assert normalised(["pod", word, "-q"], FLAGS) == ["pod", word, "-q"]


@pytest.mark.parametrize("word", ["-q=maybe", "--quiet=6", "--strict=", "-v=-1", "--verbose=high", "-v=٣"])
def test_a_switch_is_true_or_false(word: str) -> None:
    with pytest.raises(UsageError, match="is a switch"):
        normalised(["pod", "web", word], FLAGS)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["help"], ["--help"]),
        (["help", "pod"], ["pod", "--help"]),
        (["nonsense", "-n=x"], ["nonsense", "-n=x"]),
        ([], []),
        (["--version"], ["--version"]),
        (["-h", "pod", "-n=x"], ["-h", "pod", "-n", "x"]),
    ],
)
def test_commands(words: list[str], wanted: list[str]) -> None:
    assert normalised(words, FLAGS) == wanted


def test_the_command_is_the_first_word_that_is_no_flag() -> None:
    assert [command_name(words.split()) for words in ("pod x", "-h pod", "--version", "", "-- pod")] == ["pod", "pod", None, None, None]


def test_switches_are_off_by_default_and_have_no_second_name_that_turns_them_off() -> None:
    """A switch that is turned off is left out of the command line: then its default must be off."""
    for name, command in GROUP.commands.items():
        for option in command.params:
            if isinstance(option, TyperOption) and option.is_flag:
                assert (option.default, option.secondary_opts) == (False, []), (name, option.opts)


_FORMS = {
    "namespace": ("-n {}", "-n={}", "--namespace {}", "--namespace={}"),
    "to": ("--to {}", "--to={}"),
    "on": ("-q", "-q=1", "--quiet", "--quiet=true"),
    "off": ("-q=f", "--quiet=0"),
}
_FLAGS = st.sampled_from([(what, form) for what, forms in _FORMS.items() for form in forms])
_VALUES = st.text("ab-=. ", min_size=1, max_size=4)


@given(st.lists(st.tuples(_FLAGS, _VALUES), max_size=6))
def test_every_form_says_the_same_and_the_last_one_counts(settings: list[tuple[tuple[str, str], str]]) -> None:
    words = ["pod"]
    meant: dict[str, str | bool | None] = {"namespace": None, "to": None, "quiet": False}
    for (what, form), value in settings:
        words += [part.format(value) for part in form.split(" ")]
        meant |= {"quiet": what == "on"} if what in ("on", "off") else {what: value}
    params = understood([*words, "web"])
    assert {name: params[name] for name in meant} == meant
