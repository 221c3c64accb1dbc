"""The commands that wire the lab: underlay, nodes, VXLAN devices, pods. Text for ip(8) and bridge(8); nothing runs here."""

import ipaddress

from .family import iptables, is_six, lab_address, nth, on_device, prefix_bits
from .records import Lab, LabNode, LabPod
from .shape import NODE_MTU_BYTES, mac

PREFIX_BITS = 24
GATEWAY = "10.128.0.1"  # in IPv4; owned by the underlay's bridge; it forwards nothing, so nothing leaves the lab
UNDERLAY_BRIDGE = "br0"
STEERED_HOST, STEERED_NET = "cilium_host", "cilium_net"
CALICO_POD_GATEWAY = (
    "169.254.1.1"  # answered by proxy ARP on the node's end (Calico's documentation, "Why does my container have a route to 169.254.1.1?")
)
CALICO_POD_GATEWAY_6 = "fe80::ecee:eeff:feee:eeee"  # what the kernel makes of that MAC (RFC 4291, appendix A)
CALICO_HOST_MAC = "ee:ee:ee:ee:ee:ee"  # the same on every cali* device; a point-to-point link needs no other


def marker(lab: Lab) -> str:
    """What the lab writes on the loopback device of each namespace it makes, to know it again."""
    return f"vxtrace-lab:{lab.state_dir}"


def links(lab: Lab) -> list[str]:
    """ip: every namespace, and the cables between them, made directly in their namespaces.

    The two ends of a cable get different interface numbers: where they are equal by chance, the kernel takes the device for one that is
    nobody's end (net/core/link_watch.c, linkwatch_urgent_event) and reports its carrier up to a second late.
    """
    lines = [f"netns add {name}" for name in lab.namespaces()]
    for place, node in enumerate(lab.nodes):
        lines.append(
            f"link add {node.underlay_interface} index 2 address {node.underlay_mac} mtu {NODE_MTU_BYTES} netns {node.netns}"
            f" type veth peer name {node.fabric_port} index {101 + place} mtu {NODE_MTU_BYTES} netns {lab.fabric}"
        )
        for number, pod in enumerate(lab.pods_on(node.name), start=11):
            host_mac = CALICO_HOST_MAC if lab.backend == "calico" else mac("ba", f"{pod.namespace}.{pod.name}")
            mtu_bytes = NODE_MTU_BYTES if lab.backend == "cilium" else node.mtu_bytes  # Cilium's routes have the tunnel's MTU
            lines.append(
                f"link add {pod.host_interface} index {number} address {host_mac} mtu {mtu_bytes} netns {node.netns}"
                f" type veth peer name eth0 index 3 address {pod_mac(node, pod)} mtu {mtu_bytes} netns {pod.netns}"
            )
    return lines


def pod_mac(node: LabNode, pod: LabPod) -> str:
    """The MAC of a pod's eth0; the bridge plug-in of CNI makes it from the address (0a:58 + IPv4)."""
    if node.bridge is not None and pod.address is not None and not is_six(pod.address):
        return "0a:58:" + ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(pod.address).packed)
    return mac("02", f"{pod.namespace}.{pod.name}")


def mark(lab: Lab) -> list[str]:
    """ip, in every namespace first: the loopback device, marked."""
    return [f'link set lo alias "{marker(lab)}" up']


def fabric(lab: Lab) -> list[str]:
    """ip, in the fabric: the bridge that is the network between the nodes."""
    lines = [f"link add {UNDERLAY_BRIDGE} mtu {NODE_MTU_BYTES} type bridge mcast_snooping 0 forward_delay 0"]
    lines += [f"link set {node.fabric_port} master {UNDERLAY_BRIDGE} up" for node in lab.nodes]
    gateway = lab_address(lab.family, GATEWAY)
    return [*lines, f"addr add {on_device(gateway, prefix_bits(gateway))} dev {UNDERLAY_BRIDGE}", f"link set {UNDERLAY_BRIDGE} up"]


