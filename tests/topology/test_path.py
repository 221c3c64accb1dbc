from dataclasses import replace

import pytest

from kubectl_vxtrace.model.datapath import PodInterface, PodNamespace
from kubectl_vxtrace.model.facts import FdbEntry, Link, Neighbour, NodeFacts, RouteLookup, VxlanDevice
from kubectl_vxtrace.model.path import Basis, Endpoint, Flow, Path, Role, Tap
from kubectl_vxtrace.topology.cni import pod_interfaces
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import PathPlan, plan_paths
from tests.topology.build import (
    CALICO_PODS,
    CALICO_VTEPS,
    FLANNEL_PODS,
    NODE_ADDRESSES,
    answer_instead,
    calico,
    flannel,
    flow,
    snapshot,
)

NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")
P, B, V, U = Role.POD, Role.BRIDGE, Role.VXLAN, Role.UNDERLAY


def plan(flows: tuple[Flow, ...], *facts: NodeFacts, listed: bool = True) -> PathPlan:
    seen = snapshot() if listed else None
    return plan_paths(flows, read_overlay(seen, facts, flows), facts, seen)


def steps(path: Path) -> list[tuple[str, str, str]]:
    assert [hop.hop for hop in path.hops] == list(range(1, len(path.hops) + 1))
    assert all(hop.expected for hop in path.hops)
    return [(hop.tap.node, hop.role.value, hop.tap.interface) for hop in path.hops]


A_TO_B = [
    ("ada-ec-1", "pod", "cali9d8b6a7d855"),
    ("ada-ec-1", "vxlan", "vxlan.calico"),
    ("ada-ec-1", "underlay", "ens4"),
    ("ada-ec-2", "underlay", "ens4"),
    ("ada-ec-2", "vxlan", "vxlan.calico"),
    ("ada-ec-2", "pod", "cali2b903875fe4"),
]


def test_calicos_path_has_six_hops_each_way() -> None:
    planned = plan((flow(),), calico("ada-ec-1"), calico("ada-ec-2"))
    request, reply = planned.paths
    assert steps(request) == A_TO_B
    assert steps(reply) == A_TO_B[::-1]
    assert (request.flow, request.direction, request.basis, request.note) == (1, "request", Basis.KERNEL, None)
    assert (request.outer_destination, reply.outer_destination) == ("10.128.0.95", "10.128.0.72")
    assert planned == PathPlan(paths=planned.paths, watch=(), gaps=(), unknown_nodes=(), unknown_addresses={})


def test_flannels_path_has_eight_hops_each_way() -> None:
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), flannel("ada-ec-2"))
    request, reply = planned.paths
    assert [hop.role for hop in request.hops] == [P, B, V, U, U, V, B, P]
    assert steps(request)[:4] == [
        ("ada-ec-1", "pod", "veth1"),
        ("ada-ec-1", "bridge", "cni0"),
        ("ada-ec-1", "vxlan", "flannel.1"),
        ("ada-ec-1", "underlay", "eth0"),
    ]
    assert steps(reply) == steps(request)[::-1]
    assert planned.gaps == ()


def test_two_backends_share_the_clients_taps() -> None:
    planned = plan((flow(), flow(server="ada-ec-3", number=2)), *(calico(node) for node in NODES))
    assert [path.flow for path in planned.paths] == [1, 1, 2, 2]
    assert len({hop.tap for path in planned.paths for hop in path.hops}) == 9


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (RouteLookup(destination="10.244.56.129", error="Network is unreachable", type="unreachable"), "has no route to 10.244.56.129"),
        (RouteLookup(destination="10.244.56.129", gateway="10.128.0.1", device="ens4"), "via 10.128.0.1 dev ens4"),
        (RouteLookup(destination="10.244.56.129", type="blackhole", error="Invalid argument"), "Invalid argument"),
        (RouteLookup(destination="10.244.56.129", device="calix"), "does not send 10.244.56.129 to its VXLAN device"),
    ],
)
def test_a_wrong_route_does_not_shorten_the_path(answer: RouteLookup, said: str) -> None:
    planned = plan((flow(),), answer_instead(calico("ada-ec-1"), answer), calico("ada-ec-2"))
    assert steps(planned.paths[0]) == A_TO_B
    assert said in (planned.paths[0].note or "")
    assert planned.paths[1].note is None


