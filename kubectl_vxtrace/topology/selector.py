"""Label selectors as kubectl's -l takes them (kubernetes.io/docs/concepts/overview/working-with-objects/labels)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import Requirement

_KEY: Final = r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
_FORMS: Final = (
    (re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*({_VALUE})\s*", re.ASCII), {"=": "In", "==": "In", "!=": "NotIn"}),
    (re.compile(rf"\s*({_KEY})\s+(in|notin)\s+\(([^()]*)\)\s*", re.ASCII), {"in": "In", "notin": "NotIn"}),
)
_EXISTS: Final = re.compile(rf"\s*(!?)\s*({_KEY})\s*", re.ASCII)
_COMMA: Final = re.compile(r",(?![^(]*\))")
_HINT: Final = "write for example app=api, 'tier!=db', 'app in (api,web)' or app"


def parse_selector(text: str) -> tuple[Requirement, ...]:
    """The requirements of a selector, all of which have to hold.

    Raises:
        UsageError: it is none.
    """
    return tuple(_requirement(part, text) for part in _COMMA.split(text))


def selects(requirements: Sequence[Requirement], labels: Mapping[str, str]) -> bool:
    """Whether `labels` satisfy all requirements."""
    return all(requirement.holds(labels) for requirement in requirements)


def _requirement(part: str, text: str) -> Requirement:
    for form, operators in _FORMS:
        if found := form.fullmatch(part):
            values = tuple(value.strip() for value in found[3].split(","))
            if all(re.fullmatch(_VALUE, value, re.ASCII) for value in values):
                return Requirement(key=found[1], operator=operators[found[2]], values=values)
    if found := _EXISTS.fullmatch(part):
        return Requirement(key=found[2], operator="DoesNotExist" if found[1] else "Exists")
    raise UsageError(f"{text[:80]!a} is no label selector", _HINT)
