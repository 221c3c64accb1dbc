"""The place for all of these tests: the lab, the cluster that is up, or the user's own; healed after each test.

On the lab (`--on lab`) a test that asks for `place` runs on each backend, and the lab is brought up once for each and taken down after the
last; one that is marked `one_backend` runs on the first alone, since what it looks at does not depend on the nodes' shape. Elsewhere
(`--on cluster`, `--on current`) there is one backend: that of the cluster.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.places import KUBECONFIG
from tests.e2e.place import Cluster, Current, Lab, cluster_backend, lab

BACKENDS = ("calico", "flannel")
OBJECTS_GO_WITHIN_S = 30.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its backends; the lab stays up from test to test."""
    if "backend" in metafunc.fixturenames:
        on = metafunc.config.getoption("on")
        one = metafunc.definition.get_closest_marker("one_backend") is not None
        backends = BACKENDS[:1] if one else BACKENDS
        metafunc.parametrize("backend", backends if on == "lab" else (on,), indirect=True, scope="package")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What does not belong to the place is no skipped test but none."""
    on = config.getoption("on")
    foreign = {"lab": {"cluster_only"}, "cluster": {"lab_only"}, "current": {"lab_only", "cluster_only"}}[on]
    shape = {"lab": "calico", "cluster": cluster_backend(), "current": config.getoption("backend")}[on]
    foreign |= set() if shape in ("calico", None) else {"calico_only"}
    elsewhere = [item for item in items if foreign & {mark.name for mark in item.iter_markers()}]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


@pytest.fixture(scope="package")
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "current":
        return str(request.config.getoption("backend"))
    if request.param != "cluster":
        return str(request.param)
    found = cluster_backend()
    if found is None:
        pytest.skip("no cluster is up, or not all of it: `make cluster-up`; `make cluster-status` says what is missing")
    return found


@pytest.fixture(scope="package")
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
    """A healthy place; healed again afterwards. The objects in it are then the same as before, unless it was made anew."""
    lab_of_backend.heal()
    made, before = lab_of_backend.made, lab_of_backend.objects()
    yield lab_of_backend
    lab_of_backend.heal()
    until = time.monotonic() + OBJECTS_GO_WITHIN_S
    while lab_of_backend.made == made and (changed := before ^ lab_of_backend.objects()):
        assert time.monotonic() < until, f"the cluster's objects are not what they were: {sorted(changed)}"
        time.sleep(0.3)
