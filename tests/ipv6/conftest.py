"""The lab with IPv6 alone: underlay, pods and Services; brought up once for each shape of nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.datapath.shape import BACKENDS_6
from tests.e2e.place import Lab, lab


@pytest.fixture(scope="package", params=BACKENDS_6)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="package")
def six_lab(backend: str) -> Iterator[Lab]:
    yield Lab(Path(lab("up", "--family", "6", "--backend", backend).splitlines()[-1]))
    lab("down")


@pytest.fixture
def place(six_lab: Lab) -> Iterator[Lab]:
    """A healthy place, healed again afterwards."""
    six_lab.heal()
    yield six_lab
    six_lab.heal()
