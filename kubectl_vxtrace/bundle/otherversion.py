"""Records that another version of the plugin has written: what this one knows is read, and what it does not know is said."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import msgspec

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Generic[T]):
    """What was read. `unknown`: names of fields that this version does not have; `left_out`: for each list, why entries of it were."""

    record: T
    unknown: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]


def read_known(text: bytes, kind: type[T], lists: Collection[str]) -> Known[T]:
    """A record of `kind`, a dataclass, from JSON.

    Args:
        text: the JSON.
        kind: what is read.
        lists: fields whose entries are worth something one by one: those that cannot be read are left out.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: what this version needs is not there, or not as it knows it.
    """
    value = msgspec.json.decode(text, type=dict[str, Any])
    types = get_type_hints(kind)
    unknown = [name for name in value if name not in types]
    left_out: dict[str, tuple[str, ...]] = {}
    for name in lists:
        entries = value.get(name)
        if isinstance(entries, list):
            entry_type = get_args(types[name])[0]
            value[name], reasons = _readable(entries, entry_type)
            unknown += [f"{name}.{field}" for field in _fields_beyond(value[name], entry_type)]
            if reasons:
                left_out[name] = tuple(reasons)
    return Known(record=msgspec.convert(value, type=kind), unknown=tuple(unknown), left_out=left_out)


def _readable(entries: list[Any], kind: Any) -> tuple[list[Any], list[str]]:
    """The entries that can be read, and why the others cannot."""
    found, reasons = [], []
    for entry in entries:
        try:
            msgspec.convert(entry, type=kind)
        except msgspec.ValidationError as error:
            reasons.append(str(error))
        else:
            found.append(entry)
    return found, reasons


def _fields_beyond(entries: list[Any], kind: Any) -> list[str]:
    """Names of fields in any of the entries that `kind` does not have."""
    if not is_dataclass(kind):
        return []
    own = {field.name for field in fields(kind)}
    return list(dict.fromkeys(name for entry in entries if isinstance(entry, dict) for name in entry if name not in own))
