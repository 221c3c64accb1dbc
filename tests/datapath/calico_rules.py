"""Felix's rules, in the shape that Calico 3.30 writes them (iptables data plane, VXLAN), as text for iptables-restore(8).

The allowed VXLAN hosts stand in rules of their own, one for each: Felix keeps them in an ipset, which the lab does without.
"""

import base64
import hashlib

from . import proxy_rules
from .family import alone, is_six
from .proxy_rules import Table, comment
from .records import Lab, LabNode, LabPod

ACCEPTED = "0x10000/0x10000"  # Felix's mark "policy accepted this packet"


def add(table: Table, chain: str, rule: str, text: str = "") -> None:
    """Append a rule with Felix's comments: its hash, and what it is for. The hash is of our text, not Felix's own."""
    digest = base64.urlsafe_b64encode(hashlib.sha224(f"{chain} {rule} {text}".encode()).digest()).decode()[:16]
    words = f" {comment(text)}" if text else ""
    before, _, action = rule.rpartition("-j ") if "-j " in rule else rule.rpartition("-g ")
    table.add(chain, f"{before}{comment(f'cali:{digest}')}{words} {rule[len(before) : len(before) + 3]}{action}")


def ruleset(lab: Lab, node: LabNode) -> str:
    """All tables of a node."""
    return "".join([_raw(node), _mangle(), _filter(lab, node), _nat(lab, node)])


def _raw(node: LabNode) -> str:
    table = Table()
    for chain in ("cali-OUTPUT", "cali-PREROUTING", "cali-rpf-skip"):
        table.chain(chain)
    for hook in ("PREROUTING", "OUTPUT"):
        add(table, hook, f"-j cali-{hook}")
        add(table, f"cali-{hook}", "-j MARK --set-xmark 0x0/0x1b0000")
        add(table, f"cali-{hook}", f"-p udp -m udp --dport {node.vxlan_port} -j NOTRACK")
    add(table, "cali-PREROUTING", "-i cali+ -j MARK --set-xmark 0x80000/0x80000")
    add(table, "cali-PREROUTING", "-m mark --mark 0x80000/0x80000 -j cali-rpf-skip")
    add(table, "cali-PREROUTING", "-m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j DROP")
    for hook in ("PREROUTING", "OUTPUT"):
        add(table, f"cali-{hook}", f"-m mark --mark {ACCEPTED} -j ACCEPT")
    return table.text("raw")


