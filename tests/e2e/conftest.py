"""The place for a whole session: the lab (once for each backend), the cluster that is up, or the user's own; healed after each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.places import KUBECONFIG
from tests.e2e.place import Cluster, Current, Lab, cluster_backend, lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On the lab every test runs with both backends, elsewhere with the one that there is."""
    if "backend" in metafunc.fixturenames:
        on = metafunc.config.getoption("on")
        metafunc.parametrize("backend", ["calico", "flannel"] if on == "lab" else [on], indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "current":
        return str(request.config.getoption("backend"))
    if request.param != "cluster":
        return str(request.param)
    found = cluster_backend()
    if found is None:
        pytest.skip("no cluster is up, or not all of it: `make cluster-up`; `make cluster-status` says what is missing")
    return found


@pytest.fixture(scope="session")
def lab_of_backend(backend: str, request: pytest.FixtureRequest) -> Iterator[Lab]:
    on = request.config.getoption("on")
    if on == "cluster":
        yield Cluster(KUBECONFIG)
    elif on == "current":
        yield Current(Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config"))
    else:
        yield Lab(Path(lab("up", "--backend", backend).splitlines()[-1]))
        lab("down")


@pytest.fixture
def place(lab_of_backend: Lab) -> Iterator[Lab]:
    """A healthy place; healed again afterwards."""
    lab_of_backend.heal()
    yield lab_of_backend
    lab_of_backend.heal()