def node(lab: Lab, node: LabNode) -> list[str]:
    """ip, in a node: NIC, default route, VXLAN device, routes to all pods."""
    nic = node.underlay_interface
    lines = [
        f"addr add {on_device(node.address, prefix_bits(node.address))} dev {nic}",
        f"link set {nic} up",
        f"route add default via {lab_address(lab.family, GATEWAY)} dev {nic} proto dhcp src {node.address} metric 100",
    ]
    if lab.backend == "cilium":
        return [*lines, *_steered(lab, node)]
    return [*lines, *overlay(lab, node), *(_bridged_pods(lab, node) if node.bridge else _routed_pods(lab, node))]


def _steered(lab: Lab, node: LabNode) -> list[str]:
    """Cilium: a VXLAN device in metadata mode, a pair of devices that serves all pods, and routes that lead there (recorded of 1.18.2)."""
    lines = [
        f"link add {STEERED_HOST} mtu {NODE_MTU_BYTES} type veth peer name {STEERED_NET} mtu {NODE_MTU_BYTES}",
        *(f"link set {device} arp off up" for device in (STEERED_HOST, STEERED_NET)),
        f"addr add {node.vtep_address}/32 dev {STEERED_HOST}",
        f"link add {node.vtep_interface} address {node.vtep_mac} mtu {NODE_MTU_BYTES}"
        f" type vxlan external dstport {node.vxlan_port} nolearning",
        f"link set {node.vtep_interface} up",
        f"route add {node.vtep_address} dev {STEERED_HOST} scope link",
        f"route add {node.pod_cidr} via {node.vtep_address} dev {STEERED_HOST} src {node.vtep_address}",
    ]
    for peer in _peers(lab, node):
        lines.append(f"route add {peer.pod_cidr} via {node.vtep_address} dev {STEERED_HOST} src {node.vtep_address} mtu {node.mtu_bytes}")
    return [*lines, *(f"link set {pod.host_interface} up" for pod in lab.pods_on(node.name))]


def overlay(lab: Lab, node: LabNode, *, vni: int | None = None, port: int | None = None) -> list[str]:
    """ip, in a node: its VXLAN device with address, routes and permanent neighbours; `vni`, `port` instead of the right ones.

    Calico: VTEP address /32, one route per block. Flannel: the same with one /24 per node.
    """
    device = node.vtep_interface
    lines = [
        f"link add {device} address {node.vtep_mac} mtu {node.mtu_bytes} type vxlan id {node.vni if vni is None else vni}"
        f" local {node.address} dev {node.underlay_interface} dstport {node.vxlan_port if port is None else port} nolearning",
        f"addr add {on_device(node.vtep_address)} dev {device}",
        f"link set {device} up",
    ]
    for peer in _peers(lab, node):
        if lab.backend == "calico":
            lines.append(f"route add {peer.vtep_address} dev {device} scope link")
        lines += [f"route add {peer.pod_cidr} via {peer.vtep_address} dev {device} onlink", neighbour(node, peer)]
    return lines


def neighbour(node: LabNode, peer: LabNode) -> str:
    """ip, in a node: the permanent neighbour entry for a peer's VTEP."""
    return f"neigh replace {peer.vtep_address} lladdr {peer.vtep_mac} dev {node.vtep_interface} nud permanent"


def forwarding(lab: Lab, node: LabNode) -> list[str]:
    """bridge, in a node: where its VXLAN device sends each peer's MAC; a program says it where there is one."""
    if lab.backend == "cilium":
        return []
    return [fdb_entry(node, peer) for peer in _peers(lab, node)]


def fdb_entry(node: LabNode, peer: LabNode) -> str:
    """bridge, in a node: the entry for one peer."""
    return f"fdb replace {peer.vtep_mac} dev {node.vtep_interface} dst {peer.address} self permanent"


def _peers(lab: Lab, node: LabNode) -> list[LabNode]:
    return [peer for peer in lab.nodes if peer.name != node.name]


def _routed_pods(lab: Lab, node: LabNode) -> list[str]:
    """Calico: a route per pod; what of the own block belongs to no pod goes nowhere."""
    lines = [f"route add blackhole {node.pod_cidr} proto 80"]  # 80: Felix's mark of its own routes
    for pod in lab.pods_on(node.name):
        lines += [f"link set {pod.host_interface} up", f"route add {pod.address} dev {pod.host_interface} scope link"]
    return lines


