"""Faults of the nodes' routing tables and of what decides whether they forward at all."""

import ipaddress

from . import servers, tools, wiring
from .family import alone, is_six, lab_address, nth, on_device, prefix_bits
from .fault_record import TO_POD, TO_TUNNEL, WIRE, WIRE_OUT, Action, at_peer, both, fault, peer
from .node_rules import insert
from .overlay_faults import mend_overlay
from .records import Lab, LabNode, LabPod
from .wiring import GATEWAY

_FORWARD = "net.ipv4.ip_forward"
_FORWARD_6 = "net.ipv6.conf.all.forwarding"
_LOOK_ELSEWHERE = 52  # a routing table that nobody else uses
_MARK = "0x10000000/0x10000000"  # a bit that neither kube-proxy nor Calico uses
_PAST_MAIN = 53  # another one, and the priority of the rule that leads there
_CONTAINERS = "docker0"
_MASQUERADING = insert("POSTROUTING", "-s {client} -d {server} -o {device} -j MASQUERADE", table="nat")
_MARKING = insert("PREROUTING", f"-s {{client}} -j MARK --set-xmark {_MARK}", table="mangle")


def _version(node: LabNode) -> list[str]:
    """ip(8): which routing tables and rules, where no address says it."""
    return ["-6"] if is_six(node.address) else []


def _route(node: LabNode, *words: str) -> None:
    tools.run(["ip", *_version(node), "-n", node.netns, "route", *words])


def _unroute(node: LabNode, *words: str) -> None:
    """Delete a route that may be gone already."""
    tools.run(["ip", *_version(node), "-n", node.netns, "route", "delete", *words], check=False)


def mend_routes(lab: Lab, node: LabNode) -> None:
    """Every route of a node as it was made at first; what is extra stays."""
    mend_overlay(lab, node)
    gateway = lab_address(lab.family, GATEWAY)
    default = f"route replace default via {gateway} dev {node.underlay_interface} proto dhcp src {node.address} metric 100"
    lines = [default]
    if node.bridge is None:
        lines += [
            line.replace("route add", "route replace") for line in wiring.node(lab, node) if "blackhole" in line or "dev cali" in line
        ]
        lines = [line for line in lines if not line.startswith("link ")]
    else:
        lines.append(f"route replace {node.pod_cidr} dev {node.bridge} proto kernel scope link src {nth(node.pod_cidr, 1)}")
    tools.ip_batch(node.netns, lines)


def _mend(lab: Lab, node: LabNode, percent: int) -> None:
    mend_routes(lab, node)


def _no_route(lab: Lab, node: LabNode, percent: int) -> None:
    _unroute(node, peer(lab, node).pod_cidr)


def _no_route_at_all(lab: Lab, node: LabNode, percent: int) -> None:
    _no_route(lab, node, percent)
    _unroute(node, "default")


def _pod(lab: Lab, node: LabNode) -> LabPod:
    """The end of the traffic on a node: the client, or the DNS server."""
    client = servers.client(lab)
    return client if client.node == node.name else servers.dns_pod(lab, node)


def _no_pod_route(lab: Lab, node: LabNode, percent: int) -> None:
    """Calico: the pod's /32 is gone, its block's blackhole stays. Flannel: the block's route to the bridge is gone."""
    _unroute(node, *([alone(_pod(lab, node).address or "")] if node.bridge is None else [node.pod_cidr, "dev", node.bridge]))


def _unplug(lab: Lab, node: LabNode, percent: int) -> None:
    """The pod's veth is no port of the bridge any more, to which the route to the node's pods leads."""
    pod = _pod(lab, node)
    tools.run(["ip", "-n", node.netns, "link", "set", pod.host_interface or "", "nomaster"])
    # What the node remembers of the pod would be sent into the bridge all the same, and out of every other port.
    tools.run(["ip", "-n", node.netns, "neigh", "del", pod.address or "", "dev", node.bridge or ""], check=False)


def _plug(lab: Lab, node: LabNode, percent: int) -> None:
    port = _pod(lab, node).host_interface
    tools.ip_batch(node.netns, [f"link set {port} master {node.bridge} up", f"link set {port} type bridge_slave hairpin on"])


