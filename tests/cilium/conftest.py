"""The lab with nodes of Cilium's shape: brought up once for the tests of this folder that ask for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.place import Lab, lab


@pytest.fixture(scope="package")
def steered_lab() -> Iterator[Lab]:
    yield Lab(Path(lab("up", "--backend", "cilium").splitlines()[-1]))
    lab("down")


@pytest.fixture
def place(steered_lab: Lab) -> Iterator[Lab]:
    """A healthy place, healed again afterwards."""
    steered_lab.heal()
    yield steered_lab
    steered_lab.heal()
    steered_lab.state("users.json", None)
