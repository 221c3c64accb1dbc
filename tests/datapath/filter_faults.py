"""Faults of packet filters and translations on the nodes: somebody's rule takes the packets, or writes a source that others refuse."""

from . import calico_rules, node_rules, proxy_rules, servers, tools, wiring
from .family import alone, iptables
from .fault_actions import policy
from .fault_record import ENTRY, EXIT, PEERS_TO_TUNNEL, TO_POD, TO_TUNNEL, Action, at_peer, both, fault, peer
from .node_rules import insert, load, reload, take_out
from .proxy_rules import Table
from .records import Lab, LabNode

_FOREIGN = "10.244.250.9"  # in the pods' network; no pod has it
_METRICS = ("http", "{dns}:9153", "/", "--rate", "15")
# From one port, that a rule can pick.
_ONE_PORT = ("dns", "{dns}:53", servers.QUESTION, "--rate", "15", "--ports", "1", "--first-port", "20053")
_ITS_PORT = 20053
_CALICO = ("calico",)


def _unknown_vtep(lab: Lab, node: LabNode, percent: int) -> None:
    """Felix does not know the peer's address, as where it was detected wrongly."""
    take_out(node, "filter", "cali-INPUT", f"-s {alone(peer(lab, node).address)}")


def _policy_drop(lab: Lab, node: LabNode, percent: int) -> None:
    """Docker's FORWARD policy, where nobody accepts the pods' traffic before it."""
    if node.bridge is None:
        take_out(node, "filter", "FORWARD", "Policy explicitly accepted packet")
    else:
        tools.run_inside(node.netns, [iptables(node.address), "-w", "-F", "FLANNEL-FWD"])
    tools.run_inside(node.netns, [iptables(node.address), "-w", "-P", "FORWARD", "DROP"])