def _claim(lab: Lab, node: LabNode, owner: LabNode) -> None:
    """A node takes another's block for its own, as its CNI writes that down."""
    if node.bridge is None:
        _route(node, "replace", "blackhole", owner.pod_cidr, "proto", "80")
    else:
        _unroute(node, owner.pod_cidr)
        address = nth(owner.pod_cidr, 1)
        tools.ip_batch(node.netns, [f"addr replace {on_device(address, prefix_bits(address))} dev {node.bridge}"])


def _disclaim(lab: Lab, node: LabNode, owner: LabNode) -> None:
    if node.bridge is None:
        _unroute(node, "blackhole", owner.pod_cidr)
    else:
        address = nth(owner.pod_cidr, 1)
        address = f"{address}/{prefix_bits(address)}"
        tools.run(["ip", "-n", node.netns, "addr", "delete", address, "dev", node.bridge], check=False)
    mend_routes(lab, node)


def _double_block(lab: Lab, node: LabNode, percent: int) -> None:
    _claim(lab, node, peer(lab, node))


def _single_block(lab: Lab, node: LabNode, percent: int) -> None:
    _disclaim(lab, node, peer(lab, node))


def _third_claims(lab: Lab, node: LabNode, percent: int) -> None:
    """The third node has the peer's block too, and this node's route leads there."""
    third, other = lab.nodes[2], peer(lab, node)
    _claim(lab, third, other)
    _route(node, "replace", other.pod_cidr, "via", third.vtep_address, "dev", node.vtep_interface, "onlink")


def _third_disclaims(lab: Lab, node: LabNode, percent: int) -> None:
    _disclaim(lab, lab.nodes[2], peer(lab, node))
    mend_routes(lab, node)


def _send_back(lab: Lab, node: LabNode, percent: int) -> None:
    """The node believes that its pod is behind the peer, the peer that it is here."""
    other = peer(lab, node)
    pod = alone(_pod(lab, node).address or "")
    _route(node, "replace", pod, "via", other.vtep_address, "dev", node.vtep_interface, "onlink")


def _keep(lab: Lab, node: LabNode, percent: int) -> None:
    if node.bridge is not None:
        _unroute(node, alone(_pod(lab, node).address or ""))
    mend_routes(lab, node)


def _device_setting(node: LabNode, device: str, name: str, value: str) -> None:
    """A sysctl of one device; sysctl(8) would read the dot of vxlan.calico as a separator."""
    script = 'printf %s "$2" > "/proc/sys/net/ipv4/conf/$1"'
    tools.run_inside(node.netns, ["sh", "-c", script, "sh", f"{device}/{name}", value])


def _strict(lab: Lab, node: LabNode, percent: int) -> None:
    """Strict reverse path filter, while the way back to the peer's pod leads through the NIC."""
    _device_setting(node, node.vtep_interface, "rp_filter", "1")
    _route(
        node,
        "replace",
        alone(_pod(lab, peer(lab, node)).address or ""),
        "via",
        lab_address(lab.family, GATEWAY),
        "dev",
        node.underlay_interface,
    )


def _lax(lab: Lab, node: LabNode, percent: int) -> None:
    _device_setting(node, node.vtep_interface, "rp_filter", "0")
    _unroute(node, alone(_pod(lab, peer(lab, node)).address or ""))


def _strict_for_replies(lab: Lab, node: LabNode, percent: int) -> None:
    """What the client's pod sends is marked, and routed by a table that the filter does not ask: it ignores marks (src_valid_mark)."""
    other, table = peer(lab, node), str(_LOOK_ELSEWHERE)
    _lax_for_replies(lab, node, percent)
    way = ["via", other.vtep_address, "dev", node.vtep_interface, "onlink"]
    _route(node, "replace", other.pod_cidr, *way, "table", table)
    tools.run(["ip", *_version(node), "-n", node.netns, "rule", "add", "fwmark", _MARK, "lookup", table, "priority", table])
    _MARKING[0](lab, node, percent)
    _route(node, "replace", other.pod_cidr, "via", lab_address(lab.family, GATEWAY), "dev", node.underlay_interface)
    _device_setting(node, node.vtep_interface, "rp_filter", "1")


def _lax_for_replies(lab: Lab, node: LabNode, percent: int) -> None:
    table = str(_LOOK_ELSEWHERE)
    _device_setting(node, node.vtep_interface, "rp_filter", "0")
    _MARKING[1](lab, node, percent)
    tools.run(["ip", *_version(node), "-n", node.netns, "rule", "delete", "lookup", table], check=False)
    tools.run(["ip", *_version(node), "-n", node.netns, "route", "flush", "table", table], check=False)
    mend_routes(lab, node)


