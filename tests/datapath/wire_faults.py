"""Faults of the wire and of the NICs at its ends: sizes, fragments, paths, checksums, queues, programs."""

import ipaddress
import time

from . import processes, servers, shape, tools, wiring
from .fault_record import EXIT, PEERS_ENTRY, PEERS_TO_POD, TO_TUNNEL, WIRE, WIRE_OUT, Action, both, fault, peer
from .node_rules import insert
from .overlay_faults import mend_overlay
from .records import Lab, LabNode

_LARGE_QUESTIONS = ("http", "{dns}:9153", "/" + "x" * 4000, "--rate", "10")
_LARGE_ANSWERS = ("http", "{dns}:9153", "/bytes/20000", "--rate", "10")
_FEW_PORTS = ("dns", "{dns}:53", servers.QUESTION, "--rate", "80", "--ports", "16")
_METRICS_PORT = 9153
_METRICS = ("http", f"{{dns}}:{_METRICS_PORT}", "/", "--rate", "15")
_MANY = ("dns", "{dns}:53", servers.QUESTION, "--rate", "60")
WIRE_MTU_BYTES = 1200
_NOBODYS_MAC = "02:00:00:00:00:99"
NIC_MTU_BYTES = 1300
POD_MTU_BYTES = 1500


def _fabric_rule(name: str, side: str, rule: str) -> tuple[Action, Action]:
    """A rule of the underlay for what goes to ("oifname") or comes from ("iifname") a node; {port}, {vtep} (a number) are the node's."""

    def table(node: LabNode) -> str:
        return f"{name}_{node.fabric_port.replace('-', '_')}"

    def forget(node: LabNode) -> str:
        return f"table bridge {table(node)} {{ }}\ndelete table bridge {table(node)}\n"

    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        text = rule.format(port=node.vxlan_port, vtep=int(ipaddress.IPv4Address(node.vtep_address)))
        chain = f'chain forward {{ type filter hook forward priority 0; policy accept; {side} "{node.fabric_port}" {text}; }};'
        tools.run_inside(lab.fabric, ["nft", "-f", "-"], text=f"{forget(node)}table bridge {table(node)} {{ {chain} }}\n")

    def undo(lab: Lab, node: LabNode, percent: int) -> None:
        tools.run_inside(lab.fabric, ["nft", "-f", "-"], text=forget(node))

    return apply, undo


def _nic_mtu(value: int) -> Action:
    def act(lab: Lab, node: LabNode, percent: int) -> None:
        tools.ip_batch(node.netns, [f"link set {node.underlay_interface} mtu {value}"])

    return act


def _forget_paths(lab: Lab, node: LabNode, percent: int) -> None:
    """What was learned of paths' MTUs stays for ten minutes otherwise (ip-sysctl.rst, mtu_expires)."""
    for netns in [*(one.netns for one in lab.nodes), *(pod.netns or "" for pod in servers.talkers(lab))]:
        tools.run(["ip", "-n", netns, "route", "flush", "cache"])


def _nothing(lab: Lab, node: LabNode, percent: int) -> None:
    """For what is only undone."""


def _pod_mtu(mtu_bytes: int | None) -> Action:
    """The MTU of the pods that talk; None: their node's."""

    def act(lab: Lab, node: LabNode, percent: int) -> None:
        for pod in servers.talkers(lab):
            host = lab.node(pod.node or "")
            value = mtu_bytes or host.mtu_bytes
            tools.ip_batch(host.netns, [f"link set {pod.host_interface} mtu {value}"])
            tools.ip_batch(pod.netns, [f"link set eth0 mtu {value}"])

    return act


def _deaf(lab: Lab, node: LabNode, percent: int) -> None:
    """The client's pod does not hear of the path's MTU (RFC 2923, 2.1)."""
    chain = (
        "chain input { type filter hook input priority 0; policy accept; icmp type destination-unreachable icmp code frag-needed drop; };"
    )
    tools.run_inside(servers.client(lab).netns or "", ["nft", "-f", "-"], text=f"{_HEARING}table ip deaf {{ {chain} }}\n")


_HEARING = "table ip deaf { }\ndelete table ip deaf\n"


