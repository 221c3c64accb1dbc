"""Changes of the nodes by which no packet is lost: healthy ones, on which nothing may be found, and those that a report must tell of."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.datapath import overlay_faults, servers, tools
from tests.datapath.records import Lab, LabNode

OFFLOADS = ("tso", "gso", "gro")


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


Change = Callable[[Lab], None]

# name -> (make, unmake); healthy ones.
ODDITIES: dict[str, tuple[Change, Change]] = {
    "": (lambda _: None, lambda _: None),
    "no offloads": (lambda lab: _offload(lab, "off"), lambda lab: _offload(lab, "on")),
    "strict reverse path filter": (lambda lab: _rp_filter(lab, "1"), lambda lab: _rp_filter(lab, "0")),
    "IPv6 between the nodes": (overlay_faults.over_ipv6, overlay_faults.over_ipv4),
    "direct routes": (lambda lab: _direct(lab, on=True), lambda lab: _direct(lab, on=False)),
}

# Those that tests/truth/cases.py has a truth for.
STRANGE: dict[str, tuple[Change, Change]] = {
    "bridged packets pass no filter": (lambda lab: _bridge_filter(lab, "0"), lambda lab: _bridge_filter(lab, "1")),
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