def _forwarding(value: str) -> Action:
    def act(lab: Lab, node: LabNode, percent: int) -> None:
        tools.run_inside(node.netns, ["sysctl", "-q", "-w", f"{_FORWARD_6 if is_six(node.address) else _FORWARD}={value}"])

    return act


def _direct(lab: Lab, node: LabNode, percent: int) -> None:
    """To the peer's pods without encapsulation, as CrossSubnet and DirectRouting do within a subnet."""
    other = peer(lab, node)
    _route(node, "replace", other.pod_cidr, "via", other.address, "dev", node.underlay_interface)


def _strict_nic(lab: Lab, node: LabNode, percent: int) -> None:
    _device_setting(node, node.underlay_interface, "rp_filter", "1")


def _lax_nic(lab: Lab, node: LabNode, percent: int) -> None:
    _device_setting(node, node.underlay_interface, "rp_filter", "0")


def _check_sources(lab: Lab, node: LabNode, percent: int) -> None:
    """The cloud lets a machine send from its own address only."""
    rule = f'iifname "{node.fabric_port}" ether type ip ip saddr != {node.address} counter drop;'
    chain = f"chain forward {{ type filter hook forward priority 0; policy accept; {rule} }};"
    tools.run_inside(lab.fabric, ["nft", "-f", "-"], text=f"{_fresh(node)}table bridge {_table(node)} {{ {chain} }}\n")


