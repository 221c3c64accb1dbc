"""Faults of services and of what stands behind them: kube-proxy's rules, endpoints, pods, servers."""

import dataclasses
import os
import signal
from pathlib import Path

from . import processes, records, servers, tools, wiring
from .family import alone, iptables
from .fault_actions import start_dns as _start_dns
from .fault_actions import stop_dns as _stop_dns
from .fault_record import TO_POD, TO_TUNNEL, Action, fault
from .node_rules import load, reload, take_out, with_dead_dns
from .records import Lab, LabNode

_METRICS_PORT = 9153
_METRICS = ("http", f"{{dns}}:{_METRICS_PORT}", "/", "--rate", "15")
_BACKLOG = "backlog"
_DNS = ("kube-system", "kube-dns")
_TITLE = "kube-system/kube-dns"
_FILL_RATE_PER_S = 2000
_FILL_S = 0.5


def _untranslated(lab: Lab, node: LabNode, percent: int) -> None:
    """kube-proxy has not written the service's rules."""
    take_out(node, "nat", "KUBE-SERVICES", f"{_TITLE}:dns cluster IP")


def _dead_backends(lab: Lab, node: LabNode, percent: int) -> None:
    """kube-proxy has not heard that the service's pods are others by now."""
    load(with_dead_dns(lab), node)


def _show(lab: Lab, **changes: object) -> Lab:
    """Change kube-dns in the API; returns the records that say so."""
    shown = records.load(Path(lab.state_dir)) or lab
    original = next(one for one in lab.services if (one.namespace, one.name) == _DNS)
    changed = dataclasses.replace(original, **changes)  # type: ignore[arg-type]
    services = tuple(changed if (one.namespace, one.name) == _DNS else one for one in shown.services)
    other = dataclasses.replace(shown, services=services)
    records.save(other)
    return other


def _nobody_selected(lab: Lab, node: LabNode, percent: int) -> None:
    """Somebody changed the service's selector, and no pod has such labels."""
    other = _show(lab, selector={"k8s-app": "kube-dns-next"})
    for each in lab.nodes:
        load(other, each)


def _selected(lab: Lab, node: LabNode, percent: int) -> None:
    other = _restored(lab)
    for each in lab.nodes:
        load(other, each)


def _restored(lab: Lab) -> Lab:
    return _show(lab, selector={"k8s-app": "kube-dns"}, local=False)


def _local_only(lab: Lab, node: LabNode, percent: int) -> None:
    """internalTrafficPolicy Local, and no endpoint on this node (pkg/proxy/iptables/proxier.go: "has no local endpoints")."""
    _show(lab, local=True)
    take_out(node, "nat", "KUBE-SERVICES", f"{_TITLE}:dns cluster IP")
    address = servers.service_address(lab, *_DNS).partition(":")[0]
    rule = ["-d", alone(address), "-p", "udp", "-m", "comment", "--comment", f"{_TITLE}:dns has no local endpoints", "-m", "udp"]
    tools.run_inside(node.netns, [iptables(node.address), "-w", "-A", "KUBE-SERVICES", *rule, "--dport", "53", "-j", "DROP"])


def _anywhere(lab: Lab, node: LabNode, percent: int) -> None:
    load(_restored(lab), node)


def _stop_web(lab: Lab, node: LabNode, percent: int) -> None:
    servers.stop_web(lab, servers.dns_pod(lab, node))


def _start_web(lab: Lab, node: LabNode, percent: int) -> None:
    servers.start_web(lab, servers.dns_pod(lab, node))


def _signal(number: signal.Signals) -> Action:
    """To the DNS server of a node's pod."""

    def act(lab: Lab, node: LabNode, percent: int) -> None:
        name = servers.dns_name(servers.dns_pod(lab, node))
        for process in processes.recorded(lab.state_dir):
            if process.name == name and processes.alive(process):
                os.killpg(process.pid, number)

    return act


_HANG, _GO_ON = _signal(signal.SIGSTOP), _signal(signal.SIGCONT)


def _overflow(lab: Lab, node: LabNode, percent: int) -> None:
    """The server does not read, and its socket's queue is full."""
    _HANG(lab, node, percent)
    pace = ["--rate", str(_FILL_RATE_PER_S), "--seconds", str(_FILL_S), "--timeout", "0.1"]
    argv = servers.program("ask", "dns", f"{servers.dns_pod(lab, node).address}:53", servers.QUESTION, *pace)
    tools.run_inside(servers.client(lab).netns or "", argv)


def _no_backlog(lab: Lab, node: LabNode, percent: int) -> None:
    """In place of the web server one that accepts no connection, and has as many waiting as may."""
    _backlog(lab, node, percent)
    pod = servers.dns_pod(lab, node)
    servers.stop_web(lab, pod)
    running = processes.start(lab.state_dir, _BACKLOG, pod.netns or "", servers.program("backlog", str(_METRICS_PORT)))
    servers.wait_said(lab, running, "full")


