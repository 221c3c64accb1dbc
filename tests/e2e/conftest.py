"""The lab for a whole session: brought up once for each backend, taken down at the end, healed after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.place import Lab, lab


@pytest.fixture(scope="session", params=["calico", "flannel"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def lab_of_backend(backend: str) -> Iterator[Lab]:
    yield Lab(Path(lab("up", "--backend", backend).splitlines()[-1]))
    lab("down")


@pytest.fixture
def place(lab_of_backend: Lab) -> Iterator[Lab]:
    """A healthy lab; healed again afterwards."""
    lab_of_backend.heal()
    yield lab_of_backend
    lab_of_backend.heal()
