"""On which node a server is that the API does not place: what the nodes' own tables say of its address."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.path import Endpoint, Flow
from kubectl_vxtrace.topology.ends import node_at
from kubectl_vxtrace.topology.kernel import fdb_destination, lookup, neighbour_mac, owner_of, vxlan_links

# kube-proxy gives every Service's address to this device in mode ipvs, and translates what comes to them (pkg/proxy/ipvs/proxier.go).
_IPVS_DEVICE: Final = "kube-ipvs0"
_DESTINATIONS: Final = frozenset({"-d", "--destination", "daddr"})
_PORTS: Final = frozenset({"--dport", "--destination-port", "dport"})
_PROTOCOLS: Final = frozenset({"-p", "--protocol", "l4proto", "protocol"})


def with_homes(flows: Sequence[Flow], facts: Sequence[NodeFacts], snapshot: ClusterSnapshot | None) -> tuple[Flow, ...]:
    """The flows, numbered anew, with the nodes of servers that the API does not place.

    A server whose address a node's kernel keeps (`local`: NodeLocal DNSCache on 169.254.20.10, a further address of a NIC or tunnel) is in
    that node's own network. A Service's address is kept by the client's node where besides a rule in the raw table takes what goes there
    out of connection tracking, so that kube-proxy does not translate it (NodeLocal DNSCache on the Service's own address): then there is
    one flow and no backend. Else the server is where the client's node tunnels to, whether anybody there has its address or not.
    """
    by_node = {each.node: each for each in facts}
    found: dict[Flow, None] = {}
    for flow in flows:
        node = by_node.get(flow.client.node or "")
        placed = _placed(flow, node, by_node, snapshot) if node is not None else flow
        found[replace(placed, id=0)] = None
    return tuple(replace(flow, id=number) for number, flow in enumerate(found, start=1))


def _placed(flow: Flow, node: NodeFacts, by_node: dict[str, NodeFacts], snapshot: ClusterSnapshot | None) -> Flow:
    service, server = flow.service, flow.server
    if service is not None and service.address is not None and _keeps_service(node, flow, service.address, service.port):
        own = Endpoint(address=service.address, port=service.port, node=node.node, host_network=True)
        return replace(flow, server=own, candidates=())
    if server is None or server.pod is not None or server.host_network:
        return flow
    home = server.node or (node.node if is_local(node, server.address) else _tunnelled_to(node, flow, server, by_node, snapshot))
    facts = by_node.get(home or "")
    return replace(flow, server=replace(server, node=home, host_network=facts is not None and is_local(facts, server.address)))


def _tunnelled_to(
    node: NodeFacts, flow: Flow, server: Endpoint, by_node: dict[str, NodeFacts], snapshot: ClusterSnapshot | None
) -> str | None:
    """The other node to which the client's node encapsulates what goes to the server; None where it does not, or to nobody known."""
    answer = lookup(node, server.address, source=flow.client.address)
    tunnels = {link.name for link in vxlan_links(node)}
    if answer is None or answer.error is not None or answer.device not in tunnels:
        return None
    mac = neighbour_mac(node, answer.gateway or server.address, answer.device)
    outer = fdb_destination(node, mac, answer.device) if mac is not None else None
    if outer is None:
        return None
    known = node_at(outer, snapshot) if snapshot is not None else None
    name = known.name if known is not None else next((each.node for each in by_node.values() if owner_of(each, outer) is not None), None)
    return name if name != node.node else None


def is_local(node: NodeFacts, address: str) -> bool:
    """Whether the node's kernel keeps what goes to `address`; what kube-proxy translates there in mode ipvs it only passes on."""
    answer = lookup(node, address)
    balancer = node.link(_IPVS_DEVICE)
    passed_on = balancer is not None and address in {each.partition("/")[0] for each in balancer.addresses}
    return answer is not None and answer.type == "local" and answer.error is None and not passed_on


def _keeps_service(node: NodeFacts, flow: Flow, address: str, port: int | None) -> bool:
    if not is_local(node, address):
        return False
    if {"iptables", "nft"} <= node.absent.keys():
        # What the rules say is not known: a socket that was bound to just that address is there to be asked.
        sockets = [(each.address, each.port) for each in (node.listeners if flow.protocol == "TCP" else node.udp_sockets)]
        return (address, port) in sockets
    return any(_leaves_untracked(rule, flow.protocol, address, port) for rule in node.rules)


def _leaves_untracked(rule: Rule, protocol: str, address: str, port: int | None) -> bool:
    """Whether a rule takes what comes in for that address and port out of connection tracking (iptables-extensions(8), CT and NOTRACK)."""
    text = rule.text.lower()
    if "notrack" not in text or (rule.hook is not None and rule.hook.lower() != "prerouting"):
        return False
    words = text.replace("{", " ").replace("}", " ").replace(",", " ").split()
    named = {word for word in words if word.replace("/32", "") == address}
    ports = _values(words, _PORTS)
    protocols = _values(words, _PROTOCOLS) | ({"udp", "tcp"} & set(words))
    to_it = bool(named) and any(word in _DESTINATIONS for word in words)
    return to_it and (not ports or port is None or str(port) in ports) and (not protocols or protocol.lower() in protocols)


def _values(words: Sequence[str], options: frozenset[str]) -> set[str]:
    """The words that follow one of `options`."""
    return {after for before, after in pairwise(words) if before in options}
