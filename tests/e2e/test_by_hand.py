"""What somebody breaks by hand in the lab's namespaces: the verdict, the leg and the cause are right, or the cause is honestly unknown."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import CLIENT, ROOT, Lab, Run, direction_of, hop_packets, place_of

pytestmark = [pytest.mark.lab]

N1, N2, N3 = "ada-ec-1", "ada-ec-2", "ada-ec-3"
DNS_POD, WEB_POD = "kube-system/coredns-86b5dd7f68-9zdn8", "kotsadm/slackernews-6c9f7d5b8d-7xqlm"
DNS_ADDRESS = "{the address of DNS_POD}"
Command = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Break:
    """Commands in namespaces that break something and that heal it, and what the report must then say.

    legs: acceptable (direction, from, to) as node/role; a bridge stands before the pod's interface with flannel. or_verdict, or_cause: what
    may be said as well, where the kernel's proof may come after the capture or cannot be read.
    """

    name: str
    make: tuple[Command, ...]
    undo: tuple[Command, ...]
    verdict: str
    cause: str
    legs: frozenset[tuple[str, str, str | None]]
    to: str = "kube-dns"
    traffic: Command | None = None
    or_verdict: str | None = None
    or_cause: str | None = None


def leg(direction: str, start: str, *ends: str | None) -> frozenset[tuple[str, str, str | None]]:
    """Legs from a place to one of these."""
    return frozenset((direction, start, end) for end in ends)


def rule(node: str, chain: str, *words: str, table: str = "filter") -> tuple[tuple[Command, ...], tuple[Command, ...]]:
    """An iptables rule put first in a chain, and taken away."""
    return ((node, "iptables", "-w", "-t", table, "-I", chain, *words),), ((node, "iptables", "-w", "-t", table, "-D", chain, *words),)


def silent_table(node: str, hook: str, match: str) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
    """An nftables chain that drops and counts nothing."""
    chain = f"table inet byhand {{ chain c {{ type filter hook {hook} priority -10; policy accept; {match} drop; }}; }}"
    return ((node, "nft", chain),), ((node, "nft", "delete table inet byhand"),)


WEB = ("http", "--rate", "10")
RAW = rule(N2, "PREROUTING", "-p", "udp", "-s", "10.128.0.72", "-j", "DROP", table="raw")
REPLIES = rule(N2, "FORWARD", "-p", "udp", "--sport", "53", "-j", "DROP", table="mangle")
NAMELESS_DROP = silent_table(N2, "forward", "meta l4proto udp")
RESET = rule(N2, "FORWARD", "-p", "tcp", "--dport", "3000", "-j", "REJECT", "--reject-with", "tcp-reset")
SWALLOW = rule(WEB_POD, "INPUT", "-p", "tcp", "--dport", "3000", "-j", "DROP")
REDIRECT = rule(WEB_POD, "PREROUTING", "-p", "tcp", "--dport", "3000", "-j", "REDIRECT", "--to-ports", "3999", table="nat")
NIC_UP = ((N2, "ip", "link", "set", "ens4", "up"), (N2, "ip", "route", "replace", "default", "via", "10.128.0.1", "dev", "ens4"))

ON_BOTH = [
    Break(
        name="raw", make=RAW[0], undo=RAW[1], verdict="dropped", cause="host-firewall", legs=leg("request", f"{N2}/underlay", f"{N2}/vxlan")
    ),
    Break(
        name="replies in mangle",
        make=REPLIES[0],
        undo=REPLIES[1],
        verdict="dropped",
        cause="host-firewall",
        legs=leg("reply", f"{N2}/pod", f"{N2}/vxlan") | leg("reply", f"{N2}/bridge", f"{N2}/vxlan"),
    ),
    Break(
        name="a rule that counts nothing and names nothing",
        make=NAMELESS_DROP[0],
        undo=NAMELESS_DROP[1],
        verdict="dropped",  # by the kernel's own word alone, and by that it is the only rule that takes all of them
        or_verdict="lost",
        cause="host-firewall",
        or_cause="unknown",
        legs=leg("request", f"{N2}/vxlan", f"{N2}/pod", f"{N2}/bridge"),
    ),
    Break(
        name="the receiver does not forward",
        make=((N2, "sysctl", "-qw", "net.ipv4.ip_forward=0"),),
        undo=((N2, "sysctl", "-qw", "net.ipv4.ip_forward=1"),),
        verdict="dropped",
        cause="ip-forward-off",
        legs=leg("request", f"{N2}/vxlan", f"{N2}/pod", f"{N2}/bridge"),
    ),
    Break(
        name="the server rejects connections",
        make=REDIRECT[0],
        undo=REDIRECT[1],
        verdict="rejected",
        cause="nothing-listening",
        legs=leg("request", f"{N2}/pod", None),
        to="slackernews",
        traffic=WEB,
    ),
]
# Its kubelet is cut off as well, where there is a real one.
NIC_DOWN = Break(
    name="the receiver's NIC is down",
    make=((N2, "ip", "link", "set", "ens4", "down"),),
    undo=NIC_UP,
    verdict="lost",
    cause="unknown",
    legs=leg("request", f"{N1}/underlay", f"{N2}/underlay"),
)
ON_ONE = [
    Break(
        name="a node resets connections to the pod",
        make=RESET[0],
        undo=RESET[1],
        verdict="dropped",
        cause="host-firewall",
        legs=leg("request", f"{N2}/vxlan", f"{N2}/pod"),
        to="slackernews",
        traffic=WEB,
    ),
    Break(
        name="the server swallows",
        make=SWALLOW[0],
        undo=SWALLOW[1],
        verdict="unanswered",
        cause="pod-firewall",
        or_cause="server-silent",  # where the kernel's drops cannot be read
        legs=leg("request", f"{N2}/pod", None),
        to="slackernews",
        traffic=WEB,
    ),
    Break(
        name="the pod's own interface is down",
        make=((N2, "ip", "link", "set", "cali2b903875fe4", "down"),),
        undo=(
            (N2, "ip", "link", "set", "cali2b903875fe4", "up"),
            (N2, "ip", "route", "replace", DNS_ADDRESS, "dev", "cali2b903875fe4", "scope", "link"),
        ),
        verdict="dropped",
        or_verdict="lost",
        cause="pod-unreachable",
        legs=leg("request", f"{N2}/vxlan", f"{N2}/pod"),
    ),
    Break(
        name="the sender has no route",
        make=((N1, "ip", "route", "del", "10.244.56.128/26"),),
        undo=((N1, "ip", "route", "replace", "10.244.56.128/26", "via", "10.244.56.128", "dev", "vxlan.calico", "onlink"),),
        verdict="dropped",
        or_verdict="lost",  # the default gateway answers no ARP; the kernel drops what waited for it up to 3 s later (arp(7))
        cause="route-missing",
        legs=leg("request", f"{N1}/pod", f"{N1}/vxlan"),
    ),
]


@contextmanager
def broken(place: Lab, make: Sequence[Command], undo: Sequence[Command]) -> Iterator[None]:
    try:
        for where, *words in make:
            run_at(place, where, *words)
        yield
    finally:
        for where, *words in undo:
            run_at(place, where, *words)


def run_at(place: Lab, where: str, *words: str) -> None:
    """Run a command in the network of a node, or of a pod (`namespace/name`)."""
    (place.pod if "/" in where else place.node)(where, *words)


def dns_address(place: Lab) -> str:
    """The address of the pod on ada-ec-2 that answers DNS."""
    return place.pod(DNS_POD, "ip", "-4", "-o", "address", "show", "eth0").split()[3].partition("/")[0]


def judged(place: Lab, case: Break, tmp_path: Path) -> None:
    undo = [tuple(dns_address(place) if word == DNS_ADDRESS else word for word in words) for words in case.undo]
    with ExitStack() as stack:
        stack.enter_context(broken(place, case.make, undo))
        if case.traffic is not None:
            stack.enter_context(place.traffic(*case.traffic))
        run = place.vxtrace("pod", CLIENT, "--to", case.to, "--duration", "3s", "-o", "json", "--bundle", "none", cwd=tmp_path)
    assert run.code == 3, run.stderr
    report = run.report
    assert report["verdict"] in (case.verdict, case.or_verdict), report["summary"]
    assert report["cause"] in (case.cause, case.or_cause), report["summary"]
    found = {where(report, finding) for finding in errors(report)}
    assert found
    assert found <= case.legs


def errors(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in report["findings"] if finding["severity"] == "error"]


def where(report: dict[str, Any], finding: dict[str, Any]) -> tuple[str, str | None, str | None]:
    direction = direction_of(next(flow for flow in report["flows"] if flow["id"] == finding["flow"]), finding["direction"])
    return finding["direction"], place_of(direction, finding["leg"]["from"]), place_of(direction, finding["leg"]["to"])


@pytest.mark.parametrize("case", ON_BOTH, ids=lambda case: case.name)
def test_a_break_on_each_backend(place: Lab, case: Break, tmp_path: Path) -> None:
    judged(place, case, tmp_path)


@pytest.mark.lab_only
def test_a_node_that_is_cut_off_while_its_kubelet_is_not(place: Lab, tmp_path: Path) -> None:
    judged(place, NIC_DOWN, tmp_path)


@pytest.mark.one_backend
@pytest.mark.calico_only
@pytest.mark.parametrize("case", ON_ONE, ids=lambda case: case.name)
def test_a_break_on_calicos_nodes(place: Lab, case: Break, tmp_path: Path) -> None:
    judged(place, case, tmp_path)


def test_a_pod_without_a_link_is_unreachable(place: Lab, backend: str, tmp_path: Path) -> None:
    """Its node gives up asking for its MAC address sooner or later, and the leg moves one hop up where there is a bridge."""
    gateway = place.pod(DNS_POD, "ip", "route", "show", "default").split()[2]
    on_link = () if backend == "flannel" else ((DNS_POD, "ip", "route", "replace", gateway, "dev", "eth0", "scope", "link"),)
    undo = (
        (DNS_POD, "ip", "link", "set", "eth0", "up"),
        *on_link,
        (DNS_POD, "ip", "route", "replace", "default", "via", gateway, "dev", "eth0"),
    )
    with broken(place, ((DNS_POD, "ip", "link", "set", "eth0", "down"),), undo):
        run = place.trace("--bundle", "none", cwd=tmp_path, duration="3s")
    assert run.code == 3, run.stderr
    assert run.report["cause"] == "pod-unreachable", run.report["summary"]
    found = {where(run.report, finding) for finding in errors(run.report)}
    assert found <= leg("request", f"{N2}/vxlan", f"{N2}/pod", f"{N2}/bridge") | leg("request", f"{N2}/bridge", f"{N2}/pod")


def test_a_backend_is_followed_in_every_form_that_leads_to_it(place: Lab, tmp_path: Path) -> None:
    """Lookups through the Service go on all the time, to all its backends; one of these is traced, which is pinged as well."""
    with place.traffic("ping", "--rate", "10"):
        run = place.vxtrace("pod", CLIENT, "--to", f"pod/{DNS_POD}", "--duration", "3s", "-o", "json", "--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    flows = {
        (flow["protocol"], flow["service"] and flow["service"]["name"], flow["server"] and flow["server"]["pod"])
        for flow in run.report["flows"]
    }
    assert flows == {("ICMP", None, DNS_POD), ("UDP", "kube-system/kube-dns", DNS_POD)}


@pytest.mark.parametrize(("node", "code", "verdict"), [(N2, 3, {"lost", "dropped"}), (N3, 0, {"delivered"})], ids=["its own", "another's"])
def test_the_fault_of_a_backend_that_is_traced_alone(place: Lab, node: str, code: int, verdict: set[str], tmp_path: Path) -> None:
    """Both backends of kube-dns are asked; what the other one's node drops is nobody's."""
    with broken(place, *rule(node, "INPUT", "-p", "udp", "--dport", "4789:8472", "-j", "DROP")):
        run = place.vxtrace("pod", CLIENT, "--to", f"pod/{DNS_POD}", "--duration", "5s", "-o", "json", "--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"] in verdict) == (code, True), run.report["summary"]
    assert {flow["server"] and flow["server"]["pod"] for flow in run.report["flows"]} == {DNS_POD}


def test_a_masqueraded_ping_to_a_node_is_one_flow(place: Lab, tmp_path: Path) -> None:
    ping = subprocess.Popen(place.inside(CLIENT, "ping", "-qi", "0.2", "10.128.0.95"), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        run = place.vxtrace("pod", CLIENT, "--to", f"node/{N2}", "--duration", "3s", "-o", "json", "--bundle", "none", cwd=tmp_path)
    finally:
        ping.terminate()
        ping.wait(timeout=10)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.report["summary"]
    (flow,) = run.report["flows"]
    for direction in flow["directions"]:
        assert len(set(hop_packets(direction))) == 1


@pytest.mark.one_backend
@pytest.mark.calico_only
def test_two_faults_are_two_findings_on_two_legs(place: Lab, tmp_path: Path) -> None:
    half = rule(
        N2, "INPUT", "-p", "udp", "--dport", "4789", "-m", "statistic", "--mode", "nth", "--every", "2", "--packet", "0", "-j", "DROP"
    )
    back = rule(N1, "FORWARD", "-p", "udp", "--sport", "53", "-s", "10.244.106.64/26", "-j", "DROP", table="mangle")
    with broken(place, half[0] + back[0], half[1] + back[1]):
        run = place.trace("--bundle", "none", cwd=tmp_path, duration="5s")
    assert (run.code, run.report["verdict"]) == (3, "dropped"), run.report["summary"]
    assert {where(run.report, finding) for finding in errors(run.report)} == {
        ("request", f"{N2}/underlay", f"{N2}/vxlan"),
        ("reply", f"{N1}/vxlan", f"{N1}/pod"),
    }


@pytest.mark.one_backend
def test_what_is_lost_inside_the_window_is_what_the_rule_counted(place: Lab, tmp_path: Path) -> None:
    words = ("-p", "tcp", "--dport", "3000", "-m", "statistic", "--mode", "nth", "--every", "7", "--packet", "0", "-j", "DROP")
    make, undo = rule(N2, "FORWARD", *words)
    counted: list[int] = []

    def ask() -> None:
        time.sleep(0.3)
        argv = [sys.executable, "-m", place.command, "traffic", "--kind", "http", "--rate", "10", "--seconds", "2"]
        subprocess.run(argv, cwd=ROOT, stdout=subprocess.DEVNULL, env=place.environment(), check=True)
        line = place.node(N2, "iptables", "-w", "-L", "FORWARD", "1", "-v", "-x", "-n")
        counted.append(int(line.split()[0]))

    with broken(place, make, undo):
        report = traced_while(place, ask, "8s", tmp_path, "--to", "slackernews")
    assert counted
    assert counted[0] > 0
    (flow,) = report["flows"]
    assert sum(each["lost"] for each in direction_of(flow, "request")["legs"]) == counted[0]
    assert report["cause"] == "host-firewall"


def traced_while(place: Lab, action: Callable[[], None], duration: str, cwd: Path, *extra: str) -> dict[str, Any]:
    """Run a trace, and `action` as soon as its captures listen; the report."""
    argv = [
        sys.executable,
        "-m",
        "kubectl_vxtrace",
        "pod",
        CLIENT,
        *extra,
        "--duration",
        duration,
        "-o",
        "json",
        "--bundle",
        str(cwd / "b.zip"),
    ]
    environment = {**place.environment(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert any("listening" in line for line in iter(running.stderr.readline, ""))
        action()
        stdout, stderr = running.communicate(timeout=60)
    return Run(running.returncode, stdout, stderr).report