def _policy_accept(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run_inside(node.netns, [iptables(node.address), "-w", "-P", "FORWARD", "ACCEPT"])
    load(lab, node)


def _trust_workloads(lab: Lab, node: LabNode, percent: int) -> None:
    """FelixConfiguration allowVXLANPacketsFromWorkloads, which some set for virtual machines in pods."""
    for pod in servers.dns_pods(lab):
        chain = calico_rules.workload_chain(pod, "egress")
        take_out(lab.node(pod.node or ""), "filter", chain, "Drop VXLAN encapped packets originating in workloads")


def _distrust_workloads(lab: Lab, node: LabNode, percent: int) -> None:
    for pod in servers.dns_pods(lab):
        load(lab, lab.node(pod.node or ""))


def _program(side: str) -> tuple[Action, Action]:
    """A program at tc of the VXLAN device that drops all, as one that an agent left behind: `return TC_ACT_SHOT` (tc-bpf(8))."""

    def attach(lab: Lab, node: LabNode, percent: int) -> None:
        detach(lab, node, percent)
        tools.run_inside(node.netns, ["tc", "qdisc", "add", "dev", node.vtep_interface, "clsact"])
        words = ["tc", "filter", "add", "dev", node.vtep_interface, side, "bpf", "da", "bytecode", "1,6 0 0 2"]
        tools.run_inside(node.netns, words)

    def detach(lab: Lab, node: LabNode, percent: int) -> None:
        tools.run_inside(node.netns, ["tc", "qdisc", "del", "dev", node.vtep_interface, "clsact"], check=False)

    return attach, detach


def _foreign_source(lab: Lab, node: LabNode, percent: int) -> None:
    """The client's pod sends from an address that is not its own."""
    netns = servers.client(lab).netns
    way = f"route replace default via {wiring.CALICO_POD_GATEWAY} dev eth0 src {_FOREIGN}"
    tools.ip_batch(netns, [f"addr replace {_FOREIGN}/32 dev eth0", way])


def _own_source(lab: Lab, node: LabNode, percent: int) -> None:
    netns = servers.client(lab).netns or ""
    tools.ip_batch(netns, [f"route replace default via {wiring.CALICO_POD_GATEWAY} dev eth0"])
    tools.run(["ip", "-n", netns, "addr", "delete", f"{_FOREIGN}/32", "dev", "eth0"], check=False)


def _resetter(lab: Lab, node: LabNode, percent: int) -> None:
    """A firewall that resets connections and counts nothing."""
    chain = "chain ips { type filter hook forward priority 10; policy accept; tcp dport 9153 reject with tcp reset; };"
    tools.run_inside(node.netns, ["nft", "-f", "-"], text=f"{_NO_RESETTER}table ip ips {{ {chain} }}\n")


_NO_RESETTER = "table ip ips { }\ndelete table ip ips\n"


def _no_resetter(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run_inside(node.netns, ["nft", "-f", "-"], text=_NO_RESETTER)


def _leftovers(lab: Lab, node: LabNode, percent: int) -> None:
    """kube-proxy once wrote with iptables-legacy; its rules still translate to pods that are gone.

    They are asked first: of two hooks with one priority the one that came later is (net/netfilter/core.c, nf_hook_entries_grow).
    """
    _no_leftovers(lab, node, percent)
    table = Table()
    proxy_rules.nat(node_rules.with_dead_dns(lab), table)
    tools.run_inside(node.netns, ["iptables-legacy-restore", "-w"], text=table.text("nat"))


def _no_leftovers(lab: Lab, node: LabNode, percent: int) -> None:
    for words in (["-F"], ["-X"]):
        tools.run_inside(node.netns, ["iptables-legacy", "-w", "-t", "nat", *words])


def _nothing(lab: Lab, node: LabNode, percent: int) -> None:
    """For what is only undone."""


def _new_web(lab: Lab, node: LabNode, percent: int) -> None:
    """The web server anew: half-open connections would send their SYN-ACK for another minute, and it would still be invalid."""
    servers.stop_web(lab, servers.dns_pod(lab, node))
    servers.start_web(lab, servers.dns_pod(lab, node))


def _new_connection(lab: Lab, node: LabNode, percent: int) -> None:
    """Forget what connection tracking has decided for that port before."""
    tools.run_inside(node.netns, ["conntrack", "-D", "-p", "udp", "--sport", str(_ITS_PORT)], check=False)


_UNKNOWN = (_unknown_vtep, reload)
_FORWARD = (_policy_drop, _policy_accept)
_REJECT = insert("FORWARD", "-i {device} -j REJECT --reject-with icmp-admin-prohibited")
_OUTPUT = insert("OUTPUT", "-p udp -m udp --dport {port} -j DROP")
_MASQUERADE = insert("POSTROUTING", "-s {client} -o {device} -j MASQUERADE", table="nat")
_KNOWS_CLIENT = policy("ingress", servers.dns_pod, but_client=True)
_TO_VXLAN_PORT = insert(
    "POSTROUTING", f"-s {{client}} -o {{device}} -p udp -m udp --sport {_ITS_PORT} -j MASQUERADE --to-ports {{port}}", table="nat"
)
_TO_ONE_PORT = insert("POSTROUTING", "-s {client} -o {device} -p udp -m udp --dport 53 -j MASQUERADE --to-ports 40000", table="nat")
_UNSEEN_SYN = insert("PREROUTING", "-i {device} -p tcp -m tcp --dport 9153 --tcp-flags SYN,ACK SYN -j NOTRACK", table="raw")

_MASQUERADED_SO = both(_TO_VXLAN_PORT, (_new_connection, _new_connection))
# All of them to one server, whose node is then known.
_TO_ONE_SERVER = insert(
    "PREROUTING", f"-s {{client}} -p udp -m udp --sport {_ITS_PORT} --dport 53 -j DNAT --to-destination {{server}}", table="nat"
)
_CLASH_AT_SERVER = both(_TO_ONE_SERVER, _MASQUERADED_SO)
_CLASH = both((_trust_workloads, _distrust_workloads), _MASQUERADED_SO)

FAULTS = (
    fault("calico-unknown-vtep", "request", ENTRY, _UNKNOWN, backends=_CALICO),
    fault("calico-unknown-vtep@reply", "reply", ENTRY, _UNKNOWN, at_client=True, backends=_CALICO),
    fault("host-firewall@output", "request", EXIT, _OUTPUT, at_client=True),
    fault("host-firewall@output-reply", "reply", EXIT, _OUTPUT),
    fault("host-firewall@forward", "request", TO_POD, _REJECT),
    fault("forward-policy-drop", "request", TO_POD, _FORWARD),
    fault("forward-policy-drop@client", "request", TO_TUNNEL, _FORWARD, at_client=True),
    fault("tc-program", "request", TO_POD, _program("ingress")),
    fault("tc-program@egress", "request", TO_TUNNEL, _program("egress"), at_client=True),
    fault("workload-anti-spoofing", "request", TO_TUNNEL, (_foreign_source, _own_source), at_client=True, backends=_CALICO),
    fault("policy-sees-snat", "request", TO_POD, both(_KNOWS_CLIENT, at_peer(_MASQUERADE)), needs=servers.dns_pod),
    fault("masquerade-port-clash", "reply", TO_POD, _CLASH, at_client=True, backends=_CALICO, traffic=_ONE_PORT),
    # The servers' own nodes drop it first: "Drop VXLAN encapped packets originating in workloads" asks for that port alone.
    fault("masquerade-port-clash@server", "reply", PEERS_TO_TUNNEL, _CLASH_AT_SERVER, at_client=True, backends=_CALICO, traffic=_ONE_PORT),
    fault("snat-port-collision", "request", TO_TUNNEL, _TO_ONE_PORT, at_client=True),
    fault("conntrack-invalid", "reply", TO_TUNNEL, both((_nothing, _new_web), _UNSEEN_SYN), traffic=_METRICS),
    fault("host-firewall@reset", "request", TO_POD, (_resetter, _no_resetter), traffic=_METRICS),
    fault("nft-legacy-mix", "request", "{node}/underlay>-", (_leftovers, _no_leftovers), at_client=True),
)
