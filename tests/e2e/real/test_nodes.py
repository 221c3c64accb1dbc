"""Nodes and pods that do not behave: taints, a kubelet that stops, an image that cannot be had, pods deleted under a trace."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import lifecycle, machine, places
from tests.cluster.kubectl import Kubectl, wait_for
from tests.e2e.place import Lab
from tests.e2e.real.conftest import SERVICE_ADDRESS, asking_pod
from tests.e2e.real.running import refused, trace, tracing

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]

NODE = "ada-ec-2"


@contextmanager
def _kubelet_stopped(kubectl: Kubectl) -> Iterator[None]:
    """The kubelet of a node hangs; afterwards it goes on, and all pods become ready again."""
    node = machine.found(places.state_dir(), NODE)
    node.run(["pkill", "-STOP", "-x", "kubelet"])
    try:
        yield
    finally:
        node.run(["pkill", "-CONT", "-x", "kubelet"])
        wait_for("every pod ready", lambda: not lifecycle.waiting_pods(kubectl), 60, lambda: "; ".join(lifecycle.waiting_pods(kubectl)))


def test_cordoned_and_tainted_nodes_are_traced(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.run("cordon", "ada-ec-2")
    kubectl.run("taint", "node", "ada-ec-3", "vxtrace=test:NoSchedule")
    kubectl.run("taint", "node", "ada-ec-1", "vxtrace=test:PreferNoSchedule")
    try:
        run = trace(place, tmp_path)
    finally:
        kubectl.run("uncordon", "ada-ec-2")
        kubectl.run("taint", "node", "ada-ec-3", "vxtrace=test:NoSchedule-")
        kubectl.run("taint", "node", "ada-ec-1", "vxtrace=test:PreferNoSchedule-")
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


def test_a_kubelet_that_hangs_before_makes_its_node_blind(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    """The pod of that node never runs. The other two nodes are traced."""
    with _kubelet_stopped(kubectl):
        run = trace(place, tmp_path, "--max-wall", "60s")
    assert run.code in (4, 5), run.stderr
    assert run.report["completeness"]["complete"] is False
    assert {blind["node"] for blind in run.report["completeness"]["blind"]} == {NODE}


def test_a_kubelet_that_hangs_during_the_capture_makes_its_node_blind(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    """Nothing can be fetched from it, and nobody can say that its pod is gone."""
    with tracing(place, tmp_path, "--max-wall", "60s") as running:
        running.until_listening()
        time.sleep(1)
        with _kubelet_stopped(kubectl):
            run = running.end()
    assert run.code in (4, 5), run.stderr
    assert (run.code == 5) == (run.report["cleanup"]["state"] == "unconfirmed")
    assert run.report["completeness"]["complete"] is False
    assert {blind["node"] for blind in run.report["completeness"]["blind"]} == {NODE}
    assert run.report["verdict"] not in ("lost", "dropped")


def test_an_image_that_cannot_be_had_is_told(place: Lab, tmp_path: Path) -> None:
    started = time.monotonic()
    run = trace(place, tmp_path, "--image", "docker.io/nicolaka/netshoot:no-such-tag")
    assert time.monotonic() - started < 60
    refused(run, 1, "docker.io/nicolaka/netshoot:no-such-tag", "--image")


def test_an_image_that_must_not_be_pulled_is_told(place: Lab, tmp_path: Path) -> None:
    run = trace(place, tmp_path, "--image", "docker.io/nicolaka/netshoot:no-such-tag", "--image-pull-policy", "Never")
    refused(run, 1, "docker.io/nicolaka/netshoot:no-such-tag", "--image-pull-policy")


def test_a_debug_pod_deleted_under_us_makes_its_node_blind(place: Lab, kubectl: Kubectl, tmp_path: Path) -> None:
    with tracing(place, tmp_path) as running:
        running.until_listening()
        ours = ("--namespace", "default", "--selector", "app.kubernetes.io/managed-by=kubectl-vxtrace")
        kubectl.run("delete", "pods", *ours, f"--field-selector=spec.nodeName={NODE}", "--grace-period=0", "--force")
        run = running.end()
    assert run.code == 4, run.stderr
    assert {blind["node"] for blind in run.report["completeness"]["blind"]} == {NODE}
    assert run.report["cleanup"] == {"state": "confirmed", "left": []}


def test_a_traced_pod_deleted_under_us_leaves_what_was_captured(place: Lab, kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """Its interface goes with it. What it sent until then was captured; nothing is called lost."""
    asking_pod(kubectl, space, "brief", f"dig +time=1 +tries=1 @{SERVICE_ADDRESS} kubernetes.default.svc.cluster.local")
    with tracing(place, tmp_path, source=f"{space}/brief") as running:
        running.until_listening()
        time.sleep(3)
        kubectl.run("delete", "pod", "brief", "--namespace", space, "--wait=false")
        run = running.end()
    assert run.code in (0, 4), run.stderr
    assert run.report["verdict"] in ("delivered", "undetermined")
    assert sum(flow["connections"] for flow in run.report["flows"]) > 0
