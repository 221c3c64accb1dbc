"""Traces on the lab's nodes of Cilium's shape: its devices, routes and addresses, and programs of ours that steer and drop as its do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

from tests.datapath import records, steering
from tests.e2e.place import Lab, place_of

pytestmark = [pytest.mark.root, pytest.mark.lab]

# All that a trace asks but for CiliumEndpoints (docs/rbac.yaml).
NO_ENDPOINTS = [["list", "*"], ["get", "namespaces"], ["*", "pods"], ["*", "pods/exec"]]


def hops(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(hop["node"], hop["interface"]) for flow in report["flows"] for way in flow["directions"] for hop in way["hops"]}


def errors(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in report["findings"] if finding["severity"] == "error"]


def leg_of(report: dict[str, Any], finding: dict[str, Any]) -> tuple[str | None, str | None]:
    flow = next(flow for flow in report["flows"] if flow["id"] == finding["flow"])
    way = next(way for way in flow["directions"] if way["direction"] == finding["direction"])
    return place_of(way, finding["leg"]["from"]), place_of(way, finding["leg"]["to"])


def pods_interfaces() -> set[str]:
    made = records.load()
    assert made is not None
    return {pod.host_interface for pod in made.pods if pod.host_interface is not None}


def test_a_healthy_network_is_seen_whole(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"], run.report["findings"]) == (0, "delivered", [])
    assert run.report["completeness"]["complete"] is True
    assert run.report["overlay"]["backend"] == "cilium-vxlan"
    assert {(device["vni"], device["mtu"]) for device in run.report["overlay"]["devices"]} == {(None, 1410)}
    assert {interface for _, interface in hops(run.report)} - pods_interfaces() == {"cilium_vxlan", "ens4"}


def test_who_may_not_read_endpoints_is_told_and_sees_as_much(place: Lab, tmp_path: Path) -> None:
    place.state("users.json", [{"name": "bob", "token": "t", "allowed": NO_ENDPOINTS}])
    run = place.trace("--bundle", "none", "--as", "bob", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered")
    assert {interface for _, interface in hops(run.report)} - pods_interfaces() == {"cilium_vxlan", "ens4"}
    assert any("ciliumendpoints" in note for note in run.report["completeness"]["notes"])


def test_packets_that_go_past_the_pods_interfaces_are_delivered(place: Lab, tmp_path: Path) -> None:
    made = records.load()
    assert made is not None
    steering.hand_to_peers(made)
    try:
        run = place.trace("--bundle", "none", cwd=tmp_path)
    finally:
        for node in made.nodes:
            steering.start_agent(made, node)
    assert (run.code, run.report["verdict"], errors(run.report)) == (4, "delivered", [])
    blind = {(each["node"], each["interface"]) for each in run.report["completeness"]["blind"]}
    assert {interface for _, interface in blind} <= pods_interfaces()
    assert blind


@pytest.fixture
def policy(place: Lab) -> Iterator[Any]:
    """Makes a NetworkPolicy that lets nothing through."""
    connect: Any = config.new_client_from_config
    api: Any = kubernetes.NetworkingV1Api(connect(str(place.kubeconfig)))
    made = []

    def make(namespace: str, labels: dict[str, str], direction: str) -> None:
        spec = {"podSelector": {"matchLabels": labels}, "policyTypes": [direction]}
        api.create_namespaced_network_policy(namespace, {"metadata": {"name": "isolate"}, "spec": spec})
        made.append(namespace)

    yield make
    for namespace in made:
        api.delete_namespaced_network_policy("isolate", namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A fault, the policy that would stand behind it, and the leg."""

    fault: str
    namespace: str
    labels: dict[str, str]
    direction: str
    leg: tuple[str, str]


@pytest.mark.parametrize(
    "denial",
    [
        Denial(
            fault="network-policy-drop@program",
            namespace="kube-system",
            labels={"k8s-app": "kube-dns"},
            direction="Ingress",
            leg=("ada-ec-2/vxlan", "ada-ec-2/pod"),
        ),
        Denial(
            fault="network-policy-drop@program-egress",
            namespace="kotsadm",
            labels={"app": "kotsadm"},
            direction="Egress",
            leg=("ada-ec-1/pod", "ada-ec-1/vxlan"),
        ),
    ],
    ids=lambda denial: str(denial.direction),
)
class TestDropsByTheProgram:
    def test_the_policy_is_named(self, place: Lab, policy: Any, denial: Denial, tmp_path: Path) -> None:
        policy(denial.namespace, denial.labels, denial.direction)
        place.fault(denial.fault)
        run = place.trace("--bundle", "none", cwd=tmp_path)
        assert (run.code, run.report["cause"], run.report["verdict"]) == (3, "network-policy-drop", "dropped")
        found = next(finding for finding in errors(run.report) if finding["cause"] == "network-policy-drop")
        assert leg_of(run.report, found) == denial.leg

    def test_without_a_policy_it_is_the_program(self, place: Lab, denial: Denial, tmp_path: Path) -> None:
        place.fault(denial.fault)
        run = place.trace("--bundle", "none", cwd=tmp_path)
        assert (run.code, run.report["cause"]) == (3, "tc-program")
        assert leg_of(run.report, errors(run.report)[0]) == denial.leg
        assert "detach" not in errors(run.report)[0]["remediation"]


@pytest.mark.parametrize(
    ("fault", "cause", "leg"),
    [
        ("underlay-udp-blocked", "underlay-udp-blocked", ("ada-ec-1/underlay", "ada-ec-2/underlay")),
        ("host-firewall", "host-firewall", ("ada-ec-2/underlay", "ada-ec-2/vxlan")),
        ("nothing-listening", "nothing-listening", ("ada-ec-2/pod", None)),
    ],
)
def test_faults_that_every_network_has(place: Lab, fault: str, cause: str, leg: tuple[str, str | None], tmp_path: Path) -> None:
    place.fault(fault)
    run = place.trace("--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["cause"]) == (3, cause)
    assert leg_of(run.report, next(finding for finding in errors(run.report) if finding["cause"] == cause)) == leg
