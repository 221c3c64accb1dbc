"""Whatever worlds are made of: what is said of their packets does not contradict the truth."""

import os

from hypothesis import HealthCheck, given, note, settings

from tests.journeys.oracle import contradictions
from tests.journeys.worlds import run
from tests.wire.strategies import worlds
from tests.wire.world import World

EXAMPLES = int(os.environ.get("VXTRACE_WORLDS", "100"))
QUICK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(world=worlds(perfect=True))
def test_perfect_captures(world: World) -> None:
    """Arrived packets are not lost, lost ones are, on their leg; every packet is counted once."""
    found = contradictions(run(world))
    note(repr(found))
    assert found == []


@QUICK
@given(world=worlds())
def test_any_captures(world: World) -> None:
    """The same where captures are blind, late, cut or lossy and clocks differ: what cannot be known is undetermined."""
    found = contradictions(run(world))
    note(repr(found))
    assert found == []
