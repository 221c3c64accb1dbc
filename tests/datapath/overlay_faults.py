"""Faults of the VXLAN devices: their state, their addresses, and what the nodes know of each other's."""

import dataclasses
from pathlib import Path

from . import fault_actions as actions
from . import records, servers, shape, tools, wiring
from .family import alone, lab_address, on_device
from .fault_record import ENTRY, EXIT, PEERS_ENTRY, PEERS_TO_POD, TO_POD, TO_TUNNEL, WIRE_OUT, Action, fault, peer
from .records import Lab, LabNode

STALE_MAC = "66:0d:0d:0d:0d:0d"
_MORE_BYTES = 20  # an IPv6 header has 40 bytes (RFC 8200, 3), IPv4's 20
NOBODY = "10.128.0.200"  # in IPv4; on the underlay; no node has it


def mend_overlay(lab: Lab, node: LabNode) -> None:
    """Routes, neighbours and forwarding entries of a node's VXLAN device as they were made at first; what is extra stays."""
    present = tools.run(["ip", "-n", node.netns, "link", "show", "dev", node.vtep_interface], check=False).returncode == 0
    lines = wiring.overlay(lab, node)
    tools.ip_batch(node.netns, [line.replace("route add", "route replace") for line in (lines[3:] if present else lines)])
    tools.bridge_batch(node.netns, wiring.forwarding(lab, node))


def _stale(lab: Lab, node: LabNode, percent: int) -> None:
    """The node knows its peer by a MAC address that the peer had once: neighbour and forwarding entry agree."""
    other = peer(lab, node)
    _know(node, other, STALE_MAC)


def _know(node: LabNode, other: LabNode, mac: str) -> None:
    tools.ip_batch(node.netns, [wiring.neighbour(node, other).replace(other.vtep_mac, mac)])
    tools.bridge_batch(node.netns, [wiring.fdb_entry(node, other).replace(other.vtep_mac, mac)])


def _forget_mac(node: LabNode, mac: str, address: str) -> None:
    tools.run(["bridge", "-n", node.netns, "fdb", "delete", mac, "dev", node.vtep_interface, "dst", address, "self"], check=False)


def _fresh(lab: Lab, node: LabNode, percent: int) -> None:
    _forget_mac(node, STALE_MAC, peer(lab, node).address)
    mend_overlay(lab, node)


def _double_mac(lab: Lab, node: LabNode, percent: int) -> None:
    """Cloned machines: this node's VXLAN device has its peer's MAC address, and the peer has learned so."""
    other = peer(lab, node)
    tools.run(["ip", "-n", node.netns, "link", "set", node.vtep_interface, "address", other.vtep_mac])
    mend_overlay(lab, node)  # with its address the device loses all neighbours (net/core/neighbour.c, neigh_changeaddr)
    _know(other, node, other.vtep_mac)


def _own_mac(lab: Lab, node: LabNode, percent: int) -> None:
    other = peer(lab, node)
    tools.run(["ip", "-n", node.netns, "link", "set", node.vtep_interface, "address", node.vtep_mac])
    _forget_mac(other, other.vtep_mac, node.address)
    mend_overlay(lab, node)
    mend_overlay(lab, other)


def _fdb_to(address_of: str) -> Action:
    """The forwarding entry of the peer leads to another underlay address: "nobody"'s, or the "third" node's."""

    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        other = peer(lab, node)
        wrong = lab_address(lab.family, NOBODY) if address_of == "nobody" else lab.nodes[2].address
        tools.bridge_batch(node.netns, [wiring.fdb_entry(node, other).replace(other.address, wrong)])

    return apply


def _mend(lab: Lab, node: LabNode, percent: int) -> None:
    mend_overlay(lab, node)


def _publish(lab: Lab, node: LabNode, address: str | None) -> None:
    """What the CNI has written on the node's object, and what all other nodes therefore have in their forwarding tables."""
    shown = records.load(Path(lab.state_dir)) or lab
    changed = [dataclasses.replace(one, published=address) if one.name == node.name else one for one in shown.nodes]
    records.save(dataclasses.replace(shown, nodes=tuple(changed)))
    for other in lab.nodes:
        if other.name != node.name:
            line = wiring.fdb_entry(other, node)
            tools.bridge_batch(other.netns, [line.replace(node.address, address) if address else line])


def _wrong_address(lab: Lab, node: LabNode, percent: int) -> None:
    _publish(lab, node, lab_address(lab.family, NOBODY))


def _right_address(lab: Lab, node: LabNode, percent: int) -> None:
    _publish(lab, node, None)


def _down(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["ip", "-n", node.netns, "link", "set", node.vtep_interface, "down"])


def _up(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["ip", "-n", node.netns, "link", "set", node.vtep_interface, "up"], check=False)  # it may be gone; `mend_overlay` makes it
    mend_overlay(lab, node)


def _gone(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["ip", "-n", node.netns, "link", "delete", node.vtep_interface], check=False)


def _take_pods_address(lab: Lab, node: LabNode, percent: int) -> None:
    """IPAM gave the tunnel an address that a pod has."""
    tools.ip_batch(node.netns, [f"addr replace {on_device(servers.dns_pod(lab, node).address or '')} dev {node.vtep_interface}"])


def _give_pods_address(lab: Lab, node: LabNode, percent: int) -> None:
    address = alone(servers.dns_pod(lab, node).address or "")
    tools.run(["ip", "-n", node.netns, "addr", "delete", address, "dev", node.vtep_interface], check=False)


