"""The one sanitiser: foreign text on its way to a terminal or a page."""

import unicodedata

# Cc: C0, DEL and C1 controls, which a terminal obeys. Cf: bidirectional and invisible formatting, which makes text read as what it is not
# (CVE-2021-42574). Cs, Co, Cn: lone surrogates, private use, unassigned. Zl, Zp: line separators.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str, *, keep_newlines: bool = True) -> str:
    """`text` with every character that a terminal would obey or hide written as an escape (`\\x1b`, `\\u202e`).

    Newlines stay by default; tabs become a blank.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_clean_character(character, keep_newlines) for character in text)


def _clean_character(character: str, keep_newlines: bool) -> str:
    if character == "\n" and keep_newlines:
        return character
    if character == "\t":
        return " "
    if unicodedata.category(character) not in _HARMFUL:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
