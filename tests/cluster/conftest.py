"""What the tests of the cluster share: the cluster that is up, or a skip that says how to start one."""

import os

import pytest

from tests.cluster import binaries, lifecycle, places, plan
from tests.cluster.kubectl import Kubectl
from tests.datapath.records import Lab


@pytest.fixture(scope="session")
def planned() -> tuple[Lab, str]:
    """The plan and the network of the cluster that is up."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the cluster's nodes are namespaces of this machine")
    present = plan.read(places.state_dir())
    if present is None:
        pytest.skip("no cluster is up: `make cluster-up` starts one")
    if wrong := lifecycle.problems(places.state_dir()):
        pytest.skip(f"the cluster is not whole ({wrong[0]}): `make cluster-up` makes it anew")
    return present


@pytest.fixture(scope="session")
def kubectl(planned: tuple[Lab, str]) -> Kubectl:
    """The real one, as the administrator."""
    return Kubectl(binaries.ensure(print), places.state_dir())