def _second_owner(lab: Lab, node: LabNode, percent: int) -> None:
    """The third node has this node's underlay address as well, and answered its peer's ARP request first."""
    third, other = lab.nodes[2], peer(lab, node)
    tools.ip_batch(third.netns, [f"addr replace {on_device(node.address)} dev {third.underlay_interface}"])
    tools.ip_batch(other.netns, [f"neigh replace {node.address} lladdr {third.underlay_mac} dev {other.underlay_interface} nud permanent"])


def _one_owner(lab: Lab, node: LabNode, percent: int) -> None:
    third, other = lab.nodes[2], peer(lab, node)
    tools.run(["ip", "-n", third.netns, "addr", "delete", alone(node.address), "dev", third.underlay_interface], check=False)
    tools.run(["ip", "-n", other.netns, "neigh", "delete", node.address, "dev", other.underlay_interface], check=False)


def _six(node: LabNode) -> str:
    """A node's address on the underlay's IPv6 network."""
    return f"fd00:128::{node.address.rpartition('.')[2]}"


def _ipv6(lab: Lab, node: LabNode, *, on: bool) -> None:
    """IPv6 on a node's NIC, and on the whole way room for the larger outer header, so that the pods' MTU stays what it is."""
    mtu = shape.NODE_MTU_BYTES + (_MORE_BYTES if on else 0)
    tools.ip_batch(lab.fabric, [f"link set {node.fabric_port} mtu {mtu}"])
    tools.ip_batch(node.netns, [f"link set {node.underlay_interface} mtu {mtu}"])
    script = 'printf %s "$2" > "/proc/sys/net/ipv6/conf/$1/disable_ipv6"'
    tools.run_inside(node.netns, ["sh", "-c", script, "sh", node.underlay_interface, "0" if on else "1"])
    if on:
        tools.ip_batch(node.netns, [f"addr replace {_six(node)}/64 dev {node.underlay_interface} nodad"])


def over_ipv6(lab: Lab, refusing: str = "") -> None:
    """All nodes encapsulate over IPv6 without a UDP checksum, and all but the node of that name accept that."""
    for one in lab.nodes:
        _ipv6(lab, one, on=True)
    tools.ip_batch(lab.fabric, [f"link set {wiring.UNDERLAY_BRIDGE} mtu {shape.NODE_MTU_BYTES + _MORE_BYTES}"])
    for one in lab.nodes:
        tools.run(["ip", "-n", one.netns, "link", "delete", one.vtep_interface], check=False)
        first, *rest = wiring.overlay(lab, one)
        options = "udp6zerocsumtx noudp6zerocsumrx" if one.name == refusing else "udp6zerocsumtx udp6zerocsumrx"
        tools.ip_batch(one.netns, [f"{first.replace(f'local {one.address}', f'local {_six(one)}')} {options}", *rest])
        entries = [wiring.fdb_entry(one, other).replace(other.address, _six(other)) for other in lab.nodes if other.name != one.name]
        tools.bridge_batch(one.netns, entries)


def over_ipv4(lab: Lab) -> None:
    """Undo `over_ipv6`."""
    tools.ip_batch(lab.fabric, [f"link set {wiring.UNDERLAY_BRIDGE} mtu {shape.NODE_MTU_BYTES}"])
    for one in lab.nodes:
        actions.right_device(lab, one, 100)
        _ipv6(lab, one, on=False)


def _refused(lab: Lab, node: LabNode, percent: int) -> None:
    """This node's device was made by another tool than the others'."""
    over_ipv6(lab, refusing=node.name)


def _not_refused(lab: Lab, node: LabNode, percent: int) -> None:
    over_ipv4(lab)


_VNI = (actions.wrong_vni, actions.right_device)
_PORT = (actions.wrong_port, actions.right_device)

FAULTS = (
    fault("vni-mismatch@client", "request", PEERS_ENTRY, _VNI, at_client=True, remakes_device=True),
    fault("vxlan-port-mismatch@client", "request", PEERS_ENTRY, _PORT, at_client=True, remakes_device=True),
    fault("stale-vtep-mac", "request", PEERS_TO_POD, (_stale, _fresh), at_client=True),
    fault("stale-vtep-mac@reply", "reply", PEERS_TO_POD, (_stale, _fresh)),
    fault("duplicate-vtep-mac", "request", ENTRY, (_double_mac, _own_mac)),
    fault("fdb-wrong-destination", "request", EXIT, (_fdb_to("nobody"), _mend), at_client=True),
    fault("fdb-wrong-destination@reply", "reply", EXIT, (_fdb_to("nobody"), _mend)),
    fault("fdb-wrong-destination@live", "request", WIRE_OUT, (_fdb_to("third"), _mend), at_client=True),
    fault("wrong-node-address", "request", "{peer}/vxlan>{peer}/underlay", (_wrong_address, _right_address)),
    fault("vxlan-device-down", "request", ENTRY, (_down, _up), remakes_device=True),
    fault("vxlan-device-down@client", "request", TO_TUNNEL, (_down, _up), at_client=True, remakes_device=True),
    fault("vxlan-device-down@absent", "request", ENTRY, (_gone, _up), remakes_device=True),
    fault("zero-udp-checksum-v6", "request", ENTRY, (_refused, _not_refused), remakes_device=True),
    fault("pod-is-tunnel-address", "request", TO_POD, (_take_pods_address, _give_pods_address), needs=servers.dns_pod),
    fault("duplicate-node-address", "request", "{peer}/underlay>{node}/underlay", (_second_owner, _one_owner)),
)