def _backlog(lab: Lab, node: LabNode, percent: int) -> None:
    processes.stop(lab.state_dir, [process for process in processes.recorded(lab.state_dir) if process.name == _BACKLOG])
    _start_web(lab, node, percent)


def _no_way_back(lab: Lab, node: LabNode, percent: int) -> None:
    """The pod has no route that leads out of it."""
    tools.run(["ip", "-n", servers.dns_pod(lab, node).netns or "", "route", "flush", "default"])


def _unheard(lab: Lab, node: LabNode, percent: int) -> None:
    """Nothing listens, and the kernel's refusals cannot leave the pod."""
    _stop_dns(lab, node, percent)
    namespace, client = servers.dns_pod(lab, node).netns or "", servers.client(lab).address or ""
    tools.run(["ip", "-n", namespace, "route", "replace", "blackhole", client])


def _heard(lab: Lab, node: LabNode, percent: int) -> None:
    namespace, client = servers.dns_pod(lab, node).netns or "", servers.client(lab).address or ""
    tools.run(["ip", "-n", namespace, "route", "delete", "blackhole", client], check=False)
    _start_dns(lab, node, percent)


def _pod_down(lab: Lab, node: LabNode, percent: int) -> None:
    tools.run(["ip", "-n", servers.dns_pod(lab, node).netns or "", "link", "set", "eth0", "down"])


def _pod_without_address(lab: Lab, node: LabNode, percent: int) -> None:
    pod = servers.dns_pod(lab, node)
    tools.run(["ip", "-n", pod.netns or "", "addr", "flush", "dev", "eth0"])
    inside = node.bridge or pod.host_interface or ""
    tools.run(
        ["ip", "-n", node.netns, "neigh", "delete", str(pod.address), "dev", inside], check=False
    )  # it would be asked again by itself


def _pod_up(lab: Lab, node: LabNode, percent: int) -> None:
    pod = servers.dns_pod(lab, node)
    lines = wiring.pod(lab, pod)
    tools.ip_batch(pod.netns, [line.replace("route add", "route replace").replace("addr add", "addr replace") for line in lines])
    if node.bridge is None:
        tools.ip_batch(node.netns, [f"route replace {pod.address} dev {pod.host_interface} scope link"])


_INPUT_RULE = ["INPUT", "-p", "udp", "--dport", "53", "-j", "DROP"]


def _rule_in_pod(lab: Lab, node: LabNode, percent: int) -> None:
    """A sidecar, a VPN or a firewall of the image writes rules in the pod's own network namespace."""
    _no_rule_in_pod(lab, node, percent)
    tools.run_inside(servers.dns_pod(lab, node).netns or "", ["iptables", "-w", "-I", *_INPUT_RULE])


def _no_rule_in_pod(lab: Lab, node: LabNode, percent: int) -> None:
    """With the table that iptables made for it: pods of the lab have none of their own."""
    namespace = servers.dns_pod(lab, node).netns or ""
    tools.run_inside(namespace, ["iptables", "-w", "-D", *_INPUT_RULE], check=False)
    tools.run_inside(namespace, ["nft", "delete", "table", "ip", "filter"], check=False)


FAULTS = (
    fault("kube-proxy-rule-missing", "request", TO_TUNNEL, (_untranslated, reload), at_client=True),
    fault("stale-endpoint", "request", "{node}/underlay>-", (_dead_backends, reload), at_client=True),
    fault("no-endpoints", "request", "{node}/{inner}>-", (_nobody_selected, _selected), at_client=True),
    fault("no-local-endpoints", "request", TO_TUNNEL, (_local_only, _anywhere), at_client=True),
    fault(
        "nothing-listening@tcp", "request", "{node}/pod>-", (_stop_web, _start_web), needs=servers.dns_pod, stops="web", traffic=_METRICS
    ),
    fault("server-silent", "request", "{node}/pod>-", (_HANG, _GO_ON), needs=servers.dns_pod),
    fault("pod-firewall", "request", "{node}/pod>-", (_rule_in_pod, _no_rule_in_pod), needs=servers.dns_pod),
    fault("socket-overflow", "request", "{node}/pod>-", (_overflow, _GO_ON), needs=servers.dns_pod),
    fault(
        "socket-overflow@tcp",
        "request",
        "{node}/pod>-",
        (_no_backlog, _backlog),
        needs=servers.dns_pod,
        stops="web",
        traffic=_METRICS,
    ),
    fault("server-silent@no-route", "request", "{node}/pod>-", (_no_way_back, _pod_up), needs=servers.dns_pod),
    fault("nothing-listening@unheard", "request", "{node}/pod>-", (_unheard, _heard), needs=servers.dns_pod, stops="dns"),
    fault("pod-unreachable", "request", TO_POD, (_pod_down, _pod_up), needs=servers.dns_pod, bridged_leg="{node}/bridge>{node}/pod"),
    fault("pod-unreachable@address", "request", TO_POD, (_pod_without_address, _pod_up), needs=servers.dns_pod),
)
