"""A fixed tenth of the rules, end to end; `python -m tests.chaos` runs all of them."""

import pytest

from tests.chaos.rules import Rule
from tests.chaos.run import outcome
from tests.chaos.table import RULES, TENTH
from tests.e2e.place import Current, Lab


def test_a_tenth_of_the_rules_and_each_name_once() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(TENTH) < set(names)
    assert 0.05 * len(names) < len(TENTH) < 0.15 * len(names)


@pytest.mark.lab
@pytest.mark.one_backend
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.name in TENTH], ids=lambda rule: rule.name)
def test_the_answer_is_right(place: Lab, rule: Rule) -> None:
    if isinstance(place, Current):
        pytest.skip("it removes all debug pods that are left, and the cluster is not ours (--on current)")
    found = outcome(place, rule)
    assert found.right, found
