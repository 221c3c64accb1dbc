"""The rows of the known networks: told apart, used where nodes say nothing, and held against what real nodes say."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kubectl_vxtrace.facts.iptables import read_iptables
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.cni import Cni
from kubectl_vxtrace.model.facts import RouteLookup
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.topology.cni import (
    ANNOTATION_PREFIXES,
    BRIDGES,
    CNIS,
    backend_of,
    has_bridge,
    is_known_device,
    pod_interfaces,
    publishing,
)
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import plan_paths
from tests.calico.recorded import NODES, recording
from tests.datapath import flannel_rules, shape
from tests.topology.build import CALI, FLANNEL_PODS, answer_instead, canal, flannel, flow

P, V, U = Role.POD, Role.VXLAN, Role.UNDERLAY
BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def row(backend: str) -> Cni:
    return next(cni for cni in CNIS if cni.backend == backend)


@cache
def recorded(scenario: str) -> Recording:
    with TemporaryDirectory() as folder:
        return recording(scenario, Path(folder))


@pytest.mark.parametrize(
    ("device", "port", "vni", "interfaces", "backend"),
    [
        ("vxlan.calico", None, None, (), "calico-vxlan"),
        ("vxlan.calico", 8472, 1, ("cali9d8b6a7d855",), "calico-vxlan"),
        ("flannel.7", 4789, 7, (), "flannel-vxlan"),
        ("flannel.1", 8472, 1, ("cni0", "veth7", "eth0"), "flannel-vxlan"),
        ("flannel.1", 8472, 1, ("eth0", "cali9d8b6a7d855"), "canal-vxlan"),
        ("flannel.1", 8472, 1, ("cni0", "cali9d8b6a7d855"), "canal-vxlan"),
        ("cilium_vxlan", 8472, None, (), "cilium-vxlan"),
        ("vx0", 4789, 4096, (), "calico-vxlan"),
        (None, 8472, 1, (), "flannel-vxlan"),
        ("vx0", 4789, 7, ("cali9d8b6a7d855",), "vxlan"),
        (None, None, None, (), "vxlan"),
    ],
)
def test_names_the_network(device: str | None, port: int | None, vni: int | None, interfaces: tuple[str, ...], backend: str) -> None:
    assert backend_of(device, port, vni, interfaces) == backend


def test_no_two_rows_have_one_name() -> None:
    assert len({cni.backend for cni in CNIS}) == len(CNIS)


@pytest.mark.parametrize(("device", "known"), [("vxlan.calico", True), ("flannel.42", True), ("vxlan-v6.calico", False), ("eth0", False)])
def test_known_devices(device: str, known: bool) -> None:
    assert is_known_device(device) is known


def test_the_interface_of_a_pod_is_computed_from_its_name() -> None:
    assert pod_interfaces("kotsadm/kotsadm-9dcb75dbc-4ddtt") == ("cali6cda1270255",)


def test_which_networks_hang_pods_on_a_bridge() -> None:
    assert [cni.backend for cni in CNIS if has_bridge(cni.backend)] == ["flannel-vxlan"]
    assert BRIDGES == ("cni0",)
    assert not has_bridge(None)


@pytest.mark.parametrize(
    ("annotations", "backend", "found"),
    [
        (("projectcalico.org/IPv4Address",), "calico-vxlan", ["calico-vxlan"]),
        (("flannel.alpha.coreos.com/public-ip",), "flannel-vxlan", ["flannel-vxlan"]),
        (("flannel.alpha.coreos.com/public-ip",), None, ["flannel-vxlan"]),
        (("flannel.alpha.coreos.com/public-ip",), "canal-vxlan", ["canal-vxlan"]),
        (("projectcalico.org/IPv4Address", "flannel.alpha.coreos.com/public-ip"), "canal-vxlan", ["canal-vxlan", "calico-vxlan"]),
        (("projectcalico.org/IPv4Address", "flannel.alpha.coreos.com/public-ip"), "vxlan", ["calico-vxlan", "flannel-vxlan"]),
        (("example.org/projectcalico.org",), "calico-vxlan", []),
        ((), "canal-vxlan", []),
    ],
)
def test_who_has_published_on_the_nodes(annotations: tuple[str, ...], backend: str | None, found: list[str]) -> None:
    nodes = [Node(name="a", annotations={}), Node(name="b", annotations=dict.fromkeys(annotations, "x"))]
    assert [cni.backend for cni in publishing(nodes, backend)] == found


def test_calicos_row_is_what_real_nodes_say() -> None:
    seen, calico = recorded("healthy"), row("calico-vxlan")
    assert seen.overlay.backend == calico.backend
    assert {(vtep.interface, vtep.port, vtep.vni) for vtep in seen.overlay.vteps} == {(calico.device, calico.port, calico.vni)}
    assert seen.snapshot is not None
    said = [node.annotations for node in seen.snapshot.nodes]
    published = {(each[calico.annotations.underlay[0]].partition("/")[0], each[calico.annotations.tunnel or ""]) for each in said}
    assert published == {(vtep.underlay_address, vtep.address) for vtep in seen.overlay.vteps}
    links = {facts.node: {link.name for link in facts.links} for facts in seen.before}
    pods = [pod for pod in seen.snapshot.pods if pod.node in NODES and not pod.host_network]
    assert pods
    assert all(set(pod_interfaces(pod.full_name)) <= links[pod.node or ""] for pod in pods)


@pytest.mark.parametrize("node", NODES)
def test_felixs_names_are_what_real_nodes_say(node: str) -> None:
    (felix,) = row("calico-vxlan").rules
    facts = next(facts for facts in recorded("healthy").before if facts.node == node)
    links = {link.name for link in facts.links}
    own = [rule for rule in facts.rules if rule.chain not in BUILT_IN and not rule.chain.startswith("KUBE-")]
    assert own
    assert all(rule.chain.startswith(felix.chains) for rule in own)
    of_pods = [
        (prefix, rule.chain.removeprefix(prefix)) for rule in own for prefix in felix.workload_chains if rule.chain.startswith(prefix)
    ]
    assert {prefix for prefix, _ in of_pods} == set(felix.workload_chains)
    assert {interface for _, interface in of_pods} <= links
    comments = [rule.comment or "" for rule in own]
    assert any(word in comment for comment in comments for word in felix.foreign_vxlan_comments)
    assert any(comment.startswith(felix.fingerprint or "?") for comment in comments)
    assert set(felix.vxlan_sets) & {each.name for each in facts.sets} == {felix.vxlan_sets[0]}


def test_felixs_comment_on_what_no_policy_allows_is_what_real_nodes_say() -> None:
    (felix,) = row("calico-vxlan").rules
    rules = [rule for facts in recorded("netpol-ingress").before for rule in facts.rules if rule.target == "DROP"]
    told = [rule for rule in rules if any(word in (rule.comment or "") for word in felix.policy_comments)]
    assert told
    assert all(rule.chain.startswith(felix.workload_chains) for rule in told)


def test_flannels_names_are_what_its_nodes_say() -> None:
    lab = shape.lab("flannel", 3, "/nowhere")
    flanneld, kube_router = row("flannel-vxlan").rules
    text = flannel_rules.ruleset(lab, lab.nodes[0])
    own = {rule.chain for rule in read_iptables(text.encode()) if rule.chain not in BUILT_IN and not rule.chain.startswith("KUBE-")}
    assert own
    assert all(chain.startswith(flanneld.chains) for chain in own)
    assert flannel_rules.policy_chain(lab.pods[0]).startswith(kube_router.chains)


def test_annotations_of_every_network_are_kept() -> None:
    says = [cni.annotations for cni in CNIS]
    keys = [key for each in says for key in (*each.underlay, each.tunnel, each.device) if key is not None]
    assert keys
    assert all(key.startswith(ANNOTATION_PREFIXES) for key in keys)


def test_canals_path_has_six_hops_each_way() -> None:
    flows, facts = (flow(pods=FLANNEL_PODS),), (canal("ada-ec-1"), canal("ada-ec-2"))
    overlay = read_overlay(None, facts, flows)
    assert (overlay.backend, [vtep.interface for vtep in overlay.vteps]) == ("canal-vxlan", ["flannel.1", "flannel.1"])
    planned = plan_paths(flows, overlay, facts, None)
    request, reply = planned.paths
    assert [(hop.role, hop.tap.interface) for hop in request.hops] == [
        (P, CALI["ada-ec-1"]),
        (V, "flannel.1"),
        (U, "eth0"),
        (U, "eth0"),
        (V, "flannel.1"),
        (P, CALI["ada-ec-2"]),
    ]
    assert [hop.tap for hop in reply.hops] == [hop.tap for hop in request.hops][::-1]
    assert (request.outer_destination, request.note, planned.gaps) == ("10.128.0.95", None, ())


def test_a_silent_node_of_canal_has_no_bridge() -> None:
    flows, facts = (flow(pods=FLANNEL_PODS),), (canal("ada-ec-1"),)
    overlay = read_overlay(None, facts, flows)
    assert [hop.role for hop in plan_paths(flows, overlay, facts, None).paths[0].hops] == [P, V, U, U, V, P]


def test_a_lost_pod_route_of_canal_is_replaced_by_the_computed_name() -> None:
    (name,) = pod_interfaces("kube-system/dns-ada-ec-2")
    lost = answer_instead(canal("ada-ec-2"), RouteLookup(destination=FLANNEL_PODS["ada-ec-2"], error="Invalid argument"))
    lost = replace(lost, routes=(), links=tuple(replace(link, name=name) if link.name == CALI["ada-ec-2"] else link for link in lost.links))
    flows, facts = (flow(pods=FLANNEL_PODS),), (canal("ada-ec-1"), lost)
    request = plan_paths(flows, read_overlay(None, facts, flows), facts, None).paths[0]
    assert request.hops[-1].tap.interface == name
    assert "no route to its own pod" in (request.note or "")


def test_one_node_with_pods_of_calico_is_enough_to_tell_canal() -> None:
    without = replace(canal("ada-ec-2"), links=tuple(link for link in canal("ada-ec-2").links if link.name != CALI["ada-ec-2"]))
    flows = (flow(pods=FLANNEL_PODS),)
    assert read_overlay(None, (canal("ada-ec-1"), without), flows).backend == "canal-vxlan"
    assert read_overlay(None, (flannel("ada-ec-1"), without), flows).backend == "flannel-vxlan"
