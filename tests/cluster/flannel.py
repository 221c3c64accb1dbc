"""The real flannel: its daemon on each node, and the CNI configuration that its own plug-in would write from the subnet file."""

import json
from pathlib import Path

from tests.cluster import nodes
from tests.cluster.binaries import Binaries
from tests.cluster.kubectl import last_words, wait_for
from tests.cluster.machine import Machine
from tests.datapath.records import Lab

DAEMON = "flanneld"


def start(lab: Lab, machine: Machine, binaries: Binaries) -> None:
    """Start flanneld; it waits until its node has a network."""
    configuration = machine.directory / "flannel.json"
    configuration.write_text(json.dumps({"Network": lab.pod_cidr, "EnableIPv4": True, "Backend": {"Type": "vxlan"}}))
    argv = [
        binaries["flanneld"],
        "--kubeconfig",
        f"{machine.state}/pki/flannel.kubeconfig",
        "--net-conf",
        str(configuration),
        "--iface",
        lab.node(machine.node).underlay_interface,
        "--subnet-file",
        str(subnet_file(machine)),
    ]
    machine.start(DAEMON, argv, {"NODE_NAME": machine.node, "POD_NAME": machine.node, "POD_NAMESPACE": "kube-flannel"})


def subnet_file(machine: Machine) -> Path:
    """What flanneld writes once it has a subnet (FLANNEL_SUBNET, FLANNEL_MTU)."""
    return machine.directory / "flannel-subnet.env"


def configure(lab: Lab, machine: Machine) -> None:
    """Wait for the node's subnet, then write the CNI configuration, which makes the node ready. Raises LabError."""
    wait_for(
        f"{machine.node}'s flannel subnet", subnet_file(machine).exists, 60, lambda: last_words(machine.state, f"{DAEMON}-{machine.node}")
    )
    values = dict(line.split("=", 1) for line in subnet_file(machine).read_text().splitlines())
    path = nodes.cni_directory(machine) / "10-flannel.conflist"
    path.write_text(json.dumps(conflist(lab.pod_cidr, values), indent=1))


def conflist(network: str, values: dict[str, str]) -> dict[str, object]:
    """As kube-flannel's cni-conf.json and the flannel plug-in (flannel-io/cni-plugin) make it: a bridge, host-local, port mappings."""
    address, _, bits = values["FLANNEL_SUBNET"].partition("/")
    subnet = f"{address.rpartition('.')[0]}.0/{bits}"  # the file has the bridge's address in it
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "mtu": int(values["FLANNEL_MTU"]),
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": network}]},
    }
    return {
        "cniVersion": "0.3.1",
        "name": "cbr0",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