def without_neighbour(facts: NodeFacts, node: str) -> NodeFacts:
    return replace(facts, neighbours=tuple(each for each in facts.neighbours if each.address != CALICO_VTEPS[node]))


def test_missing_neighbours_and_forwarding_entries_do_not_shorten_the_path() -> None:
    no_neighbour = without_neighbour(calico("ada-ec-1"), "ada-ec-2")
    no_fdb = replace(calico("ada-ec-1"), fdb=())
    failed = replace(calico("ada-ec-1"), neighbours=tuple(replace(each, states=("FAILED",)) for each in calico("ada-ec-1").neighbours))
    for facts, said in (
        (no_neighbour, "no neighbour entry for 10.244.56.128"),
        (failed, "no neighbour entry"),
        (no_fdb, "no forwarding entry for 66:"),
    ):
        request = plan((flow(),), facts, calico("ada-ec-2")).paths[0]
        assert steps(request) == A_TO_B
        assert said in (request.note or "")
        assert request.outer_destination is None


def misdirected(to: str) -> NodeFacts:
    facts = calico("ada-ec-1")
    return replace(facts, fdb=tuple(replace(each, destination=to) for each in facts.fdb))


def test_a_forwarding_entry_that_names_another_node_has_that_nodes_nic_watched() -> None:
    planned = plan((flow(),), misdirected("10.128.0.96"), calico("ada-ec-2"), calico("ada-ec-3"))
    assert planned.paths[0].outer_destination == "10.128.0.96"
    assert "which is no address of ada-ec-2" in (planned.paths[0].note or "")
    assert planned.watch == ((Tap(node="ada-ec-3", interface="ens4"), Role.UNDERLAY),)
    assert steps(planned.paths[0]) == A_TO_B


def test_a_forwarding_entry_that_names_a_node_without_debug_pod_asks_for_one() -> None:
    planned = plan((flow(),), misdirected("10.128.0.96"), calico("ada-ec-2"))
    assert planned.unknown_nodes == ("ada-ec-3",)


def test_a_forwarding_entry_that_names_nobody_asks_for_the_route() -> None:
    planned = plan((flow(),), misdirected("10.128.0.200"), calico("ada-ec-2"))
    assert planned.unknown_addresses == {"ada-ec-1": ("10.128.0.200",)}
    assert planned.unknown_nodes == ()
    facts = misdirected("10.128.0.200")
    asked = replace(facts, lookups=(*facts.lookups, RouteLookup(destination="10.128.0.200", device="ens5")))
    second = plan((flow(),), asked, calico("ada-ec-2"))
    assert second.unknown_addresses == {}
    assert steps(second.paths[0])[2] == ("ada-ec-1", "underlay", "ens5")
    assert second.watch == ()  # ens4 is the reply's hop, so it is captured anyhow


def test_what_was_not_asked_is_asked_for_and_the_paths_length_stands() -> None:
    mute = replace(calico("ada-ec-1"), lookups=())
    planned = plan((flow(),), mute, calico("ada-ec-2"))
    assert steps(planned.paths[0]) == A_TO_B
    assert planned.unknown_addresses == {"ada-ec-1": ("10.244.114.75", "10.244.56.129", "10.128.0.95")}


def test_the_nic_is_the_kernels_not_the_one_with_the_default_route() -> None:
    facts = calico("ada-ec-1")
    second = Link(name="ens5", index=7, addresses=("192.168.7.1/24",))
    other = answer_instead(replace(facts, links=(*facts.links, second)), RouteLookup(destination="10.128.0.95", device="ens5"))
    planned = plan((flow(),), other, calico("ada-ec-2"))
    assert steps(planned.paths[0])[2] == ("ada-ec-1", "underlay", "ens5")
    assert planned.watch == ((Tap(node="ada-ec-1", interface="ens4"), Role.UNDERLAY),)


def test_the_answer_for_the_vteps_own_address_is_preferred() -> None:
    facts = calico("ada-ec-1")
    sourced = RouteLookup(destination="10.128.0.95", source="10.128.0.72", device="ens6")
    planned = plan((flow(),), replace(facts, lookups=(*facts.lookups, sourced)), calico("ada-ec-2"))
    assert steps(planned.paths[0])[2] == ("ada-ec-1", "underlay", "ens6")


