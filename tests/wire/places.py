"""The cluster of the simulated captures: nodes, interfaces, addresses, and the way packets take between pods.

Three nodes of a Calico cluster with one client, one Service and servers on the other two; the same with bridges as flannel has them, and
a server on the client's own node. IPv6 beside IPv4. Shares no code with the plugin.
"""

from dataclasses import dataclass
from enum import StrEnum

SECOND = 1_000_000_000
EPOCH = 1_760_000_000 * SECOND
CLIENT, CLIENT_NODE = "10.244.114.75", "ada-ec-1"
SERVICE = "10.96.0.10"
NEIGHBOUR = "10.244.114.80"
SERVERS = {"10.244.56.129": "ada-ec-2", "10.244.106.65": "ada-ec-3"}
UNDERLAY = {"ada-ec-1": "10.128.0.72", "ada-ec-2": "10.128.0.95", "ada-ec-3": "10.128.0.96"}
TUNNEL = "10.244.114.64"
"""The overlay address of the client node's VXLAN device: what masquerading puts in the client's place."""
FIRST, SECOND_SERVER = tuple(SERVERS)
NIC, VXLAN, BRIDGE = "ens4", "vxlan.calico", "cni0"
PODS = {CLIENT: "cali9d8b6a7d855", FIRST: "cali0123456789a", SECOND_SERVER: "calibcdef012345", NEIGHBOUR: "cali5555555555a"}

_SIX = {
    CLIENT: "fd00:10:244:114::75",
    SERVICE: "fd00:10:96::10",
    NEIGHBOUR: "fd00:10:244:114::80",
    FIRST: "fd00:10:244:56::129",
    SECOND_SERVER: "fd00:10:244:106::65",
    TUNNEL: "fd00:10:244:114::64",
    "10.128.0.72": "fd00:10:128::72",
    "10.128.0.95": "fd00:10:128::95",
    "10.128.0.96": "fd00:10:128::96",
}

TapName = tuple[str, str]
"""Node and interface."""


def address(text: str, six: bool) -> str:
    """One of the addresses above in the family that is asked for."""
    return _SIX[text] if six else text


def node_of(server: str) -> str:
    """The node that a server runs on."""
    return CLIENT_NODE if server == NEIGHBOUR else SERVERS[server]


class Shape(StrEnum):
    """How pods are connected: Calico routes from the pod's interface, flannel has a bridge between. With br_netfilter that bridge
    translates the server's address itself (br_nf_pre_routing in net/bridge/br_netfilter_hooks.c); a new client port comes behind it."""

    CALICO = "calico"
    FLANNEL = "flannel"
    BR_NETFILTER = "flannel, br_netfilter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One tap on the way of a direction. `dnat`, `snat`: the server's, the client's end is as it is behind NAT. `ttl` is the inner one
    here."""

    tap: TapName
    role: str
    dnat: bool
    snat: bool
    ttl: int


def way(server: str, *, reply: bool = False, shape: Shape = Shape.CALICO) -> tuple[Stop, ...]:
    """The taps from the client to a server, or back. Each node's routing step takes one from the TTL, a bridge and the tunnel none."""
    far = node_of(server)
    bridges = shape is not Shape.CALICO
    client = [(CLIENT_NODE, PODS[CLIENT], "pod")] + ([(CLIENT_NODE, BRIDGE, "bridge")] if bridges else [])
    end = ([(far, BRIDGE, "bridge")] if bridges and far != CLIENT_NODE else []) + [(far, PODS[server], "pod")]
    middle = [(CLIENT_NODE, VXLAN, "vxlan"), (CLIENT_NODE, NIC, "underlay"), (far, NIC, "underlay"), (far, VXLAN, "vxlan")]
    taps = client + (middle if far != CLIENT_NODE else []) + end
    routed = {len(client), len(client) + len(middle)} if far != CLIENT_NODE else {len(client)}
    snat = [index >= len(client) for index in range(len(taps))]
    # What a bridge translates itself is new on its own interface; what comes back was translated by the node's routing before.
    dnat = [index >= 1 for index in range(len(taps))] if shape is Shape.BR_NETFILTER and not reply else snat
    if reply:
        taps, snat, dnat = taps[::-1], snat[::-1], dnat[::-1]
        routed = {len(taps) - index for index in routed}
    ttl, stops = 64, []
    for index, (node, interface, role) in enumerate(taps):
        ttl -= index in routed
        stops.append(Stop(tap=(node, interface), role=role, dnat=dnat[index], snat=snat[index], ttl=ttl))
    return tuple(stops)


def hops_to(server: str, *, reply: bool = False) -> tuple[TapName, ...]:
    """The taps of a Calico cluster from the client to a server, or back."""
    return tuple(stop.tap for stop in way(server, reply=reply))


TTLS = tuple(stop.ttl for stop in way(FIRST))
"""Inner TTL per hop of a Calico cluster."""
