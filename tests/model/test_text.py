"""The sanitiser."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.model.text import clean


@pytest.mark.parametrize(
    ("foreign", "harmless"),
    [
        ("kube-dns", "kube-dns"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb", "a\\x0db"),
        ("a\x9bb", "a\\x9bb"),
        ("user\u202eexe.txt", "user\\u202eexe.txt"),
        ("tab\there", "tab here"),
        ("zwölf → ✓", "zwölf → ✓"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(foreign: str, harmless: str) -> None:
    assert clean(foreign) == harmless


def test_newlines_are_kept_only_where_asked() -> None:
    assert clean("a\nb") == "a\nb"
    assert clean("a\nb", keep_newlines=False) == "a\\x0ab"


@given(st.text())
def test_nothing_harmful_is_left(text: str) -> None:
    assert all(unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in clean(text, keep_newlines=False))