def test_each_direction_ends_at_the_device_that_hears_its_senders() -> None:
    """A route of the first node alone leads to a second device: what others send still comes in by the one that they speak to."""
    old = VxlanDevice(vni=1, port=8472, local="10.128.0.72")
    away = answer_instead(calico("ada-ec-1"), RouteLookup(destination=CALICO_PODS["ada-ec-2"], gateway="10.42.1.0", device="flannel.1"))
    first = replace(away, links=(*away.links, Link(name="flannel.1", index=9, kind="vxlan", vxlan=old)))
    planned = plan((flow(), flow(server="ada-ec-3", number=2)), first, calico("ada-ec-2"), calico("ada-ec-3"))
    devices = [[step for step in steps(path) if step[1] == "vxlan"] for path in planned.paths]
    assert [(way[0][2], way[1][2]) for way in devices] == [
        ("flannel.1", "vxlan.calico"),
        ("vxlan.calico", "vxlan.calico"),
        ("vxlan.calico", "vxlan.calico"),
        ("vxlan.calico", "vxlan.calico"),
    ]
    both = replace(calico("ada-ec-2"), links=(Link(name="vx0", index=9, kind="vxlan", vxlan=old), *calico("ada-ec-2").links))
    assert steps(plan((flow(),), first, both).paths[0])[4] == ("ada-ec-2", "vxlan", "vx0")


def test_a_missing_device_keeps_its_hop() -> None:
    gone = replace(calico("ada-ec-2"), links=tuple(link for link in calico("ada-ec-2").links if link.vxlan is None))
    gone = answer_instead(gone, RouteLookup(destination="10.244.114.75", error="Network is unreachable"))
    planned = plan((flow(),), calico("ada-ec-1"), gone)
    assert steps(planned.paths[0]) == A_TO_B
    assert steps(planned.paths[1]) == A_TO_B[::-1]
    assert "ada-ec-2 has no VXLAN device" in (planned.paths[0].note or "")


def test_a_silent_nodes_hops_come_from_the_api_and_are_blind() -> None:
    silent = NodeFacts(node="ada-ec-2", absent={"links": "exec: 403 Forbidden"})
    planned = plan((flow(),), calico("ada-ec-1"), silent)
    assert steps(planned.paths[0])[:3] == A_TO_B[:3]
    assert steps(planned.paths[0])[3:] == [("ada-ec-2", "underlay", ""), ("ada-ec-2", "vxlan", "vxlan.calico"), ("ada-ec-2", "pod", "")]
    assert steps(planned.paths[1]) == steps(planned.paths[0])[::-1]
    assert {path.basis for path in planned.paths} == {Basis.API}
    ((gap,),) = (planned.gaps,)
    assert (gap.node, gap.interface) == ("ada-ec-2", None)
    assert "403 Forbidden" in gap.reason


def test_a_silent_node_is_bridged_like_the_others() -> None:
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"))
    assert [hop.role for hop in planned.paths[0].hops] == [P, B, V, U, U, V, B, P]


def test_an_unknown_bridge_port_leaves_a_blind_hop_and_all_that_it_may_be_are_watched() -> None:
    facts = flannel("ada-ec-2")
    facts = replace(facts, links=(*facts.links, *(Link(name=name, index=9, kind="veth", master="cni0") for name in ("veth8", "veth9"))))
    other = Neighbour(address="10.42.1.9", device="cni0", mac="0a:00:00:00:00:99", states=("STALE",))
    learned = FdbEntry(mac="0a:00:00:00:00:99", device="veth9", master="cni0")
    forgotten = replace(facts, neighbours=(other, *facts.neighbours[1:]), fdb=(*facts.fdb, learned))
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), forgotten)
    assert steps(planned.paths[0])[6:] == [("ada-ec-2", "bridge", "cni0"), ("ada-ec-2", "pod", "")]
    assert planned.watch == tuple((Tap(node="ada-ec-2", interface=name), P) for name in ("veth2", "veth8"))
    assert "no neighbour entry for 10.42.1.8 on cni0" in planned.gaps[0].reason
    unlearned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), replace(facts, fdb=facts.fdb[1:]))
    assert "no port of cni0 has learned" in unlearned.gaps[0].reason


