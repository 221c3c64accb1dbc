"""The one sanitiser: foreign text on its way to a terminal or a page, foreign bytes on their way into a line of text."""

import unicodedata

# Cc: C0, DEL and C1 controls, which a terminal obeys. Cf: bidirectional and invisible formatting, which makes text read as what it is not
# (CVE-2021-42574). Cs, Co, Cn: lone surrogates, private use, unassigned. Zl, Zp: line separators.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
MOST_CHARACTERS = 255
"""Of foreign bytes on one line of a report."""


def clean(text: str, *, keep_newlines: bool = True) -> str:
    """`text` with every character that a terminal would obey or hide written as an escape (`\\x1b`, `\\u202e`).

    Newlines stay by default; tabs become a blank.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_clean_character(character, keep_newlines) for character in text)


def clean_bytes(raw: bytes, most: int = MOST_CHARACTERS, *, spaces: bool = False) -> str:
    r"""Printable ASCII as it is, every other byte and the backslash as `\xNN`; at most `most` characters, then `...`.

    A space is kept only with `spaces`: inside a name it would look like the end of it.
    """
    lowest = 0x20 if spaces else 0x21
    text = "".join(chr(byte) if lowest <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in raw[: most + 1])
    return text if len(text) <= most else text[:most] + "..."


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
