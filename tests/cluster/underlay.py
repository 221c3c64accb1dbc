"""The network between the nodes, as tests/datapath wires it, and the cable by which this machine reaches the API."""

import json

from tests.datapath import network, tools, wiring
from tests.datapath.records import Lab
from tests.datapath.tools import LabError

HOST_INTERFACE = "vxtrace-host"
HOST_ADDRESS = "10.128.0.250"
_FABRIC_PORT = "to-host"


def make(lab: Lab) -> None:
    """Namespaces of the fabric and the nodes, cables, addresses; with Calico's shape also the VXLAN devices.

    Raises:
        LabError: a command failed, or this machine's own network has a use for the nodes' addresses.
    """
    _refuse_clash(lab)
    tools.ip_batch(None, wiring.links(lab))
    for netns in lab.namespaces():
        values = "".join(f"{key} {value}\n" for key, value in wiring.settings(lab, netns).items())
        tools.run_inside(netns, ["sh", "-c", network.WRITE_SETTINGS], text=values)
        tools.ip_batch(netns, wiring.mark(lab))
    tools.ip_batch(lab.fabric, wiring.fabric(lab))
    for node in lab.nodes:
        tools.ip_batch(
            node.netns,
            [
                f"addr add {node.address}/{wiring.PREFIX_BITS} brd + dev {node.underlay_interface}",
                f"link set {node.underlay_interface} up",
                f"route add default via {wiring.GATEWAY} dev {node.underlay_interface} proto dhcp src {node.address} metric 100",
            ],
        )
    _connect_host(lab)


def _connect_host(lab: Lab) -> None:
    """A veth into the underlay's bridge, and a route to each node's address, no more: kubectl on this machine then needs no namespace."""
    tools.ip_batch(
        None,
        [
            f"link add {HOST_INTERFACE} mtu 1460 type veth peer name {_FABRIC_PORT} mtu 1460 netns {lab.fabric}",
            f"addr add {HOST_ADDRESS}/32 dev {HOST_INTERFACE}",
            f"link set {HOST_INTERFACE} up",
            *(f"route add {node.address}/32 dev {HOST_INTERFACE} src {HOST_ADDRESS}" for node in lab.nodes),
        ],
    )
    tools.ip_batch(lab.fabric, [f"link set {_FABRIC_PORT} master {wiring.UNDERLAY_BRIDGE} up"])


def _refuse_clash(lab: Lab) -> None:
    """An address that a route other than the default one leads to is somebody's."""
    for node in lab.nodes:
        answer = tools.run(["ip", "-4", "-j", "route", "show", "match", node.address])
        for route in json.loads(answer.stdout or "[]"):
            if route["dst"] != "default":
                raise LabError(
                    f"this machine has a route to {route['dst']}, so {node.address} may be somebody's; the cluster cannot use it. "
                    "Run it in a network namespace of its own: `unshare --net make cluster-up`"
                )


def remove_host_cable() -> None:
    """Take the cable away, if it is there (deleting the fabric's namespace would, a moment later). Raises LabError."""
    if tools.run(["ip", "link", "show", HOST_INTERFACE], check=False).returncode == 0:
        tools.run(["ip", "link", "delete", HOST_INTERFACE])
