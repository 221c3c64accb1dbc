from dataclasses import replace

import pytest

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.facts import Link, NodeFacts, RouteLookup, VxlanDevice
from kubectl_vxtrace.model.path import Flow, Vtep
from kubectl_vxtrace.topology.overlay import published_overlay, read_overlay
from tests.topology.build import CALICO_PODS, CALICO_VTEPS, FLANNEL_PODS, calico, flannel, flow, nodes, snapshot, vtep_mac

FLOWS = (flow(server="ada-ec-2"), flow(server="ada-ec-3", number=2))
NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")


def test_reads_calicos_device_of_every_node() -> None:
    overlay = read_overlay(snapshot(), [calico(node) for node in NODES], FLOWS)
    assert overlay.backend == "calico-vxlan"
    assert [vtep.node for vtep in overlay.vteps] == list(NODES)
    assert overlay.vteps[0] == Vtep(
        node="ada-ec-1",
        interface="vxlan.calico",
        address="10.244.114.64",
        underlay_address="10.128.0.72",
        mac=vtep_mac("ada-ec-1"),
        vni=4096,
        port=4789,
        mtu_bytes=1410,
    )


def test_reads_flannels_device() -> None:
    overlay = read_overlay(None, [flannel(node) for node in NODES], [flow(pods=FLANNEL_PODS)])
    assert (overlay.backend, overlay.vteps[1].interface, overlay.vteps[1].vni, overlay.vteps[1].port) == (
        "flannel-vxlan",
        "flannel.1",
        1,
        8472,
    )


def extra_device(facts: NodeFacts, name: str) -> NodeFacts:
    device = Link(name=name, index=9, kind="vxlan", vxlan=VxlanDevice(vni=7, port=4790, local="10.128.0.72"))
    return replace(facts, links=(device, *facts.links))


def test_the_device_that_the_kernel_routes_to_counts_not_its_name() -> None:
    facts = extra_device(calico("ada-ec-1"), "vx7")
    assert read_overlay(None, [facts], FLOWS).vteps[0].interface == "vxlan.calico"
    lookups = tuple(replace(each, device="vx7") if each.gateway else each for each in facts.lookups)
    overlay = read_overlay(None, [replace(facts, lookups=lookups)], FLOWS)
    assert (overlay.backend, overlay.vteps[0].interface, overlay.vteps[0].vni) == ("vxlan", "vx7", 7)


def leftover(node: str, *, vni: int = 1, port: int = 8472) -> NodeFacts:
    """A Calico node with a second VXLAN device, to which its routes to the second node's pods lead."""
    facts = calico(node)
    device = Link(name="flannel.1", index=9, kind="vxlan", vxlan=VxlanDevice(vni=vni, port=port, local="10.128.0.72"))
    away = [replace(each, device="flannel.1") if each.destination == CALICO_PODS["ada-ec-2"] else each for each in facts.lookups]
    return replace(facts, links=(device, *facts.links), lookups=tuple(away))


@pytest.mark.parametrize("flows", [FLOWS[:1], FLOWS])
def test_a_device_that_no_other_node_speaks_to_is_nobodys_tunnel_endpoint(flows: tuple[Flow, ...]) -> None:
    overlay = read_overlay(snapshot(), [leftover("ada-ec-1"), calico("ada-ec-2"), calico("ada-ec-3")], flows)
    assert overlay.backend == "calico-vxlan"
    assert {vtep.interface for vtep in overlay.vteps} == {"vxlan.calico"}
    assert [vtep.address for vtep in overlay.vteps] == list(CALICO_VTEPS.values())


def test_a_device_that_hears_the_others_stays_whatever_else_does() -> None:
    overlay = read_overlay(snapshot(), [leftover("ada-ec-1", vni=4096, port=4789), calico("ada-ec-2")], FLOWS[:1])
    assert [vtep.interface for vtep in overlay.vteps if vtep.port] == ["flannel.1", "vxlan.calico"]


def test_an_odd_port_makes_no_other_device_the_tunnel_endpoint() -> None:
    odd = calico("ada-ec-1")
    links = [replace(link, vxlan=replace(link.vxlan, port=4790)) if link.vxlan is not None else link for link in odd.links]
    six = Link(name="vxlan-v6.calico", index=8, kind="vxlan", vxlan=VxlanDevice(vni=4096, port=4789, local="fd00::72"))
    overlay = read_overlay(snapshot(), [replace(odd, links=(*links, six)), calico("ada-ec-2")], FLOWS[:1])
    assert [(vtep.interface, vtep.port) for vtep in overlay.vteps[:2]] == [("vxlan.calico", 4790), ("vxlan.calico", 4789)]


def test_a_node_without_a_route_takes_the_device_that_the_others_use() -> None:
    lost = replace(extra_device(calico("ada-ec-1"), "vx7"), lookups=(), routes=())
    overlay = read_overlay(None, [lost, calico("ada-ec-2")], FLOWS)
    assert [(vtep.node, vtep.interface) for vtep in overlay.vteps if vtep.mac] == [
        ("ada-ec-1", "vxlan.calico"),
        ("ada-ec-2", "vxlan.calico"),
    ]


