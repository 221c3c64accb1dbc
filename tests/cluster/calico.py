"""A network of Calico's shape: its VXLAN device, routes, rules and pods' links, made by ip(8) and a CNI plug-in of ours.

Calico's own module is not to be had as a Go module; what the plugin looks at (devices, routes, FDB, neighbours, rules, annotations) is as
Felix and Calico's CNI plug-in make it.
"""

import json
import shlex
import sys

from tests.cluster import nodes, places
from tests.cluster.kubectl import Kubectl, last_words, wait_for
from tests.cluster.machine import Machine
from tests.datapath import calico_rules, tools, wiring
from tests.datapath.records import Lab, LabNode

PLUGIN = "vxtrace-calico"
_BUILT_IN = ("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING")


def start(lab: Lab, machine: Machine) -> None:
    """VXLAN device with addresses, routes, neighbours and FDB, then Felix's rules in front of kube-proxy's, then the CNI configuration.

    Raises:
        LabError: a command failed, or kube-proxy wrote no rules.
    """
    node = lab.node(machine.node)
    tools.ip_batch(node.netns, [*wiring.overlay(lab, node), f"route add blackhole {node.pod_cidr} proto 80"])
    tools.bridge_batch(node.netns, wiring.forwarding(lab, node))
    wait_for(
        f"{node.name}'s kube-proxy rules",
        lambda: "KUBE-SERVICES" in machine.run(["iptables", "-w", "-t", "nat", "-S"], check=False).stdout,
        30,
        lambda: last_words(machine.state, f"kube-proxy-{node.name}"),
    )
    machine.run(["iptables-restore", "-w", "--noflush"], text=felix_rules(lab, node))
    _install_plugin(lab, machine, node)


def felix_rules(lab: Lab, node: LabNode) -> str:
    """The lab's rules of a node without kube-proxy's, which the real one writes; jumps to Felix's chains come first, as Felix puts them."""
    lines = []
    for line in calico_rules.ruleset(lab, node).splitlines():
        if "KUBE-" in line:
            continue
        words = line.split(maxsplit=2)
        first = len(words) == 3 and words[0] == "-A" and words[1] in _BUILT_IN and "-j cali-" in line
        lines.append(f"-I {words[1]} 1 {words[2]}" if first else line)
    return "\n".join(lines) + "\n"


def _install_plugin(lab: Lab, machine: Machine, node: LabNode) -> None:
    """The plug-in is a module of this package; containerd calls it by a script of its name."""
    script = nodes.plugin_directory(machine) / PLUGIN
    words = shlex.join([sys.executable, "-m", "tests.cluster.calico_cni"])
    script.write_text(f"#!/bin/sh\ncd {shlex.quote(str(places.ROOT))} && exec {words}\n")
    script.chmod(0o755)
    plugin = {
        "type": PLUGIN,
        "node": node.name,
        "state": lab.state_dir,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pod_cidr, "rangeStart": _first_pod(node)}]]},
    }
    path = nodes.cni_directory(machine) / "10-calico.conflist"
    plugins = [plugin, {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}]
    path.write_text(json.dumps({"cniVersion": "0.3.1", "name": "k8s-pod-network", "plugins": plugins}, indent=1))


def _first_pod(node: LabNode) -> str:
    """The block's first address is the VTEP's."""
    start, _, last = node.vtep_address.rpartition(".")
    return f"{start}.{int(last) + 1}"


def annotate(lab: Lab, kubectl: Kubectl) -> None:
    """What calico-node publishes of a node (libcalico-go, backend/k8s/resources/node.go). Raises LabError."""
    for node in lab.nodes:
        address = f"projectcalico.org/IPv4Address={node.address}/{wiring.PREFIX_BITS}"
        kubectl.run("annotate", "node", node.name, "--overwrite", address, f"projectcalico.org/IPv4VXLANTunnelAddr={node.vtep_address}")
