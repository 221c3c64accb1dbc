"""How each fault is made and unmade. Every function here may be run twice, and unmaking what was never made changes nothing."""

from collections.abc import Callable

from . import calico_rules, flannel_rules, servers, tools, wiring
from .family import alone, iptables, is_six
from .fault_record import Action, peer
from .proxy_rules import Table
from .records import Lab, LabNode, LabPod
from .tools import LabUsageError

RuleMaker = Callable[[LabNode], list[str]]

WRONG_VNI_STEP = 1
WRONG_PORT_STEP = 1
NOBODYS_NETWORKS = {"4": "192.0.2.0/24", "6": "2001:db8::/32"}  # RFC 5737, 3; RFC 3849


def block_underlay(lab: Lab, node: LabNode, percent: int) -> None:
    """Drop VXLAN on the underlay's port towards a node: before its NIC, so that its captures cannot see it."""
    part = f"numgen random mod 100 < {percent} " if percent < 100 else ""
    rule = f'oifname "{node.fabric_port}" udp dport {node.vxlan_port} {part}counter drop;'
    chain = f"chain forward {{ type filter hook forward priority 0; policy accept; {rule} }};"
    tools.run_inside(
        lab.fabric,
        ["nft", "-f", "-"],
        text=f"{_fresh_table('bridge', _underlay_table(node))}table bridge {_underlay_table(node)} {{ {chain} }}\n",
    )


def unblock_underlay(lab: Lab, node: LabNode, percent: int) -> None:
    """Undo `block_underlay`."""
    tools.run_inside(lab.fabric, ["nft", "-f", "-"], text=_fresh_table("bridge", _underlay_table(node)))


def _underlay_table(node: LabNode) -> str:
    return node.fabric_port.replace("-", "_")


def _fresh_table(family: str, name: str) -> str:
    """nft: the table is gone, whether it was there or not."""
    return f"table {family} {name} {{ }}\ndelete table {family} {name}\n"


def drop_vxlan(node: LabNode) -> list[str]:
    """iptables: a rule that drops VXLAN on its way in."""
    return [*_vxlan_match(node), "-j", "DROP"]


def reject_vxlan(node: LabNode) -> list[str]:
    """iptables: one that refuses it as the firewalls of Red Hat's and Oracle's images do."""
    kind = "icmp6-adm-prohibited" if is_six(node.address) else "icmp-host-prohibited"
    return [*_vxlan_match(node), "-j", "REJECT", "--reject-with", kind]


def _vxlan_match(node: LabNode) -> list[str]:
    return ["-p", "udp", "-m", "udp", "--dport", str(node.vxlan_port)]


def input_rule(make: RuleMaker) -> tuple[Action, Action]:
    """Put a rule first in INPUT, and take it away: in front of Felix's, which accepts VXLAN from the cluster's nodes."""

    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        spec = _spec(node, percent)
        if not has_rule(node, "INPUT", spec):
            tools.run_inside(node.netns, [iptables(node.address), "-w", "-I", "INPUT", "1", *spec])

    def undo(lab: Lab, node: LabNode, percent: int) -> None:
        spec = _spec(node, percent)
        if has_rule(node, "INPUT", spec):
            tools.run_inside(node.netns, [iptables(node.address), "-w", "-D", "INPUT", *spec])

    def _spec(node: LabNode, percent: int) -> list[str]:
        part = ["-m", "statistic", "--mode", "random", "--probability", f"{percent / 100:.2f}"] if percent < 100 else []
        return [*part, *make(node)]

    return apply, undo


def has_rule(node: LabNode, chain: str, spec: list[str], *, table: str = "filter") -> bool:
    """Whether the rule is there; a chain it would jump to may be missing, the namespace may not."""
    done = tools.run_inside(node.netns, [iptables(node.address), "-w", "-t", table, "-C", chain, *spec], check=False)
    if done.stderr.startswith("nsenter:"):
        raise tools.LabError(f"{node.name}: {done.stderr.strip()}")
    return done.returncode == 0


def nft_firewall(lab: Lab, node: LabNode, percent: int) -> None:
    """A table of its own behind Felix's chains, as firewalld's: what iptables accepted is still dropped here."""
    part = f"numgen random mod 100 < {percent} " if percent < 100 else ""
    rule = f"udp dport {node.vxlan_port} {part}counter drop;"
    chain = f"chain filter_INPUT {{ type filter hook input priority 10; policy accept; {rule} }};"
    tools.run_inside(node.netns, ["nft", "-f", "-"], text=f"{_fresh_table('inet', 'firewalld')}table inet firewalld {{ {chain} }}\n")


def no_nft_firewall(lab: Lab, node: LabNode, percent: int) -> None:
    """Undo `nft_firewall`."""
    tools.run_inside(node.netns, ["nft", "-f", "-"], text=_fresh_table("inet", "firewalld"))


def wrong_vni(lab: Lab, node: LabNode, percent: int) -> None:
    """The node's VXLAN device, made anew with another VNI; everything else on it is as it was."""
    _remake_device(lab, node, vni=node.vni + WRONG_VNI_STEP)


def wrong_port(lab: Lab, node: LabNode, percent: int) -> None:
    """The same with another UDP port."""
    _remake_device(lab, node, port=node.vxlan_port + WRONG_PORT_STEP)


def right_device(lab: Lab, node: LabNode, percent: int) -> None:
    """The device as it was made at first."""
    _remake_device(lab, node)


