"""What runs in the lab's pods: DNS servers, HTTP servers, and the client that never stops asking."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import processes, tools
from .family import host_port
from .records import Lab, LabNode, LabPod
from .shape import CLIENT
from .tools import LabError, LabUsageError

PROGRAMS = Path(__file__).parent / "programs"
QUESTION = "kotsadm-rqlite.kotsadm.svc.cluster.local"
ASKER = "asker"
QUESTIONS_PER_S = 5.0


def client(lab: Lab) -> LabPod:
    """The pod that asks."""
    return next(pod for pod in lab.pods if (pod.namespace, pod.name) == CLIENT)


def dns_pods(lab: Lab) -> tuple[LabPod, ...]:
    """The pods behind kube-dns."""
    return tuple(pod for pod in lab.pods if pod.containers[0].name == "coredns")


def talkers(lab: Lab) -> tuple[LabPod, ...]:
    """The client's pod and those behind kube-dns."""
    return (client(lab), *dns_pods(lab))


def dns_pod(lab: Lab, node: LabNode) -> LabPod:
    """The DNS server's pod on a node.

    Raises:
        LabUsageError: there is none.
    """
    for pod in dns_pods(lab):
        if pod.node == node.name:
            return pod
    raise LabUsageError(f"no DNS pod runs on {node.name}; they run on " + ", ".join(sorted({pod.node or "" for pod in dns_pods(lab)})))


def service_address(lab: Lab, namespace: str, name: str) -> str:
    """ClusterIP:port of a service's first port."""
    service = next(service for service in lab.services if (service.namespace, service.name) == (namespace, name))
    return host_port(service.cluster_ip, service.ports[0].port)


def targets(lab: Lab) -> dict[str, tuple[str, str]]:
    """Whom each kind of traffic asks, and for what: the arguments of programs/ask.py."""
    return {
        "dns": (service_address(lab, "kube-system", "kube-dns"), QUESTION),
        "http": (service_address(lab, "kotsadm", "slackernews"), "/"),
        "ping": (",".join(pod.address or "" for pod in dns_pods(lab)), "-"),
    }


def program(name: str, *arguments: str) -> list[str]:
    """One of our programs: isolated (-I) and without site packages (-S), so that it starts quickly and sees nothing of the caller's."""
    return [sys.executable, "-I", "-S", str(PROGRAMS / f"{name}.py"), *arguments]


def dns_name(pod: LabPod) -> str:
    """Name of a pod's DNS server process."""
    return f"dns-{pod.name}"


def stats_file(lab: Lab) -> Path:
    """Where the asker keeps its counts."""
    return Path(lab.state_dir) / "asker.json"


def commands(lab: Lab) -> Iterator[tuple[str, LabPod, list[str], str, int]]:
    """Name, pod, argv, protocol ("udp", "tcp") and port of each server."""
    for pod in lab.pods:
        if pod.netns is None or pod.host_network:
            continue
        for container in pod.containers:
            for port in container.ports:
                if (port.name, port.protocol) == ("dns", "UDP"):
                    yield dns_name(pod), pod, dns_argv(lab), "udp", port.port
                elif port.name != "dns-tcp":  # the DNS server has both
                    yield f"web-{pod.name}", pod, program("web", pod.name, str(port.port)), "tcp", port.port


def dns_argv(lab: Lab) -> list[str]:
    """dnsmasq(8) that knows the lab's services and asks nobody else."""
    records = []
    for service in lab.services:
        name = f"{service.name}.{service.namespace}.svc.cluster.local"
        headless = [pod.address for pod in lab.endpoints(service) if pod.address is not None]
        addresses = headless if service.cluster_ip == "None" else [service.cluster_ip]
        records += [f"--host-record={name},{address}" for address in addresses]
    fixed = ["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--log-facility=-"]
    return ["dnsmasq", *fixed, "--interface=eth0", "--no-resolv", "--no-hosts", "--cache-size=0", "--local=/cluster.local/", *records]


