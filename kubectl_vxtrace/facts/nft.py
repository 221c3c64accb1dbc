"""Rules of `nft -j -t list table`, written in nft's own words as far as they are known here, else as its JSON."""

import json
from typing import Any

from kubectl_vxtrace.facts.iptables import numbered
from kubectl_vxtrace.facts.reading import Record, child, children, documents, number, strings, text
from kubectl_vxtrace.model.facts import Rule

_VERDICTS = (
    "accept",
    "drop",
    "reject",
    "return",
    "queue",
    "masquerade",
    "redirect",
    "dnat",
    "snat",
    "tproxy",
    "synproxy",
    "fwd",
    "notrack",
)
_FAMILIES = {"ip": 4, "ip6": 6}  # inet, bridge and netdev see both
_QUIET = ("accept", "drop", "return", "notrack", "masquerade")


def read_nft(raw: bytes) -> tuple[Rule, ...]:
    """The rules and base chain policies of one or more tables, in order.

    Raises:
        UnreadableError: it is not nft's JSON.
    """
    return rules_of(read_items(raw))


def read_items(raw: bytes) -> list[Record]:
    """What nft lists, item by item: `{"rule": {...}}`, `{"chain": {...}}`, `{"map": {...}}`.

    Raises:
        UnreadableError: it is not nft's JSON.
    """
    return [item for document in documents(raw) if isinstance(document, dict) for item in children(document, "nftables")]


def rules_of(items: list[Record]) -> tuple[Rule, ...]:
    """The rules and base chain policies among `items`, in order."""
    counters = {(*_place(item), text(item, "name")): number(item, "packets") for item in _of_kind(items, "counter")}
    chains = {(*_place(item), text(item, "name")): item for item in _of_kind(items, "chain")}
    policies = [rule for item in _of_kind(items, "chain") if (rule := _policy(item)) is not None]
    rules = []
    for item in _of_kind(items, "rule"):
        rules.append(_rule(item, chains.get((*_place(item), text(item, "chain")), {}), counters))
    return numbered(policies + rules)


def _of_kind(items: list[Record], kind: str) -> list[Record]:
    return [child(item, kind) for item in items if child(item, kind)]


def _place(item: Record) -> tuple[str, str]:
    return text(item, "family") or "", text(item, "table") or ""


def _policy(chain: Record) -> Rule | None:
    policy, hook = text(chain, "policy"), text(chain, "hook")
    if policy is None or hook is None:
        return None
    return Rule(
        id="",
        backend="nft",
        table=" ".join(_place(chain)),
        chain=text(chain, "name") or "",
        text="policy",
        target=policy.upper(),
        hook=hook,
        family=_FAMILIES.get(_place(chain)[0]),
        device=_device(chain),
    )


def _device(chain: Record) -> str | None:
    """The device of a base chain at one; of several, which stand in a list, all."""
    return text(chain, "dev") or " ".join(strings(chain, "dev")) or None


def _rule(item: Record, chain: Record, counters: dict[tuple[str, str, str | None], int | None]) -> Rule:
    expressions = children(item, "expr")
    return Rule(
        id="",
        backend="nft",
        table=" ".join(_place(item)),
        chain=text(item, "chain") or "",
        text=" ".join(_words(expression) for expression in expressions),
        target=_target(expressions),
        comment=text(item, "comment"),
        packets=_packets(expressions, _place(item), counters),
        hook=text(chain, "hook"),
        family=_FAMILIES.get(_place(item)[0]),
        device=_device(chain),
    )


def _packets(expressions: list[Record], place: tuple[str, str], counters: dict[tuple[str, str, str | None], int | None]) -> int | None:
    """The count of the rule's own counter, or of the named one that it counts in (which others may share)."""
    for expression in expressions:
        if "counter" in expression:
            named = expression["counter"]
            return counters.get((*place, named)) if isinstance(named, str) else number(child(expression, "counter"), "packets")
    return None


def _target(expressions: list[Record]) -> str | None:
    for expression in reversed(expressions):
        for name in expression:
            if name in _VERDICTS:
                return name.upper()
            if name in ("jump", "goto"):
                return text(child(expression, name), "target")
            if name == "xt" and text(child(expression, name), "type") == "target":
                return text(child(expression, name), "name")
    return None


def _words(expression: Record) -> str:
    """One expression, without what changes while the rule stays the same (its counts)."""
    name, value = next(iter(expression.items()), ("", None))
    if name == "counter":
        return f"counter name {value}" if isinstance(value, str) else "counter"
    if name == "match" and isinstance(value, dict):
        operator = value.get("op")
        sign = "" if operator in ("==", "in") else f"{operator} "
        return f"{_operand(value.get('left'))} {sign}{_operand(value.get('right'))}"
    if name in _QUIET and value is None:
        return name
    if name in ("jump", "goto") and isinstance(value, dict):
        return f"{name} {value.get('target')}"
    if name == "vmap" and isinstance(value, dict):
        return f"{_operand(value.get('key'))} vmap {_operand(value.get('data'))}"
    if name == "reject":
        return "reject" if not isinstance(value, dict) else f"reject with {value.get('type')} {value.get('expr', '')}".rstrip()
    return f"{name} {_json(value)}" if value is not None else name


def _operand(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if name == "payload" and isinstance(inner, dict) and "field" in inner:
            return f"{inner.get('protocol')} {inner['field']}"
        if name in ("meta", "ct") and isinstance(inner, dict):
            return f"{name} {inner.get('key')}"
        if name == "prefix" and isinstance(inner, dict):
            return f"{inner.get('addr')}/{inner.get('len')}"
        if name == "concat" and isinstance(inner, list):
            return " . ".join(_operand(item) for item in inner)
        if name == "set" and isinstance(inner, list):
            return "{ " + ", ".join(_operand(item) for item in inner) + " }"
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
        return f"{_operand(value[0])} : {_words(value[1])}"
    return str(value) if isinstance(value, str | int) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
