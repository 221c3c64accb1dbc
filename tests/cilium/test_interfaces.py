"""Which taps a plan chooses on a real Cilium's nodes: pods' own interfaces, and never cilium_host, which serves all of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.facts.links import read_links
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.topology.cni import attached_interface, network, publishing
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import PathPlan, plan_paths
from tests.cilium.recorded import DATAPATHS, recording, unpacked


def read_anew(folder: Path, facts: NodeFacts) -> NodeFacts:
    """A node's facts with its interfaces as this version reads them."""
    raw = (folder / "nodes" / facts.node / "before" / "links.txt").read_bytes()
    prefixes = {link.name: link.prefixes for link in facts.links}
    return replace(facts, links=read_links(raw, prefixes=prefixes))


@pytest.fixture(params=DATAPATHS)
def seen(request: pytest.FixtureRequest, tmp_path: Path) -> Recording:
    folder = unpacked(str(request.param), tmp_path)
    made = recording(folder)
    return replace(made, before=tuple(read_anew(folder, facts) for facts in made.before))


def planned(made: Recording, interfaces: dict[str, str]) -> PathPlan:
    assert made.snapshot is not None
    snapshot = replace(made.snapshot, pod_interfaces=interfaces)
    return plan_paths(made.flows, read_overlay(snapshot, made.before, made.flows), made.before, snapshot)


def recorded_interfaces(made: Recording) -> dict[str, str]:
    """The interface of each pod, as it was recorded."""
    found = {}
    for path in made.paths:
        flow = next(flow for flow in made.flows if flow.id == path.flow)
        for end in (flow.client, flow.server):
            assert end is not None
            taps = [hop.tap for hop in path.hops if hop.role is Role.POD and hop.tap.node == end.node]
            found[end.pod or ""] = taps[0].interface
    return found


def test_its_nodes_are_steered_by_programs(seen: Recording) -> None:
    for facts in seen.before:
        assert facts.is_steered
        pair = {link.name: link.peer for link in facts.links if link.peer is not None}
        assert pair == {"cilium_host": "cilium_net", "cilium_net": "cilium_host"}


def test_the_networks_own_objects_name_the_interfaces(seen: Recording) -> None:
    plan = planned(seen, recorded_interfaces(seen))
    assert [path.hops for path in plan.paths] == [path.hops for path in seen.paths]
    assert {path.note for path in plan.paths} == {None}
    assert (plan.gaps, plan.watch) == ((), ())


def test_without_them_every_pods_interface_is_watched_and_cilium_host_is_none(seen: Recording) -> None:
    plan = planned(seen, {})
    names = recorded_interfaces(seen)
    pods = {(end.node, names[end.pod or ""]) for flow in seen.flows for end in (flow.client, flow.server) if end is not None}
    told = {(hop.tap.node, hop.tap.interface) for path in plan.paths for hop in path.hops if hop.role is Role.POD and hop.tap.interface}
    watched = {(tap.node, tap.interface) for tap, role in plan.watch if role is Role.POD}
    assert pods <= told | watched
    assert {interface[:3] for _, interface in told | watched} == {"lxc"}
    assert all("route" not in (path.note or "") for path in plan.paths)


def test_a_device_in_metadata_mode_has_no_vni_and_the_routes_mtu(seen: Recording) -> None:
    overlay = read_overlay(seen.snapshot, seen.before, seen.flows)
    assert {(vtep.interface, vtep.vni, vtep.port) for vtep in overlay.vteps} == {("cilium_vxlan", None, 8472)}
    assert {vtep.mtu_bytes for vtep in overlay.vteps} == {1410}


def test_the_interface_follows_from_the_attachment() -> None:
    """Of the CiliumEndpoints that these nodes had: pkg/datapath/connector hashes what the CNI plug-in calls the attachment."""
    cilium = network("cilium-vxlan")
    assert cilium is not None
    attachment = "20549e5a07609a9da36c9f0ae8a21f4ad06a457bf93c38287db0236083fe2cbb:eth0"
    assert attached_interface(cilium, attachment) == "lxc3970b005f013"
    calico = network("calico-vxlan")
    assert calico is not None
    assert attached_interface(calico, attachment) is None


def test_its_policies_are_asked_for_although_it_annotates_no_node(seen: Recording) -> None:
    assert seen.snapshot is not None
    assert [cni.backend for cni in publishing(seen.snapshot.nodes, seen.overlay.backend)] == ["cilium-vxlan"]
    assert json.dumps([dict(node.annotations) for node in seen.snapshot.nodes]).count("cilium") == 0
