"""Rules of a node that come and go: inserted, taken out, or all as they would be for other records."""

import dataclasses
import shlex

from . import calico_rules, flannel_rules, proxy_rules, servers, tools, wiring
from .family import iptables
from .fault_actions import has_rule
from .fault_record import Action, peer
from .records import Lab, LabNode

RULESETS = {"calico": calico_rules.ruleset, "flannel": flannel_rules.ruleset, "cilium": proxy_rules.ruleset}
"""All tables of a node, by the network's shape."""


def load(lab: Lab, node: LabNode) -> None:
    """Every rule of a node as these records ask for; what else stood in the tables of iptables is gone."""
    ruleset = RULESETS[lab.backend]
    tools.run_inside(node.netns, [f"{iptables(node.address)}-restore", "-w"], text=ruleset(lab, node))


def with_dead_dns(lab: Lab) -> Lab:
    """The records as they were when kube-dns had other pods: addresses of the same nodes that no pod has now."""
    dead = {pod.name: wiring.address_in(lab.node(pod.node or ""), -6) for pod in servers.dns_pods(lab)}
    return dataclasses.replace(lab, pods=tuple(dataclasses.replace(pod, address=dead.get(pod.name, pod.address)) for pod in lab.pods))


def reload(lab: Lab, node: LabNode, percent: int) -> None:
    """The same, as an action that undoes what was taken out."""
    load(lab, node)


def insert(chain: str, words: str, *, table: str = "filter") -> tuple[Action, Action]:
    """Put a rule first in a chain, and take it away.

    `words` may have {peer} and {node}, their underlay addresses, {device}, the node's VXLAN device, {client}, the client pod's address,
    {port}, the VXLAN port, {server}, the address of the first DNS pod (the one on ada-ec-2).
    """

    def spec(lab: Lab, node: LabNode) -> list[str]:
        return words.format(
            peer=peer(lab, node).address,
            node=node.address,
            device=node.vtep_interface,
            client=servers.client(lab).address,
            port=node.vxlan_port,
            server=servers.dns_pods(lab)[0].address,
        ).split()

    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        if not has_rule(node, chain, spec(lab, node), table=table):
            tools.run_inside(node.netns, [iptables(node.address), "-w", "-t", table, "-I", chain, "1", *spec(lab, node)])

    def undo(lab: Lab, node: LabNode, percent: int) -> None:
        if has_rule(node, chain, spec(lab, node), table=table):
            tools.run_inside(node.netns, [iptables(node.address), "-w", "-t", table, "-D", chain, *spec(lab, node)])

    return apply, undo


def take_out(node: LabNode, table: str, chain: str, text: str) -> None:
    """Delete the rules of a chain in whose text this stands."""
    listed = tools.run_inside(node.netns, [iptables(node.address), "-w", "-t", table, "-S", chain]).stdout
    for line in listed.splitlines():
        if line.startswith("-A ") and text in line:
            tools.run_inside(node.netns, [iptables(node.address), "-w", "-t", table, "-D", *shlex.split(line)[1:]])
