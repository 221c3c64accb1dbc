"""What these tests share: the real kubectl, a namespace of one's own, users with few rights, and pods that ask something."""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import binaries, places
from tests.cluster.image import TOOLS_TAG
from tests.cluster.kubectl import Kubectl, wait_for
from tests.e2e.place import Cluster, Lab
from tests.e2e.real import running

RBAC = places.ROOT / "docs" / "rbac.yaml"
SPACE = "vxtrace-test"
SERVICE_ADDRESS = "10.96.0.10"  # of kube-dns


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    """The real one, as the administrator."""
    return Kubectl(binaries.ensure(print), places.state_dir())


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """What a test promises and what became of its last trace, for `make promises`."""
    running.last()
    yield
    record_property("promise", inspect.getdoc(request.function) or "")
    if (run := running.last()) is not None:
        record_property("got", running.told(run))


@pytest.fixture
def space(place: Lab, kubectl: Kubectl) -> Iterator[str]:
    """A namespace for one test."""
    kubectl.run("create", "namespace", SPACE)
    yield SPACE
    kubectl.run("delete", "namespace", SPACE, "--timeout=60s")


@pytest.fixture
def tracer(place: Lab, kubectl: Kubectl, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster as somebody sees it who has no more rights than docs/rbac.yaml gives."""
    kubectl.run("apply", "--filename", str(RBAC))
    kubectl.run("create", "serviceaccount", "tracer", "--namespace", "default")
    kubectl.run("create", "clusterrolebinding", "tracer", "--clusterrole=vxtrace-read", "--serviceaccount=default:tracer")
    kubectl.run("create", "rolebinding", "tracer", "--namespace", "default", "--role=vxtrace-debug", "--serviceaccount=default:tracer")
    config = json.loads(places.KUBECONFIG.read_text())
    config["users"][0]["user"] = {"token": kubectl.run("create", "token", "tracer", "--namespace", "default").strip()}
    path = tmp_path / "tracer.kubeconfig"
    path.write_text(json.dumps(config))
    yield Cluster(path)
    kubectl.run("delete", "clusterrolebinding,serviceaccount,rolebinding", "tracer", "--namespace", "default")
    kubectl.run("delete", "--filename", str(RBAC))


def asking_pod(kubectl: Kubectl, space: str, name: str, question: str) -> None:
    """A pod on the first node that runs a shell command again and again, four times a second."""
    container = {
        "name": "asking",
        "image": TOOLS_TAG,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", f"trap 'exit 0' TERM; while :; do {question}; sleep 0.25; done >/dev/null 2>&1"],
    }
    spec = {"nodeName": "ada-ec-1", "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": [container]}
    wait_for(
        "the namespace's service account",
        lambda: bool(kubectl.run("get", "serviceaccount", "default", "--namespace", space, check=False)),
        20,
        lambda: "",
    )
    kubectl.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": space}, "spec": spec}])
    kubectl.run("wait", "pod", name, "--namespace", space, "--for=condition=Ready", "--timeout=60s")
