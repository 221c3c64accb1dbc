"""The place for a whole session: the lab, brought up once for each backend, or the cluster that is up; healed after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.places import KUBECONFIG
from tests.e2e.place import Cluster, Lab, cluster_backend, lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On the lab every test runs with both backends, on a cluster with the one that it has."""
    if "backend" in metafunc.fixturenames:
        on_lab = metafunc.config.getoption("on") == "lab"
        metafunc.parametrize("backend", ["calico", "flannel"] if on_lab else ["cluster"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    if request.param != "cluster":
        return str(request.param)
    found = cluster_backend()
    if found is None:
        pytest.skip("no cluster is up, or not all of it: `make cluster-up`; `make cluster-status` says what is missing")
    return found


@pytest.fixture(scope="session")
def lab_of_backend(backend: str, request: pytest.FixtureRequest) -> Iterator[Lab]:
    if request.config.getoption("on") == "cluster":
        yield Cluster(KUBECONFIG)
        return
    yield Lab(Path(lab("up", "--backend", backend).splitlines()[-1]))
    lab("down")


@pytest.fixture
def place(lab_of_backend: Lab) -> Iterator[Lab]:
    """A healthy place; healed again afterwards."""
    lab_of_backend.heal()
    yield lab_of_backend
    lab_of_backend.heal()
