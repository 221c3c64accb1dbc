"""Names for names: as long, of the same kind of characters, the same wherever they stand, and telling nothing.

A name is taken apart at its dots into labels, and a label at whatever is no letter or digit. Each part has its own pseudonym, so that
`kotsadm-58f859745b-x4nh8` still begins as its Deployment `kotsadm`, and the labels of a DNS name are those of Service and namespace.
A letter becomes a letter and a digit a digit by a Feistel network on the part, so different parts stay different.
"""

import re
from hashlib import shake_256
from string import ascii_lowercase, ascii_uppercase

from kubectl_vxtrace.pseudonyms.words import KEPT_NAMES, KEPT_WORDS

_ROUNDS = 10
_PARTS = re.compile(r"[A-Za-z0-9\x80-\xff]+")
_DASHED_ADDRESS = re.compile(r"\d+(?:-\d+){3,}")
"""As in `ip-10-128-0-72` (nodes) and `10-244-1-5.shop.pod` (DNS): hidden as one."""
_ORDINAL_DIGITS = 2
"""So many digits number what is alike (`-0`, `-12`)."""
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_BASE32 = ascii_uppercase + "234567"
_HEXADECIMAL = "0123456789abcdef"
_REVERSE = (("in-addr", "arpa"), ("ip6", "arpa"))


class Names:
    """One key's pseudonyms."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}

    def name(self, name: str) -> str:
        """The pseudonym of a name, with dots, slashes or none. Well-known names and words stay: see pseudonyms.words."""
        return "/".join(".".join(self.labels(one.split("."))) for one in name.split("/"))

    def labels(self, labels: list[str]) -> list[str]:
        """The pseudonyms of a DNS name's labels, each character a byte (ISO 8859-1); a name that says an address backwards is one part."""
        lower = [label.translate(_LOWER) for label in labels]
        for zone in _REVERSE:
            if tuple(lower[-2:]) == zone and not any("." in label for label in labels):
                said = ".".join(labels[:-2])
                return [*(self.hexadecimal(said).split(".") if len(labels) > 2 else []), *labels[-2:]]
        return [self.label(label) for label in labels]

    def label(self, label: str) -> str:
        """The pseudonym of a name without dots; as long as it is, with capitals where it has them (RFC 4343)."""
        lower = label.translate(_LOWER)
        found = self._known.get(lower)
        if found is None:
            self._known[lower] = found = self._label(lower)
        if lower == label:
            return found
        return "".join(new.upper() if old in ascii_uppercase else new for old, new in zip(label, found, strict=True))

    def whole(self, text: str) -> str:
        """The pseudonym of what is neither name nor number, as a hash in base 32: letters and digits, capitals where it has them."""
        found = self._part(text.translate(_LOWER), keep_ordinal=False)
        return "".join(new.upper() if old in ascii_uppercase else new for old, new in zip(text, found, strict=True))

    def base32(self, text: str) -> str:
        """The pseudonym of a number in base 32 (RFC 4648, 6)."""
        found = self._feistel([_BASE32.index(one) for one in text], [len(_BASE32)] * len(text))
        return "".join(_BASE32[number] for number in found)

    def hexadecimal(self, text: str) -> str:
        """The pseudonym of digits and letters up to f, with separators between: digits become digits only where there is no letter."""
        lower = text.lower()
        base = "0123456789" if not re.search("[a-f]", lower) else _HEXADECIMAL
        digits = [base.index(one) for one in lower if one in base]
        found = iter(self._feistel(digits, [len(base)] * len(digits)))
        return "".join(base[next(found)] if one in base else one for one in lower)

    def _label(self, label: str) -> str:
        if label in KEPT_NAMES or label.strip("_") in KEPT_WORDS:
            return label
        kept = max((name for name in KEPT_NAMES if label.startswith(f"{name}-")), key=len, default="")
        rest = label[len(kept) :]
        rest = _DASHED_ADDRESS.sub(lambda match: self.hexadecimal(match[0]), rest)
        if _DASHED_ADDRESS.search(rest):
            return kept + re.sub(r"[a-z\x80-\xff]+", lambda match: self._part(match[0]), rest)
        is_number = not re.search(r"[a-z\x80-\xff]", label)
        return kept + _PARTS.sub(lambda match: self._part(match[0], keep_ordinal=not is_number), rest)

    def _part(self, part: str, *, keep_ordinal: bool = True) -> str:
        if keep_ordinal and part.isdecimal() and len(part) <= _ORDINAL_DIGITS:
            return part
        numbers, bases = zip(*(_numbered(character) for character in part), strict=True)
        found = self._feistel(list(numbers), list(bases))
        return "".join(_character(number, base) for number, base in zip(found, bases, strict=True))

    def _feistel(self, numbers: list[int], bases: list[int]) -> list[int]:
        """A permutation of the lists of numbers, each below its base (the construction of NIST SP 800-38G, with SHAKE256)."""
        half = len(numbers) // 2
        halves = numbers[:half], numbers[half:]
        half_bases = bases[:half], bases[half:]
        for turn in range(_ROUNDS):
            side = turn % 2
            changed, other = halves[side], halves[1 - side]
            said = self._key + bytes((turn, len(numbers), *bases, *other))
            digest = shake_256(said).digest(4 * len(changed))
            for place, base in enumerate(half_bases[side]):
                changed[place] = (changed[place] + int.from_bytes(digest[4 * place : 4 * place + 4])) % base
        return halves[0] + halves[1]


_DIGITS, _LETTERS, _OTHERS = 10, 26, 128


def _numbered(character: str) -> tuple[int, int]:
    """A character's number in its kind, and how many the kind has."""
    if "0" <= character <= "9":
        return ord(character) - ord("0"), _DIGITS
    if "a" <= character <= "z":
        return ord(character) - ord("a"), _LETTERS
    return ord(character) - _OTHERS, _OTHERS


def _character(number: int, base: int) -> str:
    return chr(number + {_DIGITS: ord("0"), _LETTERS: ord("a"), _OTHERS: _OTHERS}[base])
