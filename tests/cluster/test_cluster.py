"""The cluster that is up: it is what its manual says. Nothing here breaks it for longer than a test."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import binaries, live, places, workloads
from tests.cluster.kubectl import Kubectl
from tests.datapath import servers, shape, tools
from tests.datapath.fault_table import BASIC
from tests.datapath.records import Lab

pytestmark = [pytest.mark.cluster]

CLIENT = ("--namespace", shape.CLIENT[0], shape.CLIENT[1])


def _cluster(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.cluster", *arguments], cwd=places.ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def _fetches(kubectl: Kubectl, url: str) -> str:
    """What a web server answers to the client's pod."""
    return kubectl.run("exec", *CLIENT, "--", "curl", "--silent", "--show-error", "--max-time", "3", url).strip()


def _answers(kubectl: Kubectl, server: str) -> float:
    """The share of twenty questions of the client's pod that a DNS server answers.

    A question may get through to a broken server: by chance it has the port of an earlier one, whose conntrack entry lives on.
    """
    ask = ("python3", "/programs/ask.py", "dns", f"{server}:53", servers.QUESTION, "--rate", "20", "--seconds", "1")
    _, sent, _, answered = kubectl.run("exec", *CLIENT, "--", *ask).split()
    return int(answered) / int(sent)


def _service(kubectl: Kubectl, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl.run("get", "service", "--namespace", namespace, name, "--output", "json"))
    return found


def test_the_published_kubeconfig_is_enough(planned: tuple[Lab, str], kubectl: Kubectl) -> None:
    done = subprocess.run(
        [binaries.ensure(print)["kubectl"], "get", "nodes", "--output", "name"],
        env={"PATH": os.defpath, "KUBECONFIG": str(places.KUBECONFIG), "HOME": str(places.state_dir())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [f"node/{node.name}" for node in planned[0].nodes]
    assert places.KUBECONFIG.stat().st_mode & 0o077 == 0


def test_status_finds_nothing_wrong(planned: tuple[Lab, str]) -> None:
    done = _cluster("status")
    assert done.returncode == 0, done.stdout
    assert f"network    {planned[1]}\n" in done.stdout


def test_a_second_up_changes_nothing(planned: tuple[Lab, str], kubectl: Kubectl) -> None:
    before = {pod["metadata"]["uid"] for pod in kubectl.items("pods")}
    done = _cluster("up", "--cni", planned[1])
    assert (done.returncode, done.stdout) == (0, f"{places.KUBECONFIG}\n"), done.stderr
    assert "building" not in done.stderr
    assert {pod["metadata"]["uid"] for pod in kubectl.items("pods")} == before


def test_the_overlay_is_a_vxlan_of_the_networks_shape(planned: tuple[Lab, str], kubectl: Kubectl) -> None:
    lab = live.lab(planned[0], kubectl)
    for node in lab.nodes:
        link = json.loads(tools.run(["ip", "-n", node.netns, "-d", "-j", "link", "show", node.vtep_interface]).stdout)[0]
        assert (link["address"], link["mtu"]) == (node.vtep_mac, node.mtu_bytes)
        data = link["linkinfo"]["info_data"]
        assert (data["id"], data["port"], data["local"]) == (node.vni, node.vxlan_port, node.address)
        routes = tools.run(["ip", "-n", node.netns, "route"]).stdout
        for peer in lab.nodes:
            if peer.name != node.name:
                assert f"{peer.pod_cidr} via {peer.vtep_address} dev {node.vtep_interface} onlink" in routes
        if lab.backend == "flannel":
            assert "dev cni0" in routes
            continue
        assert f"blackhole {node.pod_cidr}" in routes
        for pod in lab.pods_on(node.name):
            assert f"{pod.address} dev {pod.host_interface} scope link" in routes


def test_pods_were_adopted_by_their_owners(planned: tuple[Lab, str], kubectl: Kubectl) -> None:
    present = {(pod.namespace, pod.name): pod for pod in live.lab(planned[0], kubectl).pods}
    for wanted in workloads.wanted(planned[0]):
        found = present[wanted.namespace, wanted.name]
        assert (found.owner, found.node) == (wanted.owner, wanted.node)
    owners = {each["metadata"]["name"]: each["metadata"]["ownerReferences"][0]["name"] for each in kubectl.items("replicasets")}
    assert owners["kotsadm-58f859745b"] == "kotsadm"


def test_pods_that_never_become_ready_are_there_too(planned: tuple[Lab, str], kubectl: Kubectl) -> None:
    pods = {pod["metadata"]["name"]: pod["status"] for pod in kubectl.items("pods")}
    assert pods["postgres-0"]["phase"] == "Pending"
    assert pods["crashing"]["containerStatuses"][0]["restartCount"] > 0


def test_the_web_server_answers_behind_every_kind_of_service(planned: tuple[Lab, str], kubectl: Kubectl) -> None:
    pod = "slackernews-6c9f7d5b8d-7xqlm"
    assert _fetches(kubectl, "http://slackernews.kotsadm.svc.cluster.local:3000/") == pod
    assert _fetches(kubectl, "http://slackernews-headless.kotsadm.svc.cluster.local:3000/") == pod
    for node in planned[0].nodes:
        assert _fetches(kubectl, f"http://{node.address}:{workloads.NODE_PORT}/") == pod
    address = _service(kubectl, "default", "node-web")["spec"]["clusterIP"]
    assert _fetches(kubectl, f"http://{address}/") == "node-web"


def test_the_first_faults_can_be_made_and_mended(planned: tuple[Lab, str], kubectl: Kubectl) -> None:
    """The one of two DNS servers that a fault touches falls silent, or is refused; afterwards it answers. `make truth` has the others."""
    names = [line.partition("\t")[0] for line in _cluster("faults").stdout.splitlines()]
    first = [fault.name for fault in BASIC]
    assert set(names) > set(first)
    pods = live.lab(planned[0], kubectl).pods
    server = next(pod.address for pod in pods if pod.name.startswith("coredns") and pod.node == "ada-ec-2")
    assert server is not None
    for name in first:
        try:
            made = _cluster("fault", name)
            assert made.returncode == 0, made.stderr
            assert _answers(kubectl, server) < 0.3, f"{name}: {server} still answers"
        finally:
            healed = _cluster("heal")
        assert healed.returncode == 0, healed.stderr
        assert _answers(kubectl, server) > 0.5, f"{name}: {server} does not answer after heal"


def test_an_unknown_fault_is_refused_with_the_names(planned: tuple[Lab, str]) -> None:
    done = _cluster("fault", "no-such")
    assert done.returncode == 2
    assert "underlay-udp-blocked" in done.stderr


def test_a_fault_that_clashes_is_refused(planned: tuple[Lab, str]) -> None:
    try:
        assert _cluster("fault", "host-firewall").returncode == 0
        assert _cluster("fault", "host-firewall").returncode == 1
        assert _cluster("fault", "vni-mismatch", "--percent", "50").returncode == 2
    finally:
        assert _cluster("heal").returncode == 0


def test_a_node_is_a_machine_of_its_own(planned: tuple[Lab, str]) -> None:
    for node in planned[0].nodes:
        assert _cluster("node", node.name, "hostname").stdout.strip() == node.name
        processes = _cluster("node", node.name, "ps", "-e", "-o", "args").stdout
        assert ("kube-apiserver" in processes) == (node.name == planned[0].nodes[0].name)
        assert "kubelet" in processes
    assert not Path("/run/containerd/s").exists() or not list(Path("/run/containerd/s").iterdir())