def _bridged_pods(lab: Lab, node: LabNode) -> list[str]:
    """Flannel: the pods' veths are ports of a bridge that owns the block's first address."""
    address = nth(node.pod_cidr, 1)
    lines = [f"link add {node.bridge} address {mac('5e', node.name)} mtu {node.mtu_bytes} type bridge mcast_snooping 0 forward_delay 0"]
    for pod in lab.pods_on(node.name):
        lines += [f"link set {pod.host_interface} master {node.bridge} up", f"link set {pod.host_interface} type bridge_slave hairpin on"]
    return [*lines, f"addr add {on_device(address, prefix_bits(address))} dev {node.bridge}", f"link set {node.bridge} up"]


def pod(lab: Lab, pod: LabPod) -> list[str]:
    """ip, in a pod: its address and its way out."""
    host = lab.node(pod.node or "")
    if lab.backend == "cilium":
        gateway = host.vtep_address
        return [
            "link set eth0 up",
            f"addr add {pod.address}/32 dev eth0",
            # Cilium's program answers for it with this address; a reader of ARP is not needed for that.
            f"neigh add {gateway} lladdr {mac('ba', f'{pod.namespace}.{pod.name}')} dev eth0 nud permanent",
            f"route add {gateway} dev eth0 scope link",
            f"route add default via {gateway} dev eth0 mtu {host.mtu_bytes}",
        ]
    own = pod.address or ""
    if host.bridge is None:
        gateway = CALICO_POD_GATEWAY_6 if is_six(own) else CALICO_POD_GATEWAY
        return [
            "link set eth0 up",
            f"addr add {on_device(own)} dev eth0",
            *([] if is_six(own) else [f"route add {gateway} dev eth0 scope link"]),
            f"route add default via {gateway} dev eth0",
        ]
    gateway = nth(host.pod_cidr, 1)
    return [
        "link set eth0 up",
        f"addr add {on_device(own, prefix_bits(own))} dev eth0",
        f"route add {lab.pod_cidr} via {gateway} dev eth0",
        f"route add default via {gateway} dev eth0",
    ]


def settings(lab: Lab, netns: str) -> dict[str, str]:
    """Paths below /proc/sys -> values, for a namespace. Nothing here is left to the machine's defaults, which new namespaces inherit."""
    six = lab.family == "6"
    values = {f"net/ipv6/conf/{which}/disable_ipv6": "0" if six else "1" for which in ("all", "default")}
    values |= {"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0"}
    hosts = {node.netns: node for node in lab.nodes}
    values["net/ipv4/ip_forward"] = "1" if netns in hosts else "0"
    if six:
        values |= _settings_6(lab, netns)
    if netns == lab.fabric:
        values["net/bridge/bridge-nf-call-iptables"] = "0"
    if netns not in hosts:
        return values
    values[f"net/bridge/bridge-nf-call-{iptables(hosts[netns].address)}"] = "1"
    if lab.backend == "calico" and not six:
        for pod in lab.pods_on(hosts[netns].name):
            values[f"net/ipv4/conf/{pod.host_interface}/proxy_arp"] = "1"
            # The kernel delays a proxy's answer by up to 0.8 s otherwise (arp(7), proxy_delay).
            values[f"net/ipv4/neigh/{pod.host_interface}/proxy_delay"] = "0"
    return values


def _settings_6(lab: Lab, netns: str) -> dict[str, str]:
    """The same for IPv6: who forwards, and addresses that count at once (ip-sysctl.rst, accept_dad) and come from no router."""
    nodes = [node for node in lab.nodes if node.netns == netns]
    devices = [pod.host_interface or "" for node in nodes for pod in lab.pods_on(node.name)] + [node.underlay_interface for node in nodes]
    if netns == lab.fabric:
        devices = [node.fabric_port for node in lab.nodes]
    elif not nodes:
        devices = ["eth0"]
    values = {f"net/ipv6/conf/{name}/{key}": "0" for name in ("all", "default", *devices) for key in ("accept_dad", "accept_ra")}
    return values | {"net/ipv6/conf/all/forwarding": "1" if nodes else "0"}


def address_in(node: LabNode, place: int) -> str:
    """An address of a node's block by its place, from the end if negative."""
    return nth(node.pod_cidr, place)
