"""Traces between nodes: which pairs, and between which addresses."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.path import Overlay, Vtep
from kubectl_vxtrace.model.request import Request, Target
from kubectl_vxtrace.topology.nodepairs import between_tunnels, node_flows
from tests.topology.build import CALICO_VTEPS, NODE_ADDRESSES, nodes, snapshot


def pair(one: str, other: str | None, kind: str | None = "node") -> Request:
    target = Target(kind=kind, name=other) if other is not None else None
    return Request(command="node", source=Target(name=one), target=target)


MESH = Request(command="mesh", source=Target(kind="node", selector=""))
OVERLAY = Overlay(
    backend="calico-vxlan",
    vteps=tuple(Vtep(node=node, interface="vxlan.calico", address=address) for node, address in CALICO_VTEPS.items()),
)


def test_two_nodes_are_two_flows() -> None:
    flows = node_flows(pair("ada-ec-1", "ada-ec-3"), snapshot())
    assert [(flow.id, flow.protocol, flow.client.node, flow.server.node if flow.server else None) for flow in flows] == [
        (1, "ICMP", "ada-ec-1", "ada-ec-3"),
        (2, "ICMP", "ada-ec-3", "ada-ec-1"),
    ]


def test_a_mesh_has_every_pair_both_ways() -> None:
    flows = node_flows(MESH, snapshot())
    pairs = {(flow.client.node, flow.server.node) for flow in flows if flow.server is not None}
    assert len(flows) == len(pairs) == 6
    assert all(one != other for one, other in pairs)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (pair("ada-ec-1", None), "the other node is not named"),
        (pair("ada-ec-1", "ada-ec-1"), "both ends are the same node"),
        (pair("ada-ec-1", "ada-ec-9"), "ada-ec-9"),
        (pair("ada-ec-1", "kube-dns", "service"), "service/kube-dns is no node"),
    ],
)
def test_ends_that_are_no_two_nodes(request_: Request, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        node_flows(request_, snapshot())


def test_one_node_is_no_mesh() -> None:
    with pytest.raises(UsageError, match="1 nodes are meant"):
        node_flows(MESH, snapshot(nodes=nodes()[:1]))


def test_the_ends_are_the_vxlan_devices() -> None:
    flows, gaps = between_tunnels(node_flows(MESH, snapshot()), OVERLAY)
    assert gaps == ()
    assert {(flow.client.address, flow.server.address) for flow in flows if flow.server is not None} == {
        (CALICO_VTEPS[one], CALICO_VTEPS[other]) for one in NODE_ADDRESSES for other in NODE_ADDRESSES if one != other
    }


def test_a_node_whose_device_has_no_address_is_said() -> None:
    blind = replace(OVERLAY, vteps=(replace(OVERLAY.vteps[0], address=None), *OVERLAY.vteps[1:]))
    flows, gaps = between_tunnels(node_flows(MESH, snapshot()), blind)
    assert [flow.id for flow in flows] == [1, 2]
    assert {flow.client.node for flow in flows} == {"ada-ec-2", "ada-ec-3"}
    assert [gap.node for gap in gaps] == ["ada-ec-1"]


def test_devices_without_addresses_cannot_be_asked() -> None:
    """As Cilium's."""
    none = replace(OVERLAY, vteps=tuple(replace(vtep, address=None) for vtep in OVERLAY.vteps))
    with pytest.raises(CannotRunError, match="no addresses of their own"):
        between_tunnels(node_flows(MESH, snapshot()), none)
