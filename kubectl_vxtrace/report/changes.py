"""What changed at a node between the two looks at it: lines of its tables that came and went, and counters that grew."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec

from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.pod_facts import PodFacts

_COUNTED = frozenset({"counters", "packets", "drops", "original_packets", "reply_packets", "dropped", "lost", "replayed", "failed"})
"""Fields that are counts: those that tell something stand among the counters instead."""

_RESTLESS = frozenset({"used_s", "confirmed_s", "updated_s", "probes", "expires_s", "receive_queue_bytes", "waiting"})
"""Ages and the like, which differ at every look and say nothing alone."""

_TELLS_OF_LOSS = re.compile(
    r"drop|err|discard|invalid|miss|fail|overrun|overflow|reject|ReversePathFilter|NoRoute|NoPorts|no_route|martian", re.IGNORECASE
)

_NO_TABLES = frozenset({"node", "taken_ns", "clock", "counters", "pod_facts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """A table of a node: how many lines went and came, and the first of them, in the order of the looks."""

    table: str
    gone: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChanges:
    """What changed at a node. counters: name, value before and growth of each that grew; first those that tell of lost packets."""

    node: str
    tables: tuple[TableChange, ...]
    counters: tuple[tuple[str, int, int], ...]


def changes(before: Sequence[NodeFacts], after: Sequence[NodeFacts]) -> tuple[NodeChanges, ...]:
    """What changed at each node that was looked at twice."""
    first = {facts.node: facts for facts in before}
    return tuple(_changes(first[facts.node], facts) for facts in after if facts.node in first)


def tells_of_loss(counter: str) -> bool:
    """Whether a counter, by its name, counts what did not get through."""
    return _TELLS_OF_LOSS.search(counter) is not None


def _changes(first: NodeFacts, last: NodeFacts) -> NodeChanges:
    tables = []
    for field in fields(NodeFacts):
        if field.name in _NO_TABLES or _unanswered(first, field.name) or _unanswered(last, field.name):
            continue
        old, new = (dict.fromkeys(_lines(getattr(facts, field.name))) for facts in (first, last))
        gone, came = (tuple(line for line in one if line not in other) for one, other in ((old, new), (new, old)))
        if gone or came:
            tables.append(TableChange(table=field.name.replace("_", " "), gone=gone, new=came))
    return NodeChanges(node=first.node, tables=tuple(tables), counters=tuple(_by_weight(_grown(dict(_counts(first)), dict(_counts(last))))))


def _unanswered(facts: NodeFacts, table: str) -> bool:
    return not facts.absent.keys().isdisjoint({table, table.replace("_", "-")})


def _by_weight(counters: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    return sorted(counters, key=lambda counter: not tells_of_loss(counter[0]))


def _grown(first: Mapping[str, int], last: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    for name, value in last.items():
        if name in first and value > first[name]:
            yield name, first[name], value - first[name]


def _counts(facts: NodeFacts) -> Iterator[tuple[str, int]]:
    """All counters of a node by a name of their own; what is there twice by the same name counts once."""
    yield from facts.counters.items()
    for link in facts.links:
        yield from ((f"{link.name} {name}", value) for name, value in link.counters.items())
    for rule in (*facts.rules, *facts.pod_rules):
        if rule.packets is not None:
            where = "" if rule.namespace is None else f"network namespace {rule.namespace} "
            yield f"{where}{rule.backend} {rule.table} {rule.chain}: {rule.text}", rule.packets
    for socket in facts.udp_sockets:
        yield f"UDP socket {socket.address} {socket.port} drops", socket.drops
    for pod in facts.pod_facts:
        yield from ((f"network namespace {pod.namespace} {name}", value) for name, value in _of_pod(pod))


def _of_pod(pod: PodFacts) -> Iterator[tuple[str, int]]:
    """All counters inside a pod."""
    yield from pod.counters.items()
    for socket in pod.udp_sockets or ():
        yield f"UDP socket {socket.address} {socket.port} drops", socket.drops
    for listener in pod.listeners or ():
        if listener.drops is not None:
            yield f"TCP listener {listener.address} {listener.port} drops", listener.drops


def _lines(table: Any) -> Iterable[str]:
    """A line for each entry of a table, or of a mapping."""
    if isinstance(table, dict):
        return [f"{name} = {value}" for name, value in table.items()]
    if isinstance(table, tuple):
        return [_line(msgspec.to_builtins(entry)) for entry in table]
    return [] if table is None else [_line(msgspec.to_builtins(table))]


def _line(entry: Any) -> str:
    """What an entry holds, as `name=value`, without what is empty."""
    if not isinstance(entry, dict):
        return str(entry)
    shown = {
        name: value for name, value in entry.items() if name not in _COUNTED | _RESTLESS and value not in (None, "", (), [], {}, False)
    }
    return " ".join(f"{name.removesuffix('_')}={_value(value)}" for name, value in shown.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"({_line(value)})"
    return ",".join(map(_value, value)) if isinstance(value, list | tuple) else str(value)
