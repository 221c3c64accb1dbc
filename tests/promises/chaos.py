"""The rules of tests/chaos, as rows."""

from collections.abc import Iterator
from importlib import import_module

from tests.e2e.place import Lab
from tests.promises.results import NotRunError, Row

RULES = "tests.chaos.run"


def run(place: Lab) -> Iterator[Row]:
    """A row for each rule.

    Raises:
        NotRunError: this checkout has none.
    """
    try:
        rules = import_module(RULES)
    except ModuleNotFoundError as error:
        raise NotRunError(f"this checkout has no {RULES}") from error
    for outcome in rules.run(place):
        wrong = () if outcome.right else ("not as expected",)
        yield Row(name=outcome.name, expected=outcome.expected, got=outcome.got, wrong=wrong)