def test_the_only_port_that_is_left_is_the_pods() -> None:
    facts = flannel("ada-ec-2")
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), replace(facts, neighbours=facts.neighbours[1:]))
    assert steps(planned.paths[0])[7] == ("ada-ec-2", "pod", "veth2")
    assert planned.gaps == ()


@pytest.mark.parametrize(("states", "port"), [(("REACHABLE",), "veth8"), (("DELAY",), "veth8"), (("STALE",), "")])
def test_a_pod_that_answered_a_moment_ago_and_is_forgotten_is_behind_the_port_without_a_link(states: tuple[str, ...], port: str) -> None:
    facts = flannel("ada-ec-2")
    links = (*facts.links, Link(name="veth8", index=9, kind="veth", master="cni0", operstate="DOWN"))
    neighbours = (replace(facts.neighbours[0], states=states), *facts.neighbours[1:])
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), replace(facts, links=links, neighbours=neighbours, fdb=facts.fdb[1:]))
    assert planned.paths[0].hops[7].tap.interface == port


def test_a_bridge_that_is_down_has_no_route_and_stays_in_the_path() -> None:
    facts = answer_instead(flannel("ada-ec-2"), RouteLookup(destination="10.42.1.8", gateway="10.128.0.1", device="eth0"))
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), facts)
    assert [hop.role for hop in planned.paths[0].hops] == [P, B, V, U, U, V, B, P]
    assert planned.paths[0].hops[6].tap.interface == "cni0"
    assert planned.paths[0].note is not None


def test_a_lost_pod_route_is_replaced_by_the_name_that_calico_computes() -> None:
    (name,) = pod_interfaces("kube-system/dns-ada-ec-2")
    facts = answer_instead(calico("ada-ec-2"), RouteLookup(destination="10.244.56.129", error="Invalid argument"))
    links = tuple(replace(link, name=name) if link.name == "cali2b903875fe4" else link for link in facts.links)
    planned = plan((flow(),), calico("ada-ec-1"), replace(facts, links=links))
    assert steps(planned.paths[0])[5] == ("ada-ec-2", "pod", name)
    assert "no route to its own pod 10.244.56.129" in (planned.paths[0].note or "")
    nameless = plan((flow(),), calico("ada-ec-1"), facts)
    assert steps(nameless.paths[0])[5] == ("ada-ec-2", "pod", "")
    assert nameless.gaps


@pytest.mark.parametrize(("device", "gateway"), [("ens4", None), ("ens4", "10.128.0.1"), ("vxlan.calico", None), ("lo", None)])
def test_a_pod_is_not_behind_a_nic_or_tunnel(device: str, gateway: str | None) -> None:
    facts = answer_instead(calico("ada-ec-2"), RouteLookup(destination="10.244.56.129", device=device, gateway=gateway))
    planned = plan((flow(),), calico("ada-ec-1"), facts)
    assert steps(planned.paths[0])[5] == ("ada-ec-2", "pod", "")
    assert len(planned.paths[0].hops) == 6


def bare(node: str, other: str) -> NodeFacts:
    changed = RouteLookup(destination=CALICO_PODS[other], gateway=NODE_ADDRESSES[other], device="ens4")
    return answer_instead(calico(node), changed)


def test_nodes_of_one_subnet_may_be_meant_to_send_bare() -> None:
    planned = plan((flow(),), bare("ada-ec-1", "ada-ec-2"), bare("ada-ec-2", "ada-ec-1"))
    assert [hop.role for hop in planned.paths[0].hops] == [P, U, U, P]
    assert steps(planned.paths[1]) == steps(planned.paths[0])[::-1]
    assert planned.paths[0].note is None


def test_each_direction_has_its_senders_way() -> None:
    planned = plan((flow(),), bare("ada-ec-1", "ada-ec-2"), calico("ada-ec-2"))
    assert [hop.role for hop in planned.paths[0].hops] == [P, U, U, P]
    assert [hop.role for hop in planned.paths[1].hops] == [P, V, U, U, V, P]


def end_on(node: str, address: str, *, host: bool = False) -> Endpoint:
    return Endpoint(address=address, port=53, node=node, pod=f"x/{address}", host_network=host)


