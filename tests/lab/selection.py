"""Label and field selectors (k8s.io/apimachinery, labels.Parse and fields.ParseSelector)."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.lab.status import JsonObject, bad_request

Predicate = Callable[[JsonObject], bool]

_SET = re.compile(r"\s*(?P<key>[\w./-]+)\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)\s*")
_EQUAL = re.compile(r"\s*(?P<key>[\w./-]+)\s*(?P<how>==|=|!=)\s*(?P<value>[\w.-]*)\s*")
_EXISTS = re.compile(r"\s*(?P<no>!?)\s*(?P<key>[\w./-]+)\s*")


def _label_term(text: str) -> Predicate:
    if found := _SET.fullmatch(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["how"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(text):
        key, value = found["key"], found["value"]
        if found["how"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(text):
        key, wanted = found["key"], not found["no"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f'unable to parse requirement: found "{text}", expected a label selector')


def field(obj: JsonObject, path: str) -> Any:
    """The value at a dotted path, None where the path ends early."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _field_term(text: str, known: Sequence[str]) -> Predicate:
    found = _EQUAL.fullmatch(text)
    if not found:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    path, value, equal = found["key"], found["value"], found["how"] != "!="
    if path not in known:
        raise bad_request(f"field label not supported: {path}")
    return lambda obj: (str(field(obj, path) or "") == value) is equal


def parse(label_selector: str, field_selector: str, fields: Sequence[str]) -> Predicate:
    """Both selectors as one predicate on an object; empty text selects everything. Raises ApiError 400."""
    labels = [_label_term(term) for term in re.split(r",(?![^(]*\))", label_selector) if term]
    known = ("metadata.name", "metadata.namespace", *fields)
    terms = [_field_term(term, known) for term in field_selector.split(",") if term]

    def selects(obj: JsonObject) -> bool:
        own = obj["metadata"].get("labels") or {}
        return all(term(own) for term in labels) and all(term(obj) for term in terms)

    return selects
