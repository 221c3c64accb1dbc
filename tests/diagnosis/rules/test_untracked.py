"""Rules that leave one direction of a connection untracked."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.rules.fit import Traits
from kubectl_vxtrace.diagnosis.rules.untracked import untracked_one_way
from kubectl_vxtrace.model.facts import Rule
from tests.diagnosis.build import HEALTHY, A, rule, ruled

CACHE, CLIENT = "169.254.20.10", "10.244.114.75"
LOST = Traits(
    protocol="tcp",
    sources=frozenset({CLIENT}),
    destinations=frozenset({CACHE}),
    source_ports=frozenset({40000}),
    destination_ports=frozenset({53}),
    inputs=frozenset({"cali9d8b6a7d855"}),
)
IN = f"-d {CACHE}/32 -p tcp -m tcp --dport 53 -j NOTRACK"
OUT = f"-s {CACHE}/32 -p tcp -m tcp --sport 53 -j NOTRACK"
ELSE = "-d 169.254.20.11/32 -p tcp -m tcp --dport 53 -j NOTRACK"


def raw(chain: str, text: str) -> Rule:
    return replace(rule(chain, text, 100), table="raw")


@pytest.mark.parametrize(
    ("rules", "of_lost", "idle"),
    [
        pytest.param(((raw("OUTPUT", OUT), 20),), False, 0, id="the answers"),
        pytest.param(((raw("PREROUTING", IN), 20),), True, 0, id="the questions"),
        pytest.param(((raw("OUTPUT", OUT), 20), (raw("PREROUTING", IN), 0)), False, 1, id="a rule that nothing comes to"),
        pytest.param(((raw("OUTPUT", OUT), 20), (raw("PREROUTING", ELSE), 9)), False, 0, id="a rule for another address"),
    ],
)
def test_one_direction(rules: tuple[tuple[Rule, int], ...], of_lost: bool, idle: int) -> None:
    before, after = ruled(A, *rules)
    found = untracked_one_way(replace(HEALTHY, before=before, after=after).case(), A, LOST)
    assert found is not None
    assert (found.packets, found.of_lost, len(found.idle)) == (20, of_lost, idle)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param((), id="no rule"),
        pytest.param(((raw("OUTPUT", OUT), 20), (raw("PREROUTING", IN), 20)), id="both"),
        pytest.param(((raw("OUTPUT", OUT), 0),), id="nothing came to it"),
        pytest.param(((raw("PREROUTING", ELSE), 20),), id="another address"),
        pytest.param(((raw("OUTPUT", OUT.replace("NOTRACK", "ACCEPT")), 20),), id="it accepts"),
    ],
)
def test_none_or_both(rules: tuple[tuple[Rule, int], ...]) -> None:
    before, after = ruled(A, *rules)
    assert untracked_one_way(replace(HEALTHY, before=before, after=after).case(), A, LOST) is None
