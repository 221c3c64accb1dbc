"""The lab with IPv6 alone: underlay, pods and Services; brought up once for each shape of nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.datapath.shape import BACKENDS_6
from tests.e2e.place import Lab, lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `one_backend` runs on the first shape alone."""
    if "backend" in metafunc.fixturenames:
        one = metafunc.definition.get_closest_marker("one_backend") is not None
        metafunc.parametrize("backend", BACKENDS_6[:1] if one else BACKENDS_6, indirect=True, scope="package")


@pytest.fixture(scope="package")
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
