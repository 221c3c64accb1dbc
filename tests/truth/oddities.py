"""Changes of the nodes that are no fault of the table: healthy ones, of which nothing may be said, and those that must be told of."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.datapath import overlay_faults, servers, tools
from tests.datapath.records import Lab, LabNode

OFFLOADS = ("tso", "gso", "gro")
BEHIND_POD, FROM_THERE = "192.168.7.0/24", "192.168.7.20"
_NO_GATEWAY = "table ip gateway { }\ndelete table ip gateway\n"


def _features(node: LabNode, device: str, state: str) -> None:
    words = [word for feature in OFFLOADS for word in (feature, state)]
    tools.run_inside(node.netns, ["ethtool", "-K", device, *words])


def _offload(lab: Lab, state: str) -> None:
    for node in lab.nodes:
        _features(node, node.underlay_interface, state)
        _features(node, node.vtep_interface, state)


def _rp_filter(lab: Lab, value: str) -> None:
    for node in lab.nodes:
        tools.run_inside(node.netns, ["sysctl", "-q", "-w", f"net.ipv4.conf.all.rp_filter={value}"])


def _direct(lab: Lab, *, on: bool) -> None:
    """Nodes of one subnet without encapsulation, as Calico's CrossSubnet and flannel's DirectRouting do."""
    for node in lab.nodes:
        for peer in lab.nodes:
            if peer.name != node.name:
                way = (
                    f"via {peer.address} dev {node.underlay_interface}"
                    if on
                    else f"via {peer.vtep_address} dev {node.vtep_interface} onlink"
                )
                tools.ip_batch(node.netns, [f"route replace {peer.pod_cidr} {way}"])


def _bridge_filter(lab: Lab, value: str) -> None:
    for node in lab.nodes:
        tools.run_inside(node.netns, ["sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-iptables={value}"])


def _bare_replies(lab: Lab, *, on: bool) -> None:
    """The nodes of the DNS pods take the client's for one of their subnet, and it does not take them for such."""
    home = lab.node(servers.client(lab).node or "")
    for node in lab.nodes:
        if node.name != home.name:
            way = f"via {home.address} dev {node.underlay_interface}" if on else f"via {home.vtep_address} dev {node.vtep_interface} onlink"
            tools.ip_batch(node.netns, [f"route replace {home.pod_cidr} {way}"])


def _gateway(lab: Lab) -> None:
    """The client's pod routes for a network, as a VPN's does: a part of what it sends has a source there, and its node knows the way."""
    pod = servers.client(lab)
    node = lab.node(pod.node or "")
    device = node.bridge or pod.host_interface
    tools.ip_batch(node.netns, [f"route replace {BEHIND_POD} via {pod.address} dev {device} onlink"])
    # A ping has one identifier for as long as it runs: all of it would come from there, and nothing from the pod itself.
    rule = f"ip saddr {pod.address} meta l4proto {{ tcp, udp }} numgen random mod 3 0 snat to {FROM_THERE};"
    chain = f"chain out {{ type nat hook postrouting priority 100; policy accept; {rule} }};"
    tools.run_inside(pod.netns or "", ["nft", "-f", "-"], text=f"{_NO_GATEWAY}table ip gateway {{ {chain} }}\n")


def _no_gateway(lab: Lab) -> None:
    pod = servers.client(lab)
    tools.run_inside(pod.netns or "", ["nft", "-f", "-"], text=_NO_GATEWAY)
    tools.run_inside(lab.node(pod.node or "").netns, ["ip", "route", "delete", BEHIND_POD], check=False)  # made half, if at all


def _other_ports(lab: Lab) -> None:
    """The client's node gives its connections other client ports, as NAT does where two clash."""
    pod = servers.client(lab)
    rule = f"ip saddr {pod.address} udp dport 53 snat to {pod.address}:20000-29999;"
    chain = f"chain out {{ type nat hook postrouting priority 90; policy accept; {rule} }};"
    tools.run_inside(lab.node(pod.node or "").netns, ["nft", "-f", "-"], text=f"{_NO_GATEWAY}table ip gateway {{ {chain} }}\n")


def _own_ports(lab: Lab) -> None:
    tools.run_inside(lab.node(servers.client(lab).node or "").netns, ["nft", "-f", "-"], text=_NO_GATEWAY)


Change = Callable[[Lab], None]

# name -> (make, unmake); healthy ones.
ODDITIES: dict[str, tuple[Change, Change]] = {
    "": (lambda _: None, lambda _: None),
    "no offloads": (lambda lab: _offload(lab, "off"), lambda lab: _offload(lab, "on")),
    "strict reverse path filter": (lambda lab: _rp_filter(lab, "1"), lambda lab: _rp_filter(lab, "0")),
    "IPv6 between the nodes": (overlay_faults.over_ipv6, overlay_faults.over_ipv4),
    "direct routes": (lambda lab: _direct(lab, on=True), lambda lab: _direct(lab, on=False)),
    "a pod that routes for others": (_gateway, _no_gateway),
}

# Those that tests/truth/cases.py has a truth for.
STRANGE: dict[str, tuple[Change, Change]] = {
    "bridged packets pass no filter": (lambda lab: _bridge_filter(lab, "0"), lambda lab: _bridge_filter(lab, "1")),
    "other client ports": (_other_ports, _own_ports),
    "replies go bare": (lambda lab: _bare_replies(lab, on=True), lambda lab: _bare_replies(lab, on=False)),
}


@contextmanager
def made(lab: Lab, name: str) -> Iterator[None]:
    """The change, while the context lasts."""
    make, unmake = {**ODDITIES, **STRANGE}[name]
    try:
        make(lab)
        yield
    finally:
        unmake(lab)
