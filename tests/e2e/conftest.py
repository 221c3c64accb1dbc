"""The lab for all of these tests: brought up once for each backend, taken down after the last, healed after each test.

A test that asks for `place` runs on each backend; one that is marked `one_backend` on the first alone, since what it looks at does not
depend on the nodes' shape.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.place import Lab, lab

BACKENDS = ("calico", "flannel")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its backends; the lab stays up from test to test."""
    if "backend" in metafunc.fixturenames:
        one = metafunc.definition.get_closest_marker("one_backend") is not None
        metafunc.parametrize("backend", BACKENDS[:1] if one else BACKENDS, indirect=True, scope="package")


@pytest.fixture(scope="package")
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="package")
def lab_of_backend(backend: str) -> Iterator[Lab]:
    yield Lab(Path(lab("up", "--backend", backend).splitlines()[-1]))
    lab("down")


@pytest.fixture
def place(lab_of_backend: Lab) -> Iterator[Lab]:
    """A healthy lab; healed again afterwards."""
    lab_of_backend.heal()
    yield lab_of_backend
    lab_of_backend.heal()
