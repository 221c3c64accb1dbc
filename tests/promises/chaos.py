"""The rules of tests/chaos, as rows."""

from collections.abc import Iterator, Sequence

from tests.chaos import run as rules
from tests.chaos.table import RULES
from tests.e2e.place import Lab
from tests.promises.results import Row


def run(place: Lab, words: Sequence[str]) -> Iterator[Row]:
    """A row for each rule, or each of those whose names have one of these words."""
    names = [rule.name for rule in RULES if not words or any(word in rule.name for word in words)]
    for outcome in rules.run(place, names):
        wrong = () if outcome.right else ("not as expected",)
        yield Row(name=outcome.name, expected=outcome.expected, got=outcome.got, wrong=wrong)