def test_one_node_has_two_hops() -> None:
    facts = calico("ada-ec-1")
    facts = replace(facts, lookups=(*facts.lookups, RouteLookup(destination="10.244.114.80", device="caliother")))
    local = replace(flow(), server=end_on("ada-ec-1", "10.244.114.80"))
    request, reply = plan((local,), facts).paths
    assert steps(request) == [("ada-ec-1", "pod", "cali9d8b6a7d855"), ("ada-ec-1", "pod", "caliother")]
    assert steps(reply) == steps(request)[::-1]


@pytest.mark.parametrize(("filtered", "service", "hops"), [("0", True, 4), ("1", True, 2), ("0", False, 2)])
def test_one_bridge_has_four_hops_where_it_hands_packets_up(filtered: str, service: bool, hops: int) -> None:
    facts = flannel("ada-ec-1")
    facts = replace(
        facts,
        lookups=(*facts.lookups, RouteLookup(destination="10.42.0.9", device="cni0")),
        neighbours=(*facts.neighbours, replace(facts.neighbours[0], address="10.42.0.9", mac="0a:00:00:00:00:99")),
        fdb=(*facts.fdb, FdbEntry(mac="0A:00:00:00:00:99", device="veth9", master="cni0")),
        sysctls={"net.bridge.bridge-nf-call-iptables": filtered},
    )
    local = replace(flow(pods=FLANNEL_PODS), server=end_on("ada-ec-1", "10.42.0.9"))
    request, reply = plan((local if service else replace(local, service=None),), facts).paths
    assert len(request.hops) == hops
    assert (request.hops[0].tap.interface, request.hops[-1].tap.interface) == ("veth1", "veth9")
    assert [hop.role for hop in reply.hops] == [P, P]


def test_a_service_that_sends_the_pod_back_to_itself_has_one_hop() -> None:
    mirror = replace(flow(), server=replace(flow().client, port=53))
    request, reply = plan((mirror,), calico("ada-ec-1")).paths
    assert steps(request) == steps(reply) == [("ada-ec-1", "pod", "cali9d8b6a7d855")]
    assert "itself" in (request.note or "")


def test_a_server_in_the_hosts_network_is_reached_bare() -> None:
    to_host = replace(flow(), service=None, server=end_on("ada-ec-2", "10.128.0.95", host=True))
    planned = plan((to_host,), calico("ada-ec-1"), calico("ada-ec-2"))
    assert [hop.role for hop in planned.paths[0].hops] == [P, U, U]
    assert [hop.role for hop in planned.paths[1].hops] == [U, U, P]
    assert {role for _, role in planned.watch} == {V}


def test_a_client_in_the_hosts_network_starts_at_the_vxlan_device() -> None:
    from_host = replace(flow(), client=end_on("ada-ec-1", "10.128.0.72", host=True))
    facts = calico("ada-ec-2")
    asked = replace(
        facts, lookups=(*facts.lookups, RouteLookup(destination="10.244.114.64", gateway="10.244.114.64", device="vxlan.calico"))
    )
    planned = plan((from_host,), calico("ada-ec-1"), asked)
    assert [hop.role for hop in planned.paths[0].hops] == [V, U, U, V, P]
    assert [hop.role for hop in planned.paths[1].hops] == [P, V, U, U, V]
    assert planned.paths[1].outer_destination == "10.128.0.72"
    assert "address of its VXLAN device" in (planned.paths[0].note or "")
    unasked = plan((from_host,), calico("ada-ec-1"), facts)
    assert unasked.unknown_addresses == {"ada-ec-2": ("10.244.114.64",)}
    assert unasked.paths[1].hops == planned.paths[1].hops


def test_two_hosts_need_no_overlay() -> None:
    hosts = replace(
        flow(), client=end_on("ada-ec-1", "10.128.0.72", host=True), server=end_on("ada-ec-2", "10.128.0.95", host=True), service=None
    )
    planned = plan((hosts,), calico("ada-ec-1"), calico("ada-ec-2"))
    assert [hop.role for hop in planned.paths[0].hops] == [U, U]