def test_without_any_route_the_ipv4_device_of_the_table_is_taken() -> None:
    six = Link(name="vxlan-v6.calico", index=8, kind="vxlan", vxlan=VxlanDevice(vni=4096, port=4789, local="fd00::72"))
    facts = replace(extra_device(calico("ada-ec-1"), "avx"), lookups=(), routes=())
    assert read_overlay(None, [replace(facts, links=(six, *facts.links))], FLOWS).vteps[0].interface == "vxlan.calico"


def test_a_missing_device_is_evidence_not_an_error() -> None:
    gone = replace(calico("ada-ec-2"), links=tuple(link for link in calico("ada-ec-2").links if link.vxlan is None))
    overlay = read_overlay(snapshot(), [calico("ada-ec-1"), gone, calico("ada-ec-3")], FLOWS)
    assert [vtep.node for vtep in overlay.vteps] == ["ada-ec-1", "ada-ec-3"]


def test_a_silent_node_has_what_its_cni_published() -> None:
    calico_says = {"projectcalico.org/IPv4Address": "10.128.9.95/24", "projectcalico.org/IPv4VXLANTunnelAddr": "10.244.56.128"}
    flannel_says = {
        "flannel.alpha.coreos.com/public-ip": "10.128.9.96",
        "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"aa:bb"}',
    }
    second, third = (Node(name=node, annotations=said) for node, said in (("ada-ec-2", calico_says), ("ada-ec-3", flannel_says)))
    silent = NodeFacts(node="ada-ec-2", absent={"links": "timeout"})
    overlay = read_overlay(snapshot(nodes=(nodes()[0], second, third)), [calico("ada-ec-1"), silent], FLOWS)
    assert overlay.vteps[1] == Vtep(node="ada-ec-2", interface="vxlan.calico", address="10.244.56.128", underlay_address="10.128.9.95")
    assert overlay.vteps[2] == Vtep(node="ada-ec-3", interface="vxlan.calico", underlay_address="10.128.9.96", mac="aa:bb")


@pytest.mark.parametrize("data", ["[" * 100_000, "[1]", '{"VtepMAC": 5}', "\x00"])
def test_hostile_annotations_are_passed_over(data: str) -> None:
    said = {"flannel.alpha.coreos.com/backend-data": data, "flannel.alpha.coreos.com/public-ip": "; reboot"}
    strange = Node(name="ada-ec-2", addresses=("10.128.0.95",), annotations=said)
    overlay = read_overlay(snapshot(nodes=(strange,)), [calico("ada-ec-1")], FLOWS[:1])
    assert overlay.vteps[1] == Vtep(node="ada-ec-2", interface="vxlan.calico", underlay_address="10.128.0.95")


def test_no_device_anywhere_says_why_for_every_node() -> None:
    geneve = NodeFacts(node="ada-ec-1", links=(Link(name="genev_sys_6081", index=3, kind="geneve"),))
    mute = NodeFacts(node="ada-ec-2", absent={"links": "ip is not installed"})
    with pytest.raises(CannotRunError) as caught:
        read_overlay(snapshot(), [geneve, mute], FLOWS)
    assert "ada-ec-1: no VXLAN device; it has genev_sys_6081 (geneve)" in caught.value.message
    assert "ada-ec-2: its interfaces are not known (links: ip is not installed)" in caught.value.message
    assert "ada-ec-3: no debug pod looked" in caught.value.message
    assert caught.value.hint


def test_a_route_to_a_strange_device_is_no_vote() -> None:
    facts = replace(calico("ada-ec-1"), lookups=(RouteLookup(destination="10.244.56.129", device="ens4", gateway="10.128.0.1"),))
    assert read_overlay(None, [facts], FLOWS).vteps[0].interface == "vxlan.calico"


CALICO_SAYS = {"projectcalico.org/IPv4Address": "10.128.0.72/24", "projectcalico.org/IPv4VXLANTunnelAddr": "10.244.114.64"}


def flannel_says(data: str) -> dict[str, str]:
    return {"flannel.alpha.coreos.com/backend-data": data, "flannel.alpha.coreos.com/public-ip": "10.128.0.72"}


@pytest.mark.parametrize(
    ("annotations", "backend", "interface"),
    [
        (CALICO_SAYS, "calico-vxlan", "vxlan.calico"),
        (flannel_says('{"VNI":1,"VtepMAC":"66:00:00:00:00:01"}'), "flannel-vxlan", "flannel.1"),
        (flannel_says('{"VNI":4096}'), "flannel-vxlan", "flannel.4096"),
        (flannel_says('{"VNI":"1; id"}'), None, ""),
        (flannel_says('{"VNI":true}'), None, ""),
        (flannel_says("[" * 100_000), None, ""),
        ({"projectcalico.org/IPv4VXLANTunnelAddr": "$(id)"}, None, ""),
        ({}, None, ""),
    ],
)
def test_what_the_api_says_of_the_overlay(annotations: dict[str, str], backend: str | None, interface: str) -> None:
    said = tuple(replace(node, annotations=annotations) for node in nodes())
    overlay = published_overlay(snapshot(nodes=said), FLOWS)
    assert overlay.backend == backend
    assert [(vtep.node, vtep.interface) for vtep in overlay.vteps] == [(node, interface) for node in NODES]
    assert {vtep.port for vtep in overlay.vteps} == {None}
    assert {vtep.underlay_address for vtep in overlay.vteps} <= {"10.128.0.72", "10.128.0.95", "10.128.0.96"}
