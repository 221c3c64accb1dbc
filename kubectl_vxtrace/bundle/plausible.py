"""Whether a recording that was read can be one: numbers in range, and records that fit together.

Types are checked as JSON is decoded. What is in a file that somebody sent may still be anything: a time beyond what an array holds, a hop
number that a loop would count up to.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite

from kubectl_vxtrace.model.path import Direction, Flow
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import ComparedPair

_MOST_NS = 1 << 62
"""Times and durations are 64-bit columns, sums and differences of two of them too; in Unix time this is the year 2116."""
_MOST = 1 << 64
"""The largest that a counter of the kernel holds is one less."""
_MOST_S = 1e9


def implausible(value: object, name: str = "") -> str | None:
    """The first number in a record, and all that it holds, that cannot be; None if all can. `name`: of the field that holds it."""
    if isinstance(value, bool | str | None):
        return None
    if isinstance(value, int):
        most = _MOST_NS if name.endswith("_ns") else _MOST
        return None if -most < value < most else f"{name} is {value}"
    if isinstance(value, float):
        return None if isfinite(value) and abs(value) <= _MOST_S else f"{name} is {value}"
    return next((found for part, of in _parts(value, name) if (found := implausible(part, of)) is not None), None)


def _parts(value: object, name: str) -> Iterator[tuple[object, str]]:
    if is_dataclass(value):
        yield from ((getattr(value, field.name), field.name) for field in fields(value))
    elif isinstance(value, Mapping):
        yield from ((part, name) for part in value.values())
    elif isinstance(value, Collection):
        yield from ((part, name) for part in value)


_MOST_DATAGRAMS = 1 << 16
"""Of one pair of nodes; a trace sends 256."""
_MOST_PORT, _MOST_VNI = 0xFFFF, 1 << 24
"""A port, and the length of an IP packet, has 16 bits (RFC 768, RFC 791); a VNI has 24 (RFC 7348, 5)."""


def unfitting_pair(pair: ComparedPair) -> str | None:
    """What cannot be of the datagrams of a pair of nodes; None if all can."""
    where = f"the datagrams from {pair.sender} to {pair.receiver}"
    numbers = (pair.copies, pair.vxlan_port, pair.other_port, *pair.source_ports, *pair.sizes_bytes)
    if not all(0 <= number <= _MOST_PORT for number in numbers) or len(set(pair.source_ports)) != len(pair.source_ports):
        return f"{where} have a port, a size or a number that cannot be"
    if not 0 < pair.count <= _MOST_DATAGRAMS or not all(0 <= number < pair.count for number in pair.sent):
        return f"{where} cannot be so many"
    if not 0 <= pair.first_vni <= _MOST_VNI - pair.count:
        return f"{where} have VNIs that cannot be"
    return None


def unfitting(flows: Collection[Flow], paths: Collection[HopPath]) -> str | None:
    """What does not fit together in flows and their paths; None if all does."""
    ids = {flow.id for flow in flows}
    if len(ids) != len(flows):
        return "two flows have one id"
    told: set[tuple[int, Direction]] = set()
    for path in paths:
        where = f"the {path.direction} path of flow {path.flow}"
        if path.flow not in ids:
            return f"{where} belongs to no flow"
        if (path.flow, path.direction) in told:
            return f"{where} is there twice"
        told.add((path.flow, path.direction))
        if [hop.hop for hop in path.hops] != list(range(1, len(path.hops) + 1)):
            return f"the hops of {where} are not numbered from 1 on"
    return None
