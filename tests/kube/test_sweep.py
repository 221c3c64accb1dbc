"""Debug pods that earlier traces left: what is removed, and what is not touched."""

import time

import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.sweep import sweep
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from tests.kube.fake import Fake

PODS = "/api/v1/namespaces/default/pods"


def put(fake: Fake, name: str, created: str, *, lifetime: str = "60", phase: str = "Running", session: str = "old") -> None:
    labels = {"app.kubernetes.io/managed-by": "kubectl-vxtrace", "vxtrace/session": session}
    metadata = {
        "name": name,
        "namespace": "default",
        "labels": labels,
        "annotations": {"vxtrace/lifetime-seconds": lifetime},
        "creationTimestamp": created,
    }
    fake.pods[name] = {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": phase}}
    fake.born[name] = time.monotonic()


def test_sweep_removes_only_what_is_over(fake: Fake, connection: Connection) -> None:
    recent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 200))
    put(fake, "over", "2020-01-01T00:00:00Z")
    put(fake, "young", recent, lifetime="300")
    put(fake, "ended", recent, lifetime="300", phase="Failed")
    put(fake, "ours", "2020-01-01T00:00:00Z", session="mine")
    put(fake, "strange", "long ago")
    fake.pods["foreign"] = {
        "metadata": {"name": "foreign", "namespace": "default"},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running"},
    }
    fake.born["foreign"] = 0.0
    assert sweep(connection, keep_session="mine") == Cleanup(state=CleanupState.CONFIRMED, pods=2)
    assert set(fake.pods) == {"young", "ours", "strange", "foreign"}
    assert sweep(connection, older_than_s=100).pods == 2
    assert sweep(connection, everything=True).pods == 1
    assert set(fake.pods) == {"foreign"}


def test_a_trace_does_not_wait_for_pods_that_are_ending_already(fake: Fake, connection: Connection) -> None:
    """Whoever asked for their end waits for it; on a node that is dead they never go."""
    put(fake, "ending", "2020-01-01T00:00:00Z")
    fake.pods["ending"]["metadata"]["deletionTimestamp"] = "2020-01-01T00:01:00Z"
    put(fake, "over", "2020-01-01T00:00:00Z")
    assert sweep(connection, keep_session="mine") == Cleanup(state=CleanupState.CONFIRMED, pods=1, removed=("default/over",))
    assert set(fake.pods) == {"ending"}


def test_sweep_where_all_namespaces_may_not_be_listed(fake: Fake, connection: Connection) -> None:
    put(fake, "over", "2020-01-01T00:00:00Z")
    fake.forbidden.add("/api/v1/pods")
    assert sweep(connection).pods == 1
    fake.forbidden.add(PODS)
    with pytest.raises(UsageError, match="forbidden"):
        sweep(connection)
