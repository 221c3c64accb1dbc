"""The rules of flannel, and of kube-router's policy controller, which k3s runs beside it; as text for iptables-restore(8)."""

import hashlib

from . import proxy_rules
from .family import alone, is_six
from .proxy_rules import Table, comment
from .records import Lab, LabNode, LabPod


def ruleset(lab: Lab, node: LabNode) -> str:
    """All tables of a node."""
    return _filter(lab) + _nat(lab, node)


def _filter(lab: Lab) -> str:
    table = Table()
    table.chain("FLANNEL-FWD")
    for hook in ("INPUT", "FORWARD", "OUTPUT"):
        proxy_rules.filter_hooks(table, hook)
    table.add("FORWARD", f"{comment('flanneld forward')} -j FLANNEL-FWD")
    for side in ("-s", "-d"):
        table.add("FLANNEL-FWD", f"{side} {lab.pod_cidr} {comment('flanneld forward')} -j ACCEPT")
    proxy_rules.filter_chains(lab, table)
    return table.text("filter")


def _nat(lab: Lab, node: LabNode) -> str:
    """Masquerading of what leaves the pods' network, and of what enters it from outside."""
    table = Table()
    table.chain("FLANNEL-POSTRTG")
    proxy_rules.nat(lab, table)
    title, chain, pods, own = comment("flanneld masq"), "FLANNEL-POSTRTG", lab.pod_cidr, node.pod_cidr
    multicast = "ff00::/8" if is_six(node.address) else "224.0.0.0/4"
    table.add("POSTROUTING", f"{title} -j {chain}")
    table.add(chain, f"-m mark --mark 0x4000/0x4000 {title} -j RETURN")
    table.add(chain, f"-s {own} -d {pods} {title} -j RETURN")
    table.add(chain, f"-s {pods} -d {own} {title} -j RETURN")
    table.add(chain, f"! -s {pods} -d {own} {title} -j RETURN")
    table.add(chain, f"-s {pods} ! -d {multicast} {title} -j MASQUERADE --random-fully")
    table.add(chain, f"! -s {pods} -d {pods} {title} -j MASQUERADE --random-fully")
    return table.text("nat")


def policy_chain(pod: LabPod) -> str:
    """kube-router's firewall chain of a pod."""
    digest = hashlib.sha256(f"{pod.namespace}/{pod.name}".encode()).hexdigest()
    return f"KUBE-POD-FW-{digest[:16].upper()}"


def policy(table: Table, pod: LabPod, allowed: str) -> None:
    """A pod's firewall chain that lets established traffic through, and what a network may, and drops the rest, which no policy accepts."""
    chain = policy_chain(pod)
    table.chain(chain)
    table.add(chain, f"{comment('rule for stateful firewall for pod')} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
    table.add(chain, f"{comment('rule to ACCEPT traffic from source pods to dest pods selected by policy')} -s {allowed} -j RETURN")
    words = f"network policy default deny: rule to DROP traffic of POD name:{pod.name} namespace: {pod.namespace}"
    table.add(chain, f"{comment(words)} -j DROP")


def policy_jump(pod: LabPod, direction: str) -> str:
    """The match and jump in FORWARD that leads what goes to a pod ("ingress") or comes from it ("egress") into its chain."""
    side, preposition = ("-d", "to") if direction == "ingress" else ("-s", "from")
    words = f"rule to jump traffic {preposition} POD name:{pod.name} namespace: {pod.namespace} to chain {policy_chain(pod)}"
    return f"{side} {alone(pod.address or '')} {comment(words)} -j {policy_chain(pod)}"
