"""kubectl's own flags: each is kept, said to be without effect, or refused; and docs/kubectl-options.md says the same."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperOption
from typer.main import get_group

from kubectl_vxtrace.app import app
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.cluster import ClusterFlags
from kubectl_vxtrace.model.request import Access

PAGE = Path(__file__).parents[2] / "docs" / "kubectl-options.md"
# `kubectl options` of 1.32, and what newer ones have more (--kuberc, --as-user-extra).
OPTIONS = [
    "as",
    "as-group",
    "as-uid",
    "as-user-extra",
    "cache-dir",
    "certificate-authority",
    "client-certificate",
    "client-key",
    "cluster",
    "context",
    "disable-compression",
    "insecure-skip-tls-verify",
    "kubeconfig",
    "kuberc",
    "log-flush-frequency",
    "match-server-version",
    "namespace",
    "password",
    "profile",
    "profile-output",
    "request-timeout",
    "server",
    "tls-server-name",
    "token",
    "user",
    "username",
    "v",
    "vmodule",
    "warnings-as-errors",
]
COMMANDS = get_group(app).commands
CLUSTER_COMMANDS = ("pod", "check", "cleanup", "version")
_ROW = re.compile(r"^\| `(?:-\w, )?--([a-z-]+)` \| (kept|no effect|refused|ours) \| (.+) \|$", re.MULTILINE)


def options(command: str) -> dict[str, TyperOption]:
    params = [option for option in COMMANDS[command].params if isinstance(option, TyperOption)]
    return {spelling.lstrip("-"): option for option in params for spelling in option.opts}


def what_is_done(option: TyperOption) -> str:
    text = option.help or ""
    return "no effect" if text.startswith("Without effect") else "refused" if text.startswith("Refused") else "kept"


def test_the_page_has_each_line_of_kubectls_options_and_no_other() -> None:
    assert [name for name, _, _ in _ROW.findall(PAGE.read_text())] == OPTIONS


@pytest.mark.parametrize("command", CLUSTER_COMMANDS)
def test_the_page_says_what_the_flag_does(command: str) -> None:
    known = options(command)
    for name, said, _ in _ROW.findall(PAGE.read_text()):
        if said == "ours":
            assert name in ("profile", "v")
        else:
            assert what_is_done(known[name]) == said, name


def test_a_flag_that_is_kept_reaches_the_request_and_a_flag_that_is_not_does_not() -> None:
    """Each field on its own changes what is asked for, is refused, or is said to be without effect."""
    values: dict[str, Any] = {"request_timeout": "7s", "as_group": ["g"], "as_user_extra": ["k=v"]}
    known = {option.name: option for option in options("pod").values()}
    for field in fields(ClusterFlags):
        value = values.get(field.name, True if field.default is False else "x")
        flags, said = ClusterFlags(**{field.name: value}), what_is_done(known[field.name])
        if said == "refused":
            with pytest.raises(UsageError) as caught:
                flags.access()
            assert caught.value.message.startswith(known[field.name].opts[0])
            assert caught.value.hint
        else:
            assert (flags.access() != Access()) is (said == "kept"), field.name


def test_a_user_extra_has_a_key_and_a_value() -> None:
    assert ClusterFlags(as_user_extra=["a=b=c", "d="]).access().as_user_extra == (("a", "b=c"), ("d", ""))
    for text in ("a", "=b"):
        with pytest.raises(UsageError, match="no key or no value"):
            ClusterFlags(as_user_extra=[text]).access()