def test_an_address_outside_ends_at_the_nic() -> None:
    outside = replace(flow(), service=None, server=Endpoint(address="192.0.2.1", port=443))
    facts = calico("ada-ec-1")
    facts = replace(facts, lookups=(*facts.lookups, RouteLookup(destination="192.0.2.1", gateway="10.128.0.1", device="ens4")))
    request, reply = plan((outside,), facts).paths
    assert steps(request) == [("ada-ec-1", "pod", "cali9d8b6a7d855"), ("ada-ec-1", "underlay", "ens4")]
    assert steps(reply) == steps(request)[::-1]
    assert "no known node" in (request.note or "")


def test_without_endpoints_only_the_clients_own_hops_are_known() -> None:
    request, reply = plan((replace(flow(), server=None),), calico("ada-ec-1")).paths
    assert steps(request) == steps(reply) == A_TO_B[:1]
    assert "no backend" in (request.note or "")


def test_an_unknown_backend_has_the_hops_that_all_candidates_share() -> None:
    candidates = tuple(end_on(node, CALICO_PODS[node]) for node in NODES[1:])
    unknown = replace(flow(), server=None, candidates=candidates)
    request = plan((unknown,), *(calico(node) for node in NODES)).paths[0]
    assert steps(request) == A_TO_B[:3]


def test_backends_that_nobody_asked_for_shorten_the_path_and_are_no_gap() -> None:
    """One on a node without debug pod, one on the client's own node, behind the interface of which nothing is shared."""
    candidates = tuple(end_on(node, CALICO_PODS[node]) for node in NODES[1:])
    asked, unknown = flow(), replace(flow(number=2), server=None, candidates=candidates)
    planned = plan((asked, unknown), calico("ada-ec-1"), calico("ada-ec-2"))
    assert steps(planned.paths[2]) == A_TO_B[:3]
    assert (planned.gaps, planned.unknown_nodes, planned.unknown_addresses) == ((), (), {})
    local = replace(unknown, candidates=(*candidates, Endpoint(address="10.244.114.74", port=53, node="ada-ec-1")))
    planned = plan((asked, local), calico("ada-ec-1"), calico("ada-ec-2"))
    assert steps(planned.paths[2]) == A_TO_B[:1]
    assert planned.gaps == ()


def test_nothing_from_the_api_is_needed() -> None:
    planned = plan((flow(),), calico("ada-ec-1"), calico("ada-ec-2"), listed=False)
    assert steps(planned.paths[0]) == A_TO_B


def in_namespace(facts: NodeFacts, index: int) -> NodeFacts:
    """The node, whose kernel knows the pod's own namespace and the other end of its interface there."""
    own = FLANNEL_PODS[facts.node]
    eth0 = PodInterface(name="eth0", index=3, host_index=index, prefixes=(f"{own}/24",))
    return replace(facts, pod_namespaces=(PodNamespace(id=1, interfaces=(eth0,)),))


def test_a_pods_own_namespace_names_its_interface_where_its_bridge_is_gone() -> None:
    gone = in_namespace(flannel("ada-ec-2"), 5)
    gone = replace(gone, links=tuple(replace(link, master=None) for link in gone.links if link.name != "cni0"))
    gone = answer_instead(gone, RouteLookup(destination=FLANNEL_PODS["ada-ec-2"], gateway="10.128.0.1", device="eth0"))
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), gone)
    assert steps(planned.paths[0])[-2:] == [("ada-ec-2", "vxlan", "flannel.1"), ("ada-ec-2", "pod", "veth2")]
    assert planned.gaps == ()


def test_a_pods_own_namespace_names_its_port_also_where_it_is_none() -> None:
    off = in_namespace(flannel("ada-ec-2"), 5)
    off = replace(off, links=tuple(replace(link, master=None) for link in off.links), neighbours=())
    planned = plan((flow(pods=FLANNEL_PODS),), flannel("ada-ec-1"), off)
    assert steps(planned.paths[0])[-2:] == [("ada-ec-2", "bridge", "cni0"), ("ada-ec-2", "pod", "veth2")]


def test_what_passes_no_captured_interface_is_blind() -> None:
    node = Endpoint(address="10.128.0.72", node="ada-ec-1", host_network=True)
    own = replace(flow(), client=node, server=replace(node, port=53))
    planned = plan((own,), calico("ada-ec-1"))
    assert [path.hops for path in planned.paths] == [(), ()]
    assert [(gap.node, gap.interface) for gap in planned.gaps] == [("ada-ec-1", "lo")]
