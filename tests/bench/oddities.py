"""What is put in the place of a value to see what becomes of it."""

import random
from collections.abc import Iterator
from typing import Any

NUMBERS = (
    *(0, 1, -1, 2, 7, 255, 256, 65535, 65536, 10**9, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**61, 2**62, 2**63 - 1, 2**63),
    *(-(2**31), -(2**63), 2**64 - 1, 2**64, 10**25),
)
FLOATS = (0.0, -0.0, -1.5, 1e-9, 1e9, 1e300, 5e-324)
_NUMERALS = "0 -1 00 0x 0xZZ 1e400 nan inf NaN null None \u0663 \u00b2 \u00bd"
_SIGNS = "- / : :: [ { .. ../.. a/b -wevil $(id) \u202e \x1b[31m \ud7ff \U0001f600"
_ADDRESSES = "0.0.0.0 255.255.255.255 255.255.255.256 10.0.0.1 10.0.0.1/33 10.0.0.0/8 1.2.3 224.0.0.1 127.0.0.1"
_OTHER_ADDRESSES = "::1 fe80::1%eth0 fe80::1/999 fd00::/8 ::ffff:10.0.0.1 02:00:00:00:00:0a 02:00 ff:ff:ff:ff:ff:ff"
_NAMES = "UDP TCP ICMP tcp lost pod default 0/0 any all lo"
_LONG = ("", " ", "\x00", "9" * 30, "9" * 5000, "0x" + "f" * 40, "a" * 5000)
WORDS = (*_LONG, *" ".join((_NUMERALS, _SIGNS, _ADDRESSES, _OTHER_ADDRESSES, _NAMES)).split(" "))


def value(source: random.Random, like: object) -> Any:
    """Another value: mostly of the kind of `like`."""
    pick = source.random()
    if pick < 0.12:
        return source.choice((None, True, False, [], {}, [None], {"": None}, "x", 1, 1.5, [[]], -1))
    if isinstance(like, bool):
        return not like
    if isinstance(like, int):
        near = (like + 1, like - 1, -like, like * 2, like * 1000, like // 2, like + 10**9, like ^ (1 << source.randrange(64)))
        return source.choice(near) if pick < 0.5 else source.choice(NUMBERS)
    if isinstance(like, float):
        return source.choice((like * 1000, -like, like + 1, *FLOATS))
    if isinstance(like, str):
        return text(source, like)
    return None


def text(source: random.Random, like: str) -> str:
    """Another text: one of the odd ones, or nearly the same."""
    if not like or source.random() < 0.5:
        return source.choice(WORDS)
    at = source.randrange(len(like))
    return source.choice(
        (like[:at], like[at:], like[:at] + source.choice(WORDS) + like[at:], like[:at] + like[at + 1 :], like * 2, like.upper())
    )


def places(document: object) -> Iterator[tuple[Any, Any]]:
    """Each container in a document with each of its keys or numbers."""
    waiting = [document]
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict | list):
            for key, inside in container.items() if isinstance(container, dict) else enumerate(container):
                yield container, key
                waiting.append(inside)


def change(source: random.Random, document: Any) -> None:
    """Change something somewhere in a JSON document: a value, a member, or the order of members."""
    found = list(places(document))
    if not found:
        return
    container, key = source.choice(found)
    like = container[key]
    way = source.random()
    if way < 0.6 and not isinstance(like, dict | list):
        container[key] = value(source, like)
    elif way < 0.7:
        other, at = source.choice(found)
        container[key] = other[at] if type(other[at]) is type(like) and not isinstance(like, dict | list) else value(source, like)
    elif way < 0.8:
        del container[key]
    elif isinstance(container, list):
        container.insert(source.randrange(len(container) + 1), container[source.randrange(len(container))])
    elif isinstance(like, list):
        source.shuffle(like)
        del like[source.randrange(len(like) + 1) :]
    else:
        container[key] = value(source, like)


def changed_bytes(source: random.Random, data: bytes) -> bytes:
    """Bytes with some changed, cut, repeated."""
    found = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 5))):
        if not found:
            break
        at = source.randrange(len(found))
        behind = min(len(found), at + source.choice((1, 2, 8, 60, 300)))
        way = source.randrange(5)
        if way == 0:
            found[at] = source.randrange(256)
        elif way == 1:
            del found[at:behind]
        elif way == 2:
            found[at:at] = found[at:behind] * source.choice((1, 2, 20))
        elif way == 3:
            found[at:behind] = source.randbytes(behind - at)
        else:
            del found[at:]
    return bytes(found)
