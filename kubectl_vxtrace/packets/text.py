"""Foreign bytes as text for one line of a report."""

MOST_CHARACTERS = 255


def clean(raw: bytes, most: int = MOST_CHARACTERS, *, spaces: bool = False) -> str:
    r"""Printable ASCII as it is, every other byte and the backslash as `\xNN`; at most `most` characters, then `...`.

    A space is kept only with `spaces`: inside a name it would look like the end of it.
    """
    lowest = 0x20 if spaces else 0x21
    text = "".join(chr(byte) if lowest <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in raw[: most + 1])
    return text if len(text) <= most else text[:most] + "..."
