"""Command lines as kubectl reads them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperOption
from typer.main import get_group

from kubectl_vxtrace.app import app
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.called import called
from kubectl_vxtrace.flags.grammar import flags_of, normalised

GROUP = get_group(app)
FLAGS = flags_of(GROUP)


def understood(words: list[str]) -> dict[str, Any]:
    """What Click makes of a command line once it is normalised."""
    call = called(words, FLAGS)
    assert call.name is not None
    return dict(GROUP.commands[call.name].make_context(call.name, normalised(call.words, FLAGS[call.name])).params)


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
        ("-qv=false", {"quiet": True, "verbose": 0}),
        ("-qv", {"quiet": True, "verbose": True}),
        ("-qn=shop", {"quiet": True, "namespace": "shop"}),
        ("-qnshop", {"quiet": True, "namespace": "shop"}),
        ("-qn shop", {"quiet": True, "namespace": "shop"}),
        ("-qn -v", {"quiet": True, "namespace": "-v", "verbose": False}),
        ("-v=6", {"verbose": 2}),
        ("-v6", {"verbose": 2}),
        ("-qv6", {"quiet": True, "verbose": 2}),
        ("-v=0", {"verbose": 0}),
        ("-vv", {"verbose": 2}),
        ("-v=1", {"verbose": 1}),
        ("-v=5", {"verbose": 1}),
        ("-vv -v=0 -v", {"verbose": 1}),
        ("--verbose=9", {"verbose": 2}),
        ("--v=6", {"verbose": 2}),
        ("--v 6", {"verbose": 2}),
        ("-v 6", {"verbose": 2}),
        ("-v 0", {"verbose": 0}),
        ("--v", {"verbose": 1}),
        ("--to -v --show 6", {"to": "-v", "verbose": False, "show": 6}),
        ("--insecure-skip-tls-verify -s=https://a.test", {"insecure_skip_tls_verify": True, "server": "https://a.test"}),
        ("--insecure-skip-tls-verify=false --token=a=b", {"insecure_skip_tls_verify": False, "token": "a=b"}),
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
    words = ["--", "-n=x", "--quiet=false", "-q=nonsense", "-v", "6", "--v"]
    assert normalised(words, FLAGS["pod"]) == words


@pytest.mark.parametrize("word", ["--unknown=1", "-x=1", "-qx", "-h", "--help", "-", "", "web"])
def test_what_is_no_flag_of_the_command_is_left_to_click(word: str) -> None:
    assert normalised([word, "-q"], FLAGS["pod"]) == [word, "-q"]


def test_a_level_is_not_taken_from_a_name_that_is_no_level() -> None:
    assert normalised(["-v", "web"], FLAGS["pod"]) == ["-v", "web"]
    assert normalised(["-v", "pod/6"], FLAGS["pod"]) == ["-v", "pod/6"]


@pytest.mark.parametrize("word", ["-q=maybe", "--quiet=6", "--strict=", "-v=-1", "--verbose=high", "-v=٣", "--v=x"])
def test_a_switch_is_true_or_false(word: str) -> None:
    with pytest.raises(UsageError, match="is a switch"):
        normalised(["web", word], FLAGS["pod"])


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


@pytest.mark.parametrize("command", sorted(GROUP.commands))
def test_every_flag_may_be_joined_to_its_value_and_every_switch_be_given_one(command: str) -> None:
    """`--flag value` and `--flag=value` alike, and `-f value`, `-f=value`, `-fvalue`; `--switch`, `--switch=true`, `--switch=false`."""
    flags = FLAGS[command]
    for spelling in flags.valued:
        joined = [f"{spelling}=5", *([f"{spelling}5"] if len(spelling) == 2 else [])]
        told = {tuple(normalised([word], flags)[-2:]) for word in joined} | {tuple(normalised([spelling, "5"], flags))}
        assert {tuple("=".join(words).split("=")) for words in told} == {(spelling, "5")}, spelling
    for spelling in flags.switches:
        assert normalised([spelling], flags) == normalised([f"{spelling}=true"], flags) == [spelling]
        assert normalised([f"{spelling}=false"], flags) == []