def _remake_device(lab: Lab, node: LabNode, *, vni: int | None = None, port: int | None = None) -> None:
    tools.run(["ip", "-n", node.netns, "link", "delete", node.vtep_interface], check=False)  # it may be gone; the batch says if it is not
    tools.ip_batch(node.netns, wiring.overlay(lab, node, vni=vni, port=port))
    tools.bridge_batch(node.netns, wiring.forwarding(lab, node))


def forget_fdb(lab: Lab, node: LabNode, percent: int) -> None:
    """The entry for one peer is missing: the VXLAN device does not know where to send."""
    argv = ["bridge", "-n", node.netns, "fdb", "delete", peer(lab, node).vtep_mac, "dev", node.vtep_interface]
    _delete([*argv, "dst", peer(lab, node).address, "self"])


def restore_fdb(lab: Lab, node: LabNode, percent: int) -> None:
    """Undo `forget_fdb`."""
    tools.bridge_batch(node.netns, [wiring.fdb_entry(node, peer(lab, node))])


def forget_neighbour(lab: Lab, node: LabNode, percent: int) -> None:
    """The permanent entry for one peer's VTEP is missing: the kernel asks by ARP, and nobody can hear it."""
    _delete(["ip", "-n", node.netns, "neigh", "delete", peer(lab, node).vtep_address, "dev", node.vtep_interface])


def restore_neighbour(lab: Lab, node: LabNode, percent: int) -> None:
    """Undo `forget_neighbour`."""
    tools.ip_batch(node.netns, [wiring.neighbour(node, peer(lab, node))])


def _delete(argv: list[str]) -> None:
    """Delete an entry that may be gone already.

    Raises:
        LabError: it failed for another reason.
    """
    done = tools.run(argv, check=False)
    if done.returncode != 0 and "No such file" not in done.stderr:
        raise tools.LabError(f"{' '.join(argv)}: {done.stderr.strip()}")


def client_pod(lab: Lab, node: LabNode) -> LabPod:
    """The client's pod on its node.

    Raises:
        LabUsageError: it does not run there.
    """
    pod = servers.client(lab)
    if pod.node != node.name:
        raise LabUsageError(f"{pod.namespace}/{pod.name} does not run on {node.name} but on {pod.node}")
    return pod


def policy(direction: str, choose: Callable[[Lab, LabNode], LabPod], *, but_client: bool = False) -> tuple[Action, Action]:
    """A NetworkPolicy that lets nothing new to a pod ("ingress") or from it ("egress"), as the backend's policy agent enforces it;
    with `but_client` it knows the client's pod, by its address."""

    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        pod = choose(lab, node)
        allowed = alone(servers.client(lab).address or "") if but_client else NOBODYS_NETWORKS[lab.family]
        if lab.backend == "calico":
            _calico_policy(node, pod, direction, allowed)
        else:
            _flannel_policy(node, pod, direction, allowed)

    def undo(lab: Lab, node: LabNode, percent: int) -> None:
        pod = choose(lab, node)
        if lab.backend == "calico":
            table = Table()
            calico_rules.workload(table, node, pod, direction, policy=None)
            restore(node, table)
            _delete_chain(node, calico_rules.policy_chain(pod, direction))
        else:
            jump = _words(flannel_rules.policy_jump(pod, direction))
            if has_rule(node, "FORWARD", jump):
                tools.run_inside(node.netns, [iptables(node.address), "-w", "-D", "FORWARD", *jump])
            _delete_chain(node, flannel_rules.policy_chain(pod))

    return apply, undo


def _calico_policy(node: LabNode, pod: LabPod, direction: str, allowed: str) -> None:
    """Felix rewrites the pod's chain."""
    chain, table = calico_rules.policy_chain(pod, direction), Table()
    table.chain(chain)
    side = "-s" if direction == "ingress" else "-d"
    words = f"Policy {pod.namespace}/knp.default.t {direction}"
    calico_rules.add(table, chain, f"{side} {allowed} -j MARK --set-xmark {calico_rules.ACCEPTED}", words)
    calico_rules.workload(table, node, pod, direction, policy=chain)
    restore(node, table)


def _flannel_policy(node: LabNode, pod: LabPod, direction: str, allowed: str) -> None:
    table = Table()
    flannel_rules.policy(table, pod, allowed)
    restore(node, table)
    jump = _words(flannel_rules.policy_jump(pod, direction))
    if not has_rule(node, "FORWARD", jump):
        tools.run_inside(node.netns, [iptables(node.address), "-w", "-I", "FORWARD", "1", *jump])


def restore(node: LabNode, table: Table) -> None:
    """Replace the chains that the table declares, leave all others."""
    tools.run_inside(node.netns, [f"{iptables(node.address)}-restore", "-w", "--noflush"], text=table.text("filter"))


def _delete_chain(node: LabNode, chain: str) -> None:
    """Declared first, so that there is one to delete."""
    table = Table(chains=[chain])
    restore(node, table)
    tools.run_inside(node.netns, [iptables(node.address), "-w", "-X", chain])


def _words(rule: str) -> list[str]:
    """A rule's text as arguments; its only quotes are those around comments."""
    parts = rule.split('"')
    return [word for index, part in enumerate(parts) for word in ([part] if index % 2 else part.split())]


def stop_dns(lab: Lab, node: LabNode, percent: int) -> None:
    """Nobody listens on the DNS pod's port any more."""
    servers.stop_dns(lab, servers.dns_pod(lab, node))


def start_dns(lab: Lab, node: LabNode, percent: int) -> None:
    """Undo `stop_dns`."""
    servers.start_dns(lab, servers.dns_pod(lab, node))
