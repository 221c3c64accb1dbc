"""Each thing that a kernel or a network does to packets, alone: nothing that is said of it contradicts the truth."""

import pytest

from tests.journeys.oracle import contradictions
from tests.journeys.worlds import run
from tests.wire.options import OPTIONS


@pytest.mark.parametrize("name", OPTIONS)
def test_option(name: str) -> None:
    assert contradictions(run(OPTIONS[name])) == []