def start_all(lab: Lab) -> None:
    """Start every server, wait until all listen and the client's questions are answered, then start the asker.

    Raises:
        LabError: a server did not come up within 10 s, with the last lines of its log; or the network does not carry its answers.
    """
    waiting = []
    for name, pod, argv, protocol, port in commands(lab):
        waiting.append((processes.start(lab.state_dir, name, pod.netns or "", argv), protocol, port))
    for running, protocol, port in waiting:
        wait_listening(lab, running, protocol, port)
    for pod in dns_pods(lab):
        wait_answered(lab, pod)
    start_asker(lab)


def start_asker(lab: Lab) -> None:
    """Start the client's steady questions to kube-dns."""
    rate = ["--rate", str(QUESTIONS_PER_S), "--stats", str(stats_file(lab))]
    argv = program("ask", "dns", service_address(lab, "kube-system", "kube-dns"), QUESTION, *rate)
    processes.start(lab.state_dir, ASKER, client(lab).netns or "", argv)


def start_dns(lab: Lab, pod: LabPod) -> None:
    """Start one DNS server, unless it runs."""
    if not _runs(lab, dns_name(pod)):
        running = processes.start(lab.state_dir, dns_name(pod), pod.netns or "", dns_argv(lab))
        wait_listening(lab, running, "udp", 53)


def stop_dns(lab: Lab, pod: LabPod) -> None:
    """End one DNS server."""
    processes.stop(lab.state_dir, [process for process in processes.recorded(lab.state_dir) if process.name == dns_name(pod)])


def stop_web(lab: Lab, pod: LabPod) -> None:
    """End one pod's HTTP server."""
    processes.stop(lab.state_dir, [process for process in processes.recorded(lab.state_dir) if process.name == f"web-{pod.name}"])


def start_web(lab: Lab, pod: LabPod) -> None:
    """Start one pod's HTTP server, unless it runs."""
    for name, owner, argv, protocol, port in commands(lab):
        if owner.name == pod.name and name == f"web-{pod.name}" and not _runs(lab, name):
            wait_listening(lab, processes.start(lab.state_dir, name, pod.netns or "", argv), protocol, port)


def wait_said(lab: Lab, running: processes.Running, word: str) -> None:
    """Wait until a program has printed a word.

    Raises:
        LabError: it ended, or 5 s passed.
    """
    log, until = Path(lab.state_dir) / processes.LOGS / f"{running.name}.log", time.monotonic() + 5
    while word not in log.read_text(errors="replace"):
        if time.monotonic() > until or not processes.alive(running):
            raise LabError(f"{running.name} did not say {word!r}: {log.read_text(errors='replace').strip()[-500:]}")
        time.sleep(0.01)


def _runs(lab: Lab, name: str) -> bool:
    return any(process.name == name and processes.alive(process) for process in processes.recorded(lab.state_dir))


def wait_listening(lab: Lab, running: processes.Running, protocol: str, port: int) -> None:
    """Wait until a server listens.

    Raises:
        LabError: it ended, or 10 s passed.
    """
    until = time.monotonic() + 10
    while not processes.listening(running, protocol, port):
        if time.monotonic() > until or not processes.alive(running):
            log = (Path(lab.state_dir) / processes.LOGS / f"{running.name}.log").read_text(errors="replace")
            raise LabError(f"{running.name} does not listen on port {port}: {log.strip()[-500:] or 'it said nothing'}")
        time.sleep(0.01)


def inside(pod: LabPod, argv: Sequence[str]) -> list[str]:
    """The same command inside a pod of the lab."""
    return tools.inside(pod.netns or "", argv)


def wait_answered(lab: Lab, pod: LabPod, inside: Callable[[LabPod, Sequence[str]], list[str]] = inside) -> None:
    """Ask a DNS server from the client's pod until it answers; `inside` is how to run a command there.

    Raises:
        LabError: no answer within 20 s.
    """
    argv = program("ask", "dns", host_port(pod.address or "", 53), QUESTION, "--rate", "20", "--seconds", "20", "--until-answered")
    if tools.run(inside(client(lab), argv), check=False).returncode != 0:
        raise LabError(f"the network is made, but no answer comes from {pod.namespace}/{pod.name} ({pod.address}) to {client(lab).name}")


def expected(lab: Lab) -> set[str]:
    """Names of the processes of a whole lab."""
    agents = {f"agent-{node.name}" for node in lab.nodes} if lab.backend == "cilium" else set()
    return {name for name, *_ in commands(lab)} | {ASKER} | agents
