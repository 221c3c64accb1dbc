"""What the looks saw inside the pods of the cases."""

from collections.abc import Mapping
from dataclasses import replace

from kubectl_vxtrace.model.datapath import Listener, PodInterface, PodNamespace, UdpSocket
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.pod_facts import PodFacts
from tests.diagnosis.build import World
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, SERVER, A, B

_LOOPBACK = PodInterface(name="lo", index=1, prefixes=("127.0.0.1/8",))
_COUNTED = (
    "Udp.InDatagrams",
    "Udp.NoPorts",
    "Udp.RcvbufErrors",
    "TcpExt.ListenOverflows",
    "TcpExt.TCPReqQFullDrop",
    "TcpExt.PAWSEstab",
    "Ip.OutNoRoutes",
    "Ip.InDiscards",
)


def udp(drops: int = 0, *, address: str = "0.0.0.0", port: int = 53, queue: int = 0) -> UdpSocket:
    return UdpSocket(address=address, port=port, receive_queue_bytes=queue, drops=drops)


def tcp(drops: int | None = 0, *, address: str = "*", port: int = 53, waiting: int = 0) -> Listener:
    return Listener(address=address, port=port, waiting=waiting, limit=1, drops=drops)


def look_inside(
    grown: Mapping[str, int] | None = None,
    *,
    udp_sockets: tuple[UdpSocket, ...] | None = None,
    listeners: tuple[Listener, ...] | None = None,
) -> PodFacts:
    """A look into a pod; `grown`: how much counters have grown since the first look."""
    counters = {name: 100 + (grown or {}).get(name, 0) for name in {*_COUNTED, *(grown or {})}}
    return PodFacts(namespace=1, counters=counters, udp_sockets=udp_sockets, listeners=listeners)


def with_pod(looked: NodeFacts, inside: PodFacts | None, *, address: str, mac: str = "02:00:00:00:00:01", times: int = 1) -> NodeFacts:
    """A look at a node, in which so many namespaces have that address, and what was seen inside the first."""
    eth0 = PodInterface(name="eth0", index=3, host_index=4, mac=mac, prefixes=(f"{address}/32",))
    spaces = tuple(PodNamespace(id=number, interfaces=(_LOOPBACK, eth0)) for number in range(1, times + 1))
    return replace(looked, pod_namespaces=spaces, pod_facts=() if inside is None else (inside,))


def at_server(world: World, first: PodFacts | None, last: PodFacts | None) -> World:
    """`world`, in which both looks saw that inside the server's pod."""
    return _looked(world, B, SERVER, first, last)


def at_client(world: World, first: PodFacts | None, last: PodFacts | None) -> World:
    """`world`, in which both looks saw that inside the client's pod."""
    return _looked(world, A, CLIENT, first, last)


def filtered(world: World, node: str, *rules: tuple[Rule, int]) -> World:
    """`world`, in which those rules are inside the pod on `node`: each with the growth of its counter."""
    first = tuple(replace(one, namespace=1) for one, _ in rules)
    last = tuple(replace(one, namespace=1, packets=None if one.packets is None else one.packets + growth) for one, growth in rules)
    return replace(
        world,
        before=tuple(replace(one, pod_rules=first) if one.node == node else one for one in world.before),
        after=tuple(replace(one, pod_rules=last) if one.node == node else one for one in world.after),
    )


def _looked(world: World, node: str, address: str, first: PodFacts | None, last: PodFacts | None) -> World:
    before, after = (facts(A), facts(B)), (facts(A, later=True), facts(B, later=True))
    return replace(
        world,
        before=tuple(with_pod(one, first, address=address) if one.node == node else one for one in before),
        after=tuple(with_pod(one, last, address=address) if one.node == node else one for one in after),
    )
