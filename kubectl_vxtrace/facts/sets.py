"""Sets that packet filter rules look into: `ipset list`, and the sets and maps of `nft -j`."""

import json
from collections.abc import Sequence

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.reading import Record, child, children, documents, text
from kubectl_vxtrace.model.facts import AddressSet

# A set of more members is known by name only: no check reads a list that long, and each look is kept whole in memory.
_MOST_MEMBERS = 20_000


def read_ipset(raw: bytes) -> tuple[AddressSet, ...]:
    """The sets of `ipset list`: a head of `Name: NAME`, `Type: hash:ip` and so on, `Members:`, then a member a line.

    Raises:
        UnreadableError: it is not that tool's output.
    """
    found: list[AddressSet] = []
    for block in raw.decode("utf-8", "replace").split("\n\n"):
        head, is_whole, rest = block.partition("\nMembers:")
        fields = dict(line.split(": ", 1) for line in head.strip().splitlines() if ": " in line)
        if not block.strip():
            continue
        if not is_whole or "Name" not in fields:
            raise UnreadableError("not the output of ipset list")
        members = [line.split(None, 1)[0] for line in rest.splitlines() if line.strip()]
        found.append(_set(fields["Name"], "ipset", fields.get("Type"), members))
    return tuple(found)


def read_nft_sets(raw: bytes) -> tuple[AddressSet, ...]:
    """The named sets of `nft -j list sets`, or the maps of `nft -j list maps`.

    Raises:
        UnreadableError: it is not nft's JSON.
    """
    items = [item for document in documents(raw) if isinstance(document, dict) for item in children(document, "nftables")]
    found = [found for item in items for kind in ("set", "map") if (found := child(item, kind))]
    return tuple(_nft_set(item) for item in found if text(item, "name"))


def _nft_set(item: Record) -> AddressSet:
    name = " ".join(part for key in ("family", "table", "name") if (part := text(item, key)))
    kind = item.get("type")
    members = item.get("elem")
    members = members if isinstance(members, list) else []
    is_map = "map" in item and all(isinstance(member, list) and len(member) == 2 for member in members)
    return _set(
        name,
        "nft",
        kind if isinstance(kind, str) else " . ".join(map(str, kind)) if isinstance(kind, list) else None,
        [_element(member) for member in members],
        [verdict(member[1]) for member in members] if is_map else [],
    )


def verdict(value: object) -> str:
    """A map's value in nft's words: `drop`, `goto CHAIN`, or what it is mapped to."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if inner is None:
            return str(name)
        if name in ("goto", "jump") and isinstance(inner, dict):
            return f"{name} {inner.get('target')}"
    return _element(value)


def _element(element: object) -> str:
    """An address, a prefix, a range, a concatenation; a map's `[key, value]` is its key; one with a time-out is wrapped in `elem`."""
    if isinstance(element, list) and element:
        return _element(element[0])
    if isinstance(element, dict) and len(element) == 1:
        ((name, inner),) = element.items()
        if name == "elem" and isinstance(inner, dict):
            return _element(inner.get("val"))
        if name == "prefix" and isinstance(inner, dict):
            return f"{inner.get('addr')}/{inner.get('len')}"
        if name == "range" and isinstance(inner, list) and len(inner) == 2:
            return f"{_element(inner[0])}-{_element(inner[1])}"
        if name == "concat" and isinstance(inner, list):
            return " . ".join(_element(part) for part in inner)
    return str(element) if isinstance(element, str | int) else json.dumps(element, separators=(",", ":"), sort_keys=True)


def _set(name: str, backend: str, kind: str | None, members: Sequence[str], values: Sequence[str] = ()) -> AddressSet:
    if len(members) > _MOST_MEMBERS:
        return AddressSet(name=name, backend=backend, type=kind, complete=False)
    return AddressSet(name=name, backend=backend, type=kind, members=tuple(members), values=tuple(values))
