"""A world in words that can be pasted back: only what differs from the defaults."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass

from tests.wire.places import EPOCH
from tests.wire.stream import place_of


def describe(value: object) -> str:
    """A record with its fields that differ from their defaults; times as distance from EPOCH."""
    if is_dataclass(value) and not isinstance(value, type):
        told = [f"{one.name}={_field(one.name, getattr(value, one.name))}" for one in fields(value) if _differs(one, value)]
        return f"{type(value).__name__}({', '.join(told)})"
    if isinstance(value, tuple) and any(is_dataclass(one) for one in value):
        return "(" + "".join(f"\n    {describe(one)}," for one in value) + "\n)"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {describe(one)}" for key, one in value.items()) + "}"
    if isinstance(value, bytes) and (start := place_of(value)) is not None:
        return f"stream_bytes({start}, {len(value)})"
    return repr(value)


def _differs(one: "Field[object]", value: object) -> bool:
    default = one.default if one.default_factory is MISSING else one.default_factory()
    return bool(getattr(value, one.name) != default)


def _field(name: str, value: object) -> str:
    if name.endswith("_ns") and isinstance(value, int) and value > EPOCH // 2:
        return f"EPOCH + {value - EPOCH}"
    return describe(value)
