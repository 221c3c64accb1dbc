"""`cleanup` against an API that has what an earlier trace left."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import call
from tests.kube.fake import Fake

LABELS = {"app.kubernetes.io/managed-by": "kubectl-vxtrace", "vxtrace/session": "old"}
NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        metadata = {"name": "vxtrace-old-a", "namespace": "shop", "labels": LABELS, "creationTimestamp": "2026-01-01T00:00:00Z"}
        server.pods["vxtrace-old-a"] = {"metadata": metadata, "spec": {"nodeName": "a"}, "status": {"phase": "Running"}}
        server.born["vxtrace-old-a"] = 0.0
        yield server


@pytest.mark.parametrize("namespace", [["-n", "shop"], ["-n=shop"], ["-nshop"], ["--namespace=shop"], ["--debug-namespace", "shop"], []])
def test_what_is_left_is_removed_where_kubectl_would_look(fake: Fake, tmp_path: Path, namespace: list[str]) -> None:
    done = call("cleanup", "--all", *namespace, "-o=json", "--kubeconfig", str(fake.kubeconfig(tmp_path)), **NO_PROXY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"state": "confirmed", "removed": ["shop/vxtrace-old-a"], "left": []}
    listed = "/api/v1/namespaces/shop/pods" if namespace else "/api/v1/pods"
    first, *later = [path for method, path, _, _ in fake.seen if method == "GET" and path.endswith("/pods")]
    assert first == listed
    assert set(later) == {"/api/v1/namespaces/shop/pods"}  # that it is gone is what a list says


def test_a_namespace_that_does_not_exist_is_an_error_and_nothing_is_confirmed(fake: Fake, tmp_path: Path) -> None:
    done = call("cleanup", "--all", "-n=shup", "--kubeconfig", str(fake.kubeconfig(tmp_path)), **NO_PROXY)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'error: namespaces "shup" not found' in done.stderr
    assert "confirmed" not in done.stderr
    assert set(fake.pods) == {"vxtrace-old-a"}


def test_who_may_not_read_namespaces_may_still_clean_up(fake: Fake, tmp_path: Path) -> None:
    fake.forbidden.add("/api/v1/namespaces/shop")
    done = call("cleanup", "--all", "-n=shop", "--kubeconfig", str(fake.kubeconfig(tmp_path)), **NO_PROXY)
    assert (done.returncode, done.stdout) == (0, "1 of 1 debug pods removed\nremoved shop/vxtrace-old-a\n"), done.stderr
