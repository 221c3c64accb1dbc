"""kube-proxy's rules, in its shape (pkg/proxy/iptables/proxier.go), as text for iptables-restore(8)."""

import base64
import hashlib
from dataclasses import dataclass, field

from .family import alone, host_port
from .records import Lab, LabNode, LabPod, LabService, LabServicePort


@dataclass(slots=True)
class Table:
    """Rules of one table, collected in order; `chains` are its own chains (the built-in ones need no declaration)."""

    chains: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)

    def chain(self, name: str) -> None:
        """Declare a chain."""
        self.chains.append(name)

    def add(self, chain: str, rule: str) -> None:
        """Append a rule."""
        self.rules.append(f"-A {chain} {rule}")

    def text(self, name: str) -> str:
        """The table as iptables-restore reads it."""
        return "\n".join([f"*{name}", *(f":{chain} - [0:0]" for chain in self.chains), *self.rules, "COMMIT", ""])


def comment(text: str) -> str:
    """A rule's comment match."""
    return f'-m comment --comment "{text}"'


def port_name(service: LabService, port: LabServicePort) -> str:
    """kube-proxy's ServicePortName: "namespace/service:port", without ":port" where the port has no name."""
    return f"{service.namespace}/{service.name}" + (f":{port.name}" if port.name else "")


def chain_name(kind: str, *parts: str) -> str:
    """KUBE-SVC-... and KUBE-SEP-...: 16 characters of base32(sha256(parts)) (proxier.go, servicePortEndpointChainName)."""
    digest = hashlib.sha256("".join(parts).encode()).digest()
    return f"KUBE-{kind}-{base64.b32encode(digest).decode()[:16]}"


def ruleset(lab: Lab, node: LabNode) -> str:
    """All tables of a node that has no other rules than these."""
    filtering, translating = Table(), Table()
    for hook in ("INPUT", "FORWARD", "OUTPUT"):
        filter_hooks(filtering, hook)
    filter_chains(lab, filtering)
    nat(lab, translating)
    return filtering.text("filter") + translating.text("nat")


def nat(lab: Lab, table: Table) -> None:
    """Translation of every service's ports to its endpoints."""
    for chain in ("KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SERVICES"):
        table.chain(chain)
    for hook in ("PREROUTING", "OUTPUT"):
        table.add(hook, f"{comment('kubernetes service portals')} -j KUBE-SERVICES")
    table.add("POSTROUTING", f"{comment('kubernetes postrouting rules')} -j KUBE-POSTROUTING")
    table.add("KUBE-MARK-MASQ", "-j MARK --set-xmark 0x4000/0x4000")
    table.add("KUBE-POSTROUTING", "-m mark ! --mark 0x4000/0x4000 -j RETURN")
    table.add("KUBE-POSTROUTING", "-j MARK --set-xmark 0x4000/0x0")
    table.add("KUBE-POSTROUTING", f"{comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE --random-fully")
    for service in lab.services:
        for port in service.ports:
            backends = lab.endpoints(service)
            if service.cluster_ip != "None" and backends:
                _service_port(lab, table, service, port, backends)
    last = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
    table.add("KUBE-SERVICES", f"{comment(last)} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")


def _service_port(lab: Lab, table: Table, service: LabService, port: LabServicePort, backends: tuple[LabPod, ...]) -> None:
    name, protocol = port_name(service, port), port.protocol.lower()
    chain = chain_name("SVC", name, protocol)
    match = f"-d {alone(service.cluster_ip)} -p {protocol} {comment(f'{name} cluster IP')} -m {protocol} --dport {port.port}"
    table.chain(chain)
    table.add("KUBE-SERVICES", f"{match} -j {chain}")
    table.add(chain, f"! -s {lab.pod_cidr} {match} -j KUBE-MARK-MASQ")
    for index, pod in enumerate(backends):
        endpoint = host_port(pod.address or "", port.target_port)
        target = chain_name("SEP", name, protocol, endpoint)
        left = len(backends) - index
        choice = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
        table.chain(target)
        table.add(chain, f"{comment(f'{name} -> {endpoint}')} {choice}-j {target}")
        table.add(target, f"-s {alone(pod.address or '')} {comment(name)} -j KUBE-MARK-MASQ")
        table.add(target, f"-p {protocol} {comment(name)} -m {protocol} -j DNAT --to-destination {endpoint}")


def filter_chains(lab: Lab, table: Table) -> None:
    """The chains that a service without endpoints, and everything forwarded, runs through. `filter_hooks` leads there."""
    for chain in ("KUBE-EXTERNAL-SERVICES", "KUBE-FIREWALL", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL", "KUBE-SERVICES"):
        table.chain(chain)
    six = lab.family == "6"
    if not six:
        local = "block incoming localnet connections"
        table.add(
            "KUBE-FIREWALL",
            f"! -s 127.0.0.0/8 -d 127.0.0.0/8 {comment(local)} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
        )
    table.add("KUBE-FORWARD", "-m conntrack --ctstate INVALID -j DROP")
    table.add("KUBE-FORWARD", f"{comment('kubernetes forwarding rules')} -m mark --mark 0x4000/0x4000 -j ACCEPT")
    table.add("KUBE-FORWARD", f"{comment('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    for service in lab.services:
        for port in service.ports:
            if service.cluster_ip != "None" and not lab.endpoints(service):
                protocol = port.protocol.lower()
                table.add(
                    "KUBE-SERVICES",
                    f"-d {alone(service.cluster_ip)} -p {protocol} {comment(f'{port_name(service, port)} has no endpoints')}"
                    f" -m {protocol} --dport {port.port} -j REJECT --reject-with {'icmp6' if six else 'icmp'}-port-unreachable",
                )


def filter_hooks(table: Table, hook: str) -> None:
    """The jumps of one built-in chain, in kube-proxy's order."""
    new = "-m conntrack --ctstate NEW"
    table.add(hook, f"{new} {comment('kubernetes load balancer firewall')} -j KUBE-PROXY-FIREWALL")
    if hook == "INPUT":
        table.add(hook, f"{comment('kubernetes health check service ports')} -j KUBE-NODEPORTS")
    if hook == "FORWARD":
        table.add(hook, f"{comment('kubernetes forwarding rules')} -j KUBE-FORWARD")
    if hook != "INPUT":
        table.add(hook, f"{new} {comment('kubernetes service portals')} -j KUBE-SERVICES")
    if hook != "OUTPUT":
        table.add(hook, f"{new} {comment('kubernetes externally-visible service portals')} -j KUBE-EXTERNAL-SERVICES")
    if hook != "FORWARD":
        table.add(hook, "-j KUBE-FIREWALL")