def _trust_sources(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run_inside(lab.fabric, ["nft", "-f", "-"], text=_fresh(node))


def _table(node: LabNode) -> str:
    return f"sources_{node.fabric_port.replace('-', '_')}"


def _fresh(node: LabNode) -> str:
    return f"table bridge {_table(node)} {{ }}\ndelete table bridge {_table(node)}\n"


def _no_bare_answers(lab: Lab, node: LabNode, percent: int) -> None:
    """A stateful firewall between the nodes: it saw no question to which a bare answer of the node's pods belongs."""
    rule = f'iifname "{node.fabric_port}" ether type ip ip saddr {node.pod_cidr} udp sport 53 counter drop;'
    chain = f"chain forward {{ type filter hook forward priority 0; policy accept; {rule} }};"
    tools.run_inside(lab.fabric, ["nft", "-f", "-"], text=f"{_fresh(node)}table bridge {_table(node)} {{ {chain} }}\n")


def _past_the_peer(lab: Lab, node: LabNode, percent: int) -> None:
    """An agent's rule sends what the node itself sends to its peer, encapsulated packets too, to a table that knows the gateway only."""
    _to_the_peer(lab, node, percent)
    table = str(_PAST_MAIN)
    _route(node, "replace", "default", "via", lab_address(lab.family, GATEWAY), "dev", node.underlay_interface, "table", table)
    ends = ["from", node.address, "to", peer(lab, node).address]
    tools.run(["ip", *_version(node), "-n", node.netns, "rule", "add", *ends, "lookup", table, "priority", table])


def _to_the_peer(lab: Lab, node: LabNode, percent: int) -> None:
    table = str(_PAST_MAIN)
    tools.run(["ip", *_version(node), "-n", node.netns, "rule", "delete", "lookup", table], check=False)
    tools.run(["ip", *_version(node), "-n", node.netns, "route", "flush", "table", table], check=False)


def _containers(lab: Lab, node: LabNode, percent: int) -> None:
    """A container runtime's bridge is in a network that holds the peer's pod, and is narrower than its block."""
    _no_containers(lab, node, percent)
    address = _pod(lab, peer(lab, node)).address or ""
    bits = 123 if is_six(address) else 27
    network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    tools.ip_batch(
        node.netns,
        [
            f"link add {_CONTAINERS} type bridge",
            f"addr add {network[-2]}/{bits}{' nodad' if is_six(address) else ''} dev {_CONTAINERS}",
            f"link set {_CONTAINERS} up",
        ],
    )


def _no_containers(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["ip", "-n", node.netns, "link", "delete", _CONTAINERS], check=False)


def _foreign_tunnel_address(lab: Lab, node: LabNode, percent: int) -> None:
    """The VXLAN device has an address of the third node's block, and what the client's pod sends to the peer has it as its source."""
    _own_tunnel_address(lab, node, percent)
    tools.ip_batch(node.netns, [f"addr replace {on_device(_spare(lab))} dev {node.vtep_interface}"])
    tools.run(["ip", "-n", node.netns, "addr", "delete", alone(node.vtep_address), "dev", node.vtep_interface])
    _MASQUERADING[0](lab, node, percent)


def _own_tunnel_address(lab: Lab, node: LabNode, percent: int) -> None:
    _MASQUERADING[1](lab, node, percent)
    tools.ip_batch(node.netns, [f"addr replace {on_device(node.vtep_address)} dev {node.vtep_interface}"])
    tools.run(["ip", "-n", node.netns, "addr", "delete", alone(_spare(lab)), "dev", node.vtep_interface], check=False)
    mend_routes(lab, node)


def _spare(lab: Lab) -> str:
    """An address of the third node's block that nobody has."""
    return nth(lab.nodes[2].pod_cidr, 26)


_OFF = (_forwarding("0"), _forwarding("1"))
_DIRECT = (_direct, _mend)
_BOTH_DIRECT = both(_DIRECT, at_peer(_DIRECT))

FAULTS = (
    fault("route-missing", "request", TO_TUNNEL, (_no_route, _mend), at_client=True),
    fault("route-missing@reply", "reply", TO_TUNNEL, (_no_route, _mend)),
    fault("route-missing@no-default", "request", TO_TUNNEL, (_no_route_at_all, _mend), at_client=True),
    fault("pod-route-missing", "request", TO_POD, (_no_pod_route, _mend), needs=servers.dns_pod),
    # Calico's own reverse path check drops what the pod sends then, before anything can come back.
    fault("pod-route-missing@client", "request", TO_TUNNEL, (_no_pod_route, _mend), at_client=True, backends=("calico",)),
    fault("pod-route-missing@reply", "reply", TO_POD, (_no_pod_route, _mend), at_client=True, backends=("flannel",)),
    fault("pod-device-missing", "request", TO_POD, (_unplug, _plug), needs=servers.dns_pod, backends=("flannel",)),
    # What was translated and belongs to the bridge's own network is switched, not handed up (br_netfilter): the bridge device sees nothing.
    fault(
        "duplicate-pod-cidr",
        "request",
        TO_TUNNEL,
        (_double_block, _single_block),
        at_client=True,
        bridged_leg="{node}/pod>{node}/bridge",
    ),
    fault("duplicate-pod-cidr@third", "request", WIRE_OUT, (_third_claims, _third_disclaims), at_client=True),
    fault("policy-route", "request", WIRE_OUT, (_past_the_peer, _to_the_peer), at_client=True),
    fault("policy-route@reply", "reply", WIRE_OUT, (_past_the_peer, _to_the_peer)),
    fault("policy-route@bridge", "request", TO_TUNNEL, (_containers, _no_containers), at_client=True),
    fault(
        "tunnel-address-conflict",
        "reply",
        WIRE,
        (_foreign_tunnel_address, _own_tunnel_address),
        at_client=True,
        backends=("calico",),
    ),
    fault("routing-loop", "request", TO_POD, (_send_back, _keep), needs=servers.dns_pod),
    fault("rp-filter", "request", TO_POD, (_strict, _lax)),
    fault("rp-filter@reply", "reply", TO_POD, (_strict_for_replies, _lax_for_replies), at_client=True),
    fault("ip-forward-off", "request", TO_POD, _OFF),
    fault("ip-forward-off@client", "request", TO_TUNNEL, _OFF, at_client=True),
    fault("rp-filter@bare-return", "reply", "{peer}/underlay>{peer}/{inner}", both(_DIRECT, at_peer((_strict_nic, _lax_nic)))),
    fault("asymmetric-return", "reply", WIRE_OUT, both(_DIRECT, (_no_bare_answers, _trust_sources))),
    fault("cloud-anti-spoofing", "request", WIRE_OUT, both(_BOTH_DIRECT, (_check_sources, _trust_sources)), at_client=True),
    fault("cloud-anti-spoofing@reply", "reply", WIRE_OUT, both(_BOTH_DIRECT, (_check_sources, _trust_sources))),
)