def _mangle() -> str:
    table = Table()
    for hook in ("PREROUTING", "POSTROUTING"):
        table.chain(f"cali-{hook}")
        add(table, hook, f"-j cali-{hook}")
    add(table, "cali-PREROUTING", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    add(table, "cali-PREROUTING", f"-m mark --mark {ACCEPTED} -j ACCEPT")
    add(table, "cali-POSTROUTING", f"-m mark --mark {ACCEPTED} -j RETURN")
    add(table, "cali-POSTROUTING", "-j MARK --set-xmark 0x0/0x1b0000")
    return table.text("mangle")


def _filter(lab: Lab, node: LabNode) -> str:
    table = Table()
    for hook in ("INPUT", "FORWARD", "OUTPUT"):
        table.chain(f"cali-{hook}")
        add(table, hook, f"-j cali-{hook}")
        proxy_rules.filter_hooks(table, hook)
    add(table, "FORWARD", f"-m mark --mark {ACCEPTED} -j ACCEPT", "Policy explicitly accepted packet.")
    add(table, "FORWARD", f"-j MARK --set-xmark {ACCEPTED}")
    for chain in ("cali-from-wl-dispatch", "cali-to-wl-dispatch", "cali-wl-to-host"):
        table.chain(chain)
    add(table, "cali-FORWARD", "-j MARK --set-xmark 0x0/0x1a0000")
    add(table, "cali-FORWARD", "-i cali+ -j cali-from-wl-dispatch")
    add(table, "cali-FORWARD", "-o cali+ -j cali-to-wl-dispatch")
    _host(lab, node, table)
    pods = lab.pods_on(node.name)
    for namespace in dict.fromkeys(pod.namespace for pod in pods):
        for direction, chain in (("ingress", f"cali-pri-kns.{namespace}"), ("egress", f"cali-pro-kns.{namespace}")):
            table.chain(chain)
            add(table, chain, f"-j MARK --set-xmark {ACCEPTED}", f"Profile kns.{namespace} {direction}")
    for pod in pods:
        add(table, "cali-from-wl-dispatch", f"-i {pod.host_interface} -g cali-fw-{pod.host_interface}")
        add(table, "cali-to-wl-dispatch", f"-o {pod.host_interface} -g cali-tw-{pod.host_interface}")
        workload(table, node, pod, "egress", policy=None)
        workload(table, node, pod, "ingress", policy=None)
    for chain in ("cali-from-wl-dispatch", "cali-to-wl-dispatch"):
        add(table, chain, "-j DROP", "Unknown interface")
    proxy_rules.filter_chains(lab, table)
    return table.text("filter")


def _host(lab: Lab, node: LabNode, table: Table) -> None:
    """VXLAN from and to the cluster's nodes only, and what pods may say to their node."""
    vxlan = f"-m multiport --dports {node.vxlan_port}"
    hosts = [peer.address for peer in lab.nodes if peer.name != node.name]
    for host in hosts:
        rule = f"-s {alone(host)} -p udp {vxlan} -m addrtype --dst-type LOCAL -j ACCEPT"
        add(table, "cali-INPUT", rule, "Allow IPv4 VXLAN packets from allowed hosts")
    add(table, "cali-INPUT", f"-p udp {vxlan} -m addrtype --dst-type LOCAL -j DROP", "Drop IPv4 VXLAN packets from non-allowed hosts")
    add(table, "cali-INPUT", "-i cali+ -g cali-wl-to-host")
    add(table, "cali-INPUT", f"-m mark --mark {ACCEPTED} -j ACCEPT")
    add(table, "cali-wl-to-host", "-j cali-from-wl-dispatch")
    add(table, "cali-wl-to-host", "-j ACCEPT", "Configured DefaultEndpointToHostAction")
    add(table, "cali-OUTPUT", f"-m mark --mark {ACCEPTED} -j ACCEPT")
    add(table, "cali-OUTPUT", "-o cali+ -j RETURN")
    for host in hosts:
        rule = f"-d {alone(host)} -p udp {vxlan} -m addrtype --src-type LOCAL -j ACCEPT"
        add(table, "cali-OUTPUT", rule, "Allow IPv4 VXLAN packets to other allowed hosts")


def workload_chain(pod: LabPod, direction: str) -> str:
    """The chain of what goes to a pod (direction "ingress") or comes from it ("egress")."""
    return f"cali-{'tw' if direction == 'ingress' else 'fw'}-{pod.host_interface}"


def policy_chain(pod: LabPod, direction: str) -> str:
    """The chain of the one policy that the lab can put on a pod."""
    digest = base64.urlsafe_b64encode(hashlib.sha224(f"knp.default.t {pod.namespace} {direction}".encode()).digest()).decode()
    return f"cali-{'pi' if direction == 'ingress' else 'po'}-_{digest[:19]}"  # iptables takes 28 characters


def workload(table: Table, node: LabNode, pod: LabPod, direction: str, *, policy: str | None) -> None:
    """A pod's chain: what `policy` (a chain) does not accept ends at the tier's drop; without one the namespace's profile accepts all."""
    chain = workload_chain(pod, direction)
    table.chain(chain)
    add(table, chain, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    add(table, chain, "-m conntrack --ctstate INVALID -j DROP")
    add(table, chain, "-j MARK --set-xmark 0x0/0x30000")
    if direction == "egress":
        vxlan = f"-p udp -m multiport --dports {node.vxlan_port}"
        add(table, chain, f"{vxlan} -j DROP", "Drop VXLAN encapped packets originating in workloads")
        if not is_six(node.address):
            add(table, chain, "-p ipencap -j DROP", "Drop IPinIP encapped packets originating in workloads")
    if policy is not None:
        add(table, chain, "-j MARK --set-xmark 0x0/0x20000", "Start of tier default")
        add(table, chain, f"-m mark --mark 0x0/0x20000 -j {policy}")
        add(table, chain, f"-m mark --mark {ACCEPTED} -j RETURN", "Return if policy accepted")
        add(table, chain, "-m mark --mark 0x0/0x20000 -j DROP", "End of tier default. Drop if no policies passed packet")
    profile = f"cali-{'pri' if direction == 'ingress' else 'pro'}-kns.{pod.namespace}"
    add(table, chain, f"-j {profile}")
    add(table, chain, f"-m mark --mark {ACCEPTED} -j RETURN", "Return if profile accepted")
    add(table, chain, "-j DROP", "Drop if no profiles matched")


def _nat(lab: Lab, node: LabNode) -> str:
    table = Table()
    for chain in ("cali-OUTPUT", "cali-POSTROUTING", "cali-PREROUTING", "cali-fip-dnat", "cali-fip-snat", "cali-nat-outgoing"):
        table.chain(chain)
    add(table, "PREROUTING", "-j cali-PREROUTING")
    add(table, "OUTPUT", "-j cali-OUTPUT")
    proxy_rules.nat(lab, table)
    add(table, "POSTROUTING", "-j cali-POSTROUTING")
    add(table, "cali-PREROUTING", "-j cali-fip-dnat")
    add(table, "cali-OUTPUT", "-j cali-fip-dnat")
    add(table, "cali-POSTROUTING", "-j cali-fip-snat")
    add(table, "cali-POSTROUTING", "-j cali-nat-outgoing")
    tunnel = f"-o {node.vtep_interface} -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL"
    add(table, "cali-POSTROUTING", f"{tunnel} -j MASQUERADE --random-fully")
    add(table, "cali-nat-outgoing", f"-s {lab.pod_cidr} ! -d {lab.pod_cidr} -j MASQUERADE --random-fully")
    return table.text("nat")
