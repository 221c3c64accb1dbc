"""On which node a server is that the API does not place."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.model.datapath import Listener, UdpSocket
from kubectl_vxtrace.model.facts import Link, NodeFacts, RouteLookup, Rule
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow
from kubectl_vxtrace.topology.homes import with_homes
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import plan_paths
from tests.topology.build import CALI, CALICO_PODS, CALICO_VTEPS, DNS, answer_instead, calico, flow, snapshot

N1, N2 = "ada-ec-1", "ada-ec-2"
CACHE, NOBODY = "169.254.20.10", "10.244.56.150"


def to(address: str, protocol: str = "TCP", port: int | None = 53) -> Flow:
    return replace(flow(), protocol=protocol, service=None, server=Endpoint(address=address, port=port))


def answering(facts: NodeFacts, *answers: RouteLookup, **changes: object) -> NodeFacts:
    return replace(facts, lookups=(*facts.lookups, *answers), **changes)  # type: ignore[arg-type]  # any field of NodeFacts


def notrack(text: str, *, hook: str = "prerouting", backend: str = "iptables-nft") -> Rule:
    return Rule(id="r", backend=backend, table="raw", chain=hook.upper(), text=text, target="NOTRACK", packets=9, hook=hook)


LOCAL_DNS = RouteLookup(destination=DNS, type="local", device="lo")
TO_DNS = notrack(f"-d {DNS}/32 -p udp -m udp --dport 53 -j NOTRACK")


def test_what_the_clients_kernel_keeps_ends_there() -> None:
    node = answering(calico(N1), RouteLookup(destination=CACHE, type="local", device="lo"))
    (placed,) = with_homes([to(CACHE)], [node], snapshot())
    assert placed.server == Endpoint(address=CACHE, port=53, node=N1, host_network=True)
    request, reply = plan_paths([placed], read_overlay(snapshot(), [node], [placed]), [node], snapshot()).paths
    assert [[hop.tap.interface for hop in path.hops] for path in (request, reply)] == [[CALI[N1]], [CALI[N1]]]
    assert request.ends_in_node(placed)
    assert reply.direction is Direction.REPLY
    assert not reply.ends_in_node(placed)


@pytest.mark.parametrize(
    "rule",
    [
        TO_DNS,
        notrack(f"-d {DNS}/32 -j CT --notrack"),
        notrack(f"ip daddr {{ {DNS}, {CACHE} }} udp dport 53 counter packets 9 bytes 9 notrack", backend="nft"),
    ],
    ids=["iptables", "CT", "nft with a set"],
)
def test_a_service_that_the_node_answers_itself_has_one_flow_and_no_backend(rule: Rule) -> None:
    node = answering(calico(N1), LOCAL_DNS, rules=(rule,))
    flows = [flow(), flow(server="ada-ec-3", number=2)]
    (placed,) = with_homes(flows, [node, calico(N2)], snapshot())
    assert placed.server == Endpoint(address=DNS, port=53, node=N1, host_network=True)
    assert (placed.id, placed.service, placed.candidates) == (1, flows[0].service, ())


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(answering(calico(N1), LOCAL_DNS), id="tracked, so that kube-proxy translates it"),
        pytest.param(answering(calico(N1), rules=(TO_DNS,)), id="not the node's"),
        pytest.param(
            answering(calico(N1), LOCAL_DNS, rules=(notrack(f"-d {DNS}/32 -p tcp -m tcp --dport 53 -j NOTRACK"),)), id="another protocol"
        ),
        pytest.param(
            answering(calico(N1), LOCAL_DNS, rules=(notrack(f"-d {DNS}/32 -p udp -m udp --dport 9153 -j NOTRACK"),)), id="another port"
        ),
        pytest.param(answering(calico(N1), LOCAL_DNS, rules=(notrack(f"-d {DNS}0/32 -j NOTRACK"),)), id="another address"),
        pytest.param(answering(calico(N1), LOCAL_DNS, rules=(replace(TO_DNS, hook="output"),)), id="the node's own packets"),
        pytest.param(
            answering(
                calico(N1), LOCAL_DNS, rules=(TO_DNS,), links=(*calico(N1).links, Link(name="kube-ipvs0", index=9, addresses=(DNS,)))
            ),
            id="IPVS passes it on",
        ),
        pytest.param(answering(calico(N1), LOCAL_DNS, absent={"iptables": "no rights", "nft": "no rights"}), id="nobody has it bound"),
    ],
)
def test_a_service_that_is_translated_keeps_its_backends(node: NodeFacts) -> None:
    flows = (flow(), flow(server="ada-ec-3", number=2))
    assert with_homes(flows, [node], snapshot()) == flows


def test_without_rules_a_socket_of_just_that_address_tells() -> None:
    unread = {"iptables": "no rights", "nft": "no rights"}
    node = answering(calico(N1), LOCAL_DNS, absent=unread, udp_sockets=(UdpSocket(address=DNS, port=53),))
    (placed,) = with_homes([flow()], [node], snapshot())
    assert placed.server is not None
    assert placed.server.address == DNS
    tcp = answering(calico(N1), LOCAL_DNS, absent=unread, listeners=(Listener(address="*", port=53),))
    assert with_homes([replace(flow(), protocol="TCP")], [tcp], snapshot()) == (replace(flow(), protocol="TCP"),)


def towards_n2(address: str) -> NodeFacts:
    answer = RouteLookup(destination=address, source=CALICO_PODS[N1], gateway=CALICO_VTEPS[N2], device="vxlan.calico")
    return answering(calico(N1), answer)


def test_an_address_of_nobody_is_where_the_clients_node_tunnels_to() -> None:
    (placed,) = with_homes([to(NOBODY)], [towards_n2(NOBODY)], snapshot())
    assert placed.server == Endpoint(address=NOBODY, port=53, node=N2)
    other = answering(calico(N2), RouteLookup(destination=NOBODY, gateway="10.128.0.1", device="ens4"))
    (again,) = with_homes([placed], [towards_n2(NOBODY), other], snapshot())
    assert again == placed
    nodes = [towards_n2(NOBODY), other]
    request, _ = plan_paths([again], read_overlay(snapshot(), nodes, [again]), nodes, snapshot()).paths
    assert [hop.tap.interface for hop in request.hops] == [CALI[N1], "vxlan.calico", "ens4", "ens4", "vxlan.calico", ""]


def test_a_tunnels_own_address_is_its_nodes_and_reached_through_it() -> None:
    tunnel = CALICO_VTEPS[N2]
    nodes = [towards_n2(tunnel), answering(calico(N2), RouteLookup(destination=tunnel, type="local", device="lo"))]
    (placed,) = with_homes([to(tunnel)], nodes, snapshot())
    assert placed.server == Endpoint(address=tunnel, port=53, node=N2, host_network=True)
    request, _ = plan_paths([placed], read_overlay(snapshot(), nodes, [placed]), nodes, snapshot()).paths
    assert [hop.tap.interface for hop in request.hops] == [CALI[N1], "vxlan.calico", "ens4", "ens4", "vxlan.calico"]


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(calico(N1), id="not asked"),
        pytest.param(answering(calico(N1), RouteLookup(destination=NOBODY, gateway="10.128.0.1", device="ens4")), id="out of the NIC"),
        pytest.param(answering(calico(N1), RouteLookup(destination=NOBODY, error="unreachable", type="unreachable")), id="refused"),
        pytest.param(replace(towards_n2(NOBODY), neighbours=()), id="no neighbour entry"),
        pytest.param(replace(towards_n2(NOBODY), fdb=()), id="no forwarding entry"),
    ],
)
def test_what_no_table_places_stays_outside(node: NodeFacts) -> None:
    assert with_homes([to(NOBODY)], [node], snapshot()) == (to(NOBODY),)


def test_what_the_api_places_stays_there() -> None:
    flows = (flow(), flow(server="ada-ec-3", number=2))
    nodes = [answer_instead(calico(N1), RouteLookup(destination=CALICO_PODS[N2], type="local", device="lo"))]
    assert with_homes(flows, nodes, snapshot()) == flows