def _hearing(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run_inside(servers.client(lab).netns or "", ["nft", "-f", "-"], text=_HEARING)


def _slow_queue(lab: Lab, node: LabNode, percent: int) -> None:
    """Somebody shaped the NIC, and its queue is short."""
    shape = ["tbf", "rate", "16kbit", "burst", "1600", "limit", "600"]
    tools.run(["tc", "-n", node.netns, "qdisc", "replace", "dev", node.underlay_interface, "root", *shape])


def _no_queue(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["tc", "-n", node.netns, "qdisc", "delete", "dev", node.underlay_interface, "root"], check=False)


def _checksums(state: str) -> Action:
    """Whether the NIC leaves checksums to whoever comes next; off: they stand in the frame, and the receiver verifies them."""

    def act(lab: Lab, node: LabNode, percent: int) -> None:
        tools.run_inside(node.netns, ["ethtool", "-K", node.underlay_interface, "tx-checksum-ip-generic", state])

    return act


def _without_outer_checksum(lab: Lab, node: LabNode, percent: int) -> None:
    _remake(lab, node, " noudpcsum")


def _with_outer_checksum(lab: Lab, node: LabNode, percent: int) -> None:
    _remake(lab, node, "")


def _remake(lab: Lab, node: LabNode, option: str) -> None:
    tools.run(["ip", "-n", node.netns, "link", "delete", node.vtep_interface], check=False)
    first, *rest = wiring.overlay(lab, node)
    tools.ip_batch(node.netns, [first + option, *rest])
    mend_overlay(lab, node)


def _routed_underlay(lab: Lab, node: LabNode, percent: int) -> None:
    """The underlay routes between this node and its peer, and this node's outer packets live for one hop."""
    _fabric_forwards(lab, "1")
    tools.ip_batch(node.netns, [f"route replace {peer(lab, node).address}/32 via {wiring.GATEWAY} dev {node.underlay_interface}"])
    tools.run(["ip", "-n", node.netns, "link", "set", node.vtep_interface, "type", "vxlan", "ttl", "1"])


def _flat_underlay(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["ip", "-n", node.netns, "link", "set", node.vtep_interface, "type", "vxlan", "ttl", "auto"], check=False)
    tools.run(["ip", "-n", node.netns, "route", "delete", f"{peer(lab, node).address}/32", "via", wiring.GATEWAY], check=False)
    _fabric_forwards(lab, "0")


def _fabric_forwards(lab: Lab, value: str) -> None:
    """Whether the fabric's bridge routes; it tells nobody of a shorter way (ICMP redirects)."""
    quiet = f"printf 0 > conf/all/send_redirects; printf 0 > conf/{wiring.UNDERLAY_BRIDGE}/send_redirects"
    script = f'cd /proc/sys/net/ipv4; {quiet}; printf %s "$1" > ip_forward'
    tools.run_inside(lab.fabric, ["sh", "-c", script, "sh", value])


def _xdp(lab: Lab, node: LabNode, percent: int) -> None:
    if any(one.name == _xdp_name(node) and processes.alive(one) for one in processes.recorded(lab.state_dir)):
        return
    argv = servers.program("xdp", node.underlay_interface, str(node.vxlan_port))
    running = processes.start(lab.state_dir, _xdp_name(node), node.netns, argv)
    servers.wait_said(lab, running, "attached")


def _no_xdp(lab: Lab, node: LabNode, percent: int) -> None:
    processes.stop(lab.state_dir, [one for one in processes.recorded(lab.state_dir) if one.name == _xdp_name(node)])
    show, until = ["ip", "-n", node.netns, "link", "show", "dev", node.underlay_interface], time.monotonic() + 3
    while "xdp" in tools.run(show).stdout and time.monotonic() < until:  # the kernel takes the program away a little later
        time.sleep(0.02)


def _resetter(lab: Lab, node: LabNode, percent: int) -> None:
    """A firewall on the underlay, at the node's port, that looks into tunnels."""
    if any(one.name == _resetter_name(node) and processes.alive(one) for one in processes.recorded(lab.state_dir)):
        return
    argv = servers.program("resetter", node.fabric_port, str(node.vxlan_port), str(_METRICS_PORT))
    running = processes.start(lab.state_dir, _resetter_name(node), lab.fabric, argv)
    servers.wait_said(lab, running, "listening")


def _no_resetter(lab: Lab, node: LabNode, percent: int) -> None:
    processes.stop(lab.state_dir, [one for one in processes.recorded(lab.state_dir) if one.name == _resetter_name(node)])


def _resetter_name(node: LabNode) -> str:
    return f"resetter-{node.name}"


def _xdp_name(node: LabNode) -> str:
    return f"xdp-{node.name}"


_MTU = _fabric_rule("mtu", "oifname", f"ether type ip meta length > {WIRE_MTU_BYTES} counter drop")
_FRESH_PATHS = (_nothing, _forget_paths)
_SMALL_NIC = both(_FRESH_PATHS, (_nic_mtu(NIC_MTU_BYTES), _nic_mtu(shape.NODE_MTU_BYTES)))
_FRAGMENTS = both(_SMALL_NIC, _fabric_rule("fragments", "iifname", "ether type ip ip frag-off & 0x1fff != 0 counter drop"))
# The lowest bit of the outer source port, as a hash over a path's two members would use it.
_HALF = _fabric_rule("path", "oifname", "udp dport {port} @th,15,1 1 counter drop")
_QUEUE = (_slow_queue, _no_queue)
_LARGE_PODS = both(both(_FRESH_PATHS, (_deaf, _hearing)), (_pod_mtu(POD_MTU_BYTES), _pod_mtu(None)))
_VERIFIED = (_checksums("off"), _checksums("on"))
_MASQUERADE = insert("POSTROUTING", "-s {client} -o {device} -j MASQUERADE", table="nat")
# Bits of the transport header: UDP 64, VXLAN 64, Ethernet 112; inner IPv4's source at 12 bytes; inner UDP's checksum at 20 + 6 bytes.
_BAD_OUTER = _fabric_rule("outer", "iifname", "udp dport {port} @th,336,32 {vtep} @th,48,16 set 0xdead")
_BAD_INNER = _fabric_rule("inner", "iifname", "udp dport {port} @th,312,8 17 @th,448,16 set 0xdead")
# It answers connections to the metrics' port, and does not let them pass: inner protocol, inner destination port behind IPv4's 20 bytes.
_NO_METRICS = _fabric_rule("resets", "iifname", f"udp dport {{port}} @th,312,8 6 @th,416,16 {_METRICS_PORT} counter drop")
_RESETTER = both((_resetter, _no_resetter), _NO_METRICS)
_NO_OUTER = (_without_outer_checksum, _with_outer_checksum)


def _ask_anew(lab: Lab, node: LabNode, percent: int) -> None:
    """The peer has forgotten the node's MAC address, and asks for it."""
    other = peer(lab, node)
    tools.run(["ip", "-n", other.netns, "neigh", "delete", node.address, "dev", other.underlay_interface], check=False)


_NO_ARP = both(_fabric_rule("arp_to", "oifname", "ether type arp drop"), _fabric_rule("arp_from", "iifname", "ether type arp drop"))


def _nobodys_mac(lab: Lab, node: LabNode, percent: int) -> None:
    """Somebody wrote down a MAC address for the peer that nobody has; the underlay's bridge floods such frames."""
    other = peer(lab, node)
    entry = f"neigh replace {other.address} lladdr {_NOBODYS_MAC} dev {node.underlay_interface} nud permanent"
    tools.ip_batch(node.netns, [entry])


def _learned_mac(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["ip", "-n", node.netns, "neigh", "delete", peer(lab, node).address, "dev", node.underlay_interface], check=False)


FAULTS = (
    fault("arp-unanswered", "request", "{peer}/vxlan>{peer}/underlay", both(_NO_ARP, (_ask_anew, _ask_anew))),
    fault("wrong-neighbour-mac", "request", PEERS_ENTRY, (_nobodys_mac, _learned_mac), at_client=True),
    fault("wrong-neighbour-mac@reply", "reply", PEERS_ENTRY, (_nobodys_mac, _learned_mac)),
    fault("underlay-mtu", "request", WIRE, _MTU, traffic=_LARGE_QUESTIONS),
    fault("underlay-mtu@reply", "reply", WIRE, _MTU, at_client=True, traffic=_LARGE_ANSWERS),
    fault("outer-fragments-dropped", "request", WIRE_OUT, _FRAGMENTS, at_client=True, traffic=_LARGE_QUESTIONS),
    fault("outer-fragments-dropped@reply", "reply", WIRE_OUT, _FRAGMENTS, traffic=_LARGE_ANSWERS),
    fault("pod-mtu", "request", TO_TUNNEL, _LARGE_PODS, at_client=True, traffic=_LARGE_QUESTIONS),
    fault("underlay-path-subset", "request", WIRE, _HALF, traffic=_FEW_PORTS),
    fault("underlay-path-subset@reply", "reply", WIRE, _HALF, at_client=True, traffic=_FEW_PORTS),
    fault("outer-ttl-expired", "request", WIRE_OUT, (_routed_underlay, _flat_underlay), at_client=True),
    fault("outer-ttl-expired@reply", "reply", WIRE_OUT, (_routed_underlay, _flat_underlay)),
    fault("qdisc-drop", "request", EXIT, _QUEUE, at_client=True, traffic=_MANY),
    fault("qdisc-drop@reply", "reply", EXIT, _QUEUE, traffic=_MANY),
    fault("vxlan-tx-checksum", "request", PEERS_ENTRY, both(_VERIFIED, both(_MASQUERADE, _BAD_OUTER)), at_client=True),
    fault("nic-tunnel-offload", "request", PEERS_TO_POD, both(_NO_OUTER, both(_VERIFIED, _BAD_INNER)), at_client=True, remakes_device=True),
    fault("reset-in-path", "request", WIRE_OUT, _RESETTER, at_client=True, traffic=_METRICS),
    # A tap behind such a program sees nothing of what it took and is no witness: the leg ends at the next one.
    fault("xdp-drop", "request", "{peer}/underlay>{node}/vxlan", (_xdp, _no_xdp)),
    fault("xdp-drop@reply", "reply", "{peer}/underlay>{node}/vxlan", (_xdp, _no_xdp), at_client=True),
)
