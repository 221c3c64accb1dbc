"""The script for real, in a network namespace shaped like a Calico node, under the shells of Debian and Alpine."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_vxtrace.facts import look, parse, texts
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup
from tests.facts.programs import attached

NODE = "fc-look"
# What busybox brings itself in an image where it is everything but the network tools.
APPLETS = ("sh", "cat", "date", "echo", "grep", "head", "mkdir", "renice", "rm", "sleep", "timeout", "wc")
SHELLS = ("dash", "busybox")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("ip", "bridge", "dash", "busybox", "nft", "iptables", "ethtool", "conntrack", "ipset")),
        reason="needs iproute2, dash, busybox, nftables, iptables, ethtool, conntrack, ipset",
    ),
]

# Without IPv6: its addresses and routes come about a second or two after a link is up.
_WIRING = """
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link set lo up
ip link add ens4 type veth peer name ens4p
ip addr add 10.128.0.72/24 dev ens4
ip link set ens4 up
ip link set ens4p up
ip link add cali1 type veth peer name pod1
ip link set cali1 up
ip link set pod1 up
ip link add vxlan.calico type vxlan id 4096 local 10.128.0.72 dev ens4 dstport 4789 nolearning
ip addr add 10.244.114.64/32 dev vxlan.calico
ip link set vxlan.calico up
ip route add 10.244.114.75 dev cali1
ip route add 10.244.56.128/26 via 10.244.56.128 dev vxlan.calico onlink
ip route add blackhole 10.244.114.64/26
ip neigh add 10.128.0.200 dev ens4 nud failed
ip neigh add proxy 169.254.1.1 dev cali1
ip neigh add 10.244.56.128 lladdr 66:0a:9c:5e:ee:5e dev vxlan.calico nud permanent
bridge fdb add 66:0a:9c:5e:ee:5e dev vxlan.calico dst 10.128.0.95
sysctl -qw net.ipv4.ip_forward=1
"""
_TABLE = """
table inet firewalld {
    chain filter_INPUT {
        type filter hook input priority 10; policy accept;
        udp dport 4789 ip saddr @strangers counter drop
    }
    set strangers {
        type ipv4_addr
        elements = { 192.0.2.9 }
    }
}
"""


def _in_node(*argv: str, text: str | None = None) -> None:
    subprocess.run(["ip", "netns", "exec", NODE, *argv], input=text, text=True, check=True, capture_output=True)


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    try:
        subprocess.run(["ip", "netns", "add", NODE], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("network namespaces are not allowed here")
    try:
        _in_node("sh", "-e", text=_WIRING)
        _in_node("iptables", "-A", "FORWARD", "-m", "comment", "--comment", 'a "quoted" one', "-j", "DROP")
        _in_node("nft", "-f", "-", text=_TABLE)
        _in_node("ipset", "create", "cali40all-vxlan-net", "hash:net")
        _in_node("ipset", "add", "cali40all-vxlan-net", "10.128.0.95")
        _in_node("iptables", "-A", "INPUT", "-m", "set", "--match-set", "cali40all-vxlan-net", "src", "-j", "ACCEPT")
        yield
    finally:
        subprocess.run(["ip", "netns", "del", NODE], check=False, capture_output=True)


@pytest.fixture
def ask(tmp_path: Path) -> "Ask":
    return Ask(tmp_path)


class Ask:
    """Asks the node with `sh` being dash, or being busybox with busybox's own tools."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.applets = folder / "bin"
        self.applets.mkdir()
        for applet in APPLETS:
            (self.applets / applet).symlink_to(str(shutil.which("busybox")))

    def __call__(
        self,
        shell: str,
        *,
        local: str = "10.244.114.75",
        path: str | None = None,
        tools: Path | None = None,
        more: tuple[str, ...] = (),
        dropped: str | None = None,
    ) -> NodeAnswer:
        """`path` instead of what is searched for programs; `tools` a folder that is searched first; `dropped` as setpriv(1) takes it."""
        command = look(NODE, local=[local], remote=["10.244.56.129", "10.244.106.65"], underlay=["10.128.0.95"])
        env = {"PATH": path or os.environ["PATH"], "TMPDIR": str(self.folder)}
        if shell == "busybox" and path is None:
            env["PATH"] = f"{self.applets}:{env['PATH']}"
        interpreter = {"dash": "dash", "busybox": str(self.applets / "sh")}[shell]
        script = [*command.argv[1:], *more]
        if tools is not None:
            env["PATH"] = f"{tools}:{env['PATH']}"
        if path is not None:
            script[1] = script[1].replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
        sent_ns = time.time_ns()
        ip = str(shutil.which("ip"))
        less = [] if dropped is None else ["setpriv", "--bounding-set", dropped, "--inh-caps", dropped]
        done = subprocess.run([ip, "netns", "exec", NODE, *less, interpreter, *script], capture_output=True, check=False, env=env)
        status = AnswerStatus.OK if done.returncode == 0 else AnswerStatus.FAILED
        return NodeAnswer(
            command=command,
            status=status,
            exit_code=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
            sent_ns=sent_ns,
            received_ns=time.time_ns(),
        )


def _stable(facts: NodeFacts) -> tuple[object, ...]:
    """What cannot have changed between two looks."""
    links = [(link.name, link.kind, link.mac, link.vxlan, link.up, link.addresses) for link in facts.links]
    neighbours = [(each.address, each.device, each.mac, each.states, each.proxy) for each in facts.neighbours]
    return links, facts.routes, facts.lookups, neighbours, facts.fdb, facts.rules, facts.sysctls, facts.ethtool, facts.kernel


@pytest.mark.parametrize("shell", SHELLS)
def test_everything_is_answered(shell: str, ask: Ask) -> None:
    answer = ask(shell)
    assert answer.stderr == b""
    facts = parse(answer)
    # What veth, a network namespace of one's own or Debian does not have.
    devices = {"ethtool-S.vxlan.calico", "ethtool-g.ens4", "ethtool-g.vxlan.calico"}
    settings = {"sysctl.net.ipv4.neigh.default.gc_thresh3", "sysctl.net.bridge.bridge-nf-call-iptables"}
    # The pod's end of cali1 lies in the node's own namespace here.
    assert facts.absent.keys() <= {"bpf", "arp_cache", "ndisc_cache", "pod-namespaces"} | devices | settings
    tunnel = facts.link("vxlan.calico")
    assert tunnel is not None
    assert tunnel.vxlan is not None
    assert (tunnel.vxlan.vni, tunnel.vxlan.port, tunnel.vxlan.local, tunnel.vxlan.device) == (4096, 4789, "10.128.0.72", "ens4")
    assert [entry.destination for entry in facts.fdb if entry.device == "vxlan.calico"] == ["10.128.0.95"]
    assert facts.sysctls["net.ipv4.ip_forward"] == "1"
    assert int(facts.sysctls["net.netfilter.nf_conntrack_max"]) > 9
    assert facts.sysctls["net.ipv4.conf.vxlan/calico.rp_filter"] in ("0", "1", "2")
    assert {facts.sysctls[f"net.ipv4.conf.{device}.proxy_arp"] for device in ("all", "default", "vxlan/calico", "ens4", "cali1")} == {"0"}
    assert {
        "net.ipv4.conf.cali1.log_martians",
        "net.ipv6.conf.cali1.disable_ipv6",
        "net.ipv4.conf.cali1.accept_local",
    } <= facts.sysctls.keys()
    assert facts.ethtool["ens4.driver"] == "veth"
    assert {"TcpExt.TCPAbortOnTimeout", "IpExt.InNoRoutes", "rt_cache.in_martian_src", "TcpExt.ListenOverflows"} <= facts.counters.keys()
    assert {"Udp.NoPorts", "TcpExt.IPReversePathFilter", "softnet.dropped", "conntrack.insert_failed"} <= facts.counters.keys()
    assert {(rule.backend, rule.chain, rule.target) for rule in facts.rules if rule.text != "policy"} == {
        ("iptables-nft", "FORWARD", "DROP"),
        ("iptables-nft", "INPUT", "ACCEPT"),
        ("nft", "filter_INPUT", "DROP"),
    }
    assert {found.name: found.members for found in facts.sets} == {
        "cali40all-vxlan-net": ("10.128.0.95",),
        "inet firewalld strangers": ("192.0.2.9",),
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_routes_are_asked_as_packets_ask(shell: str, ask: Ask) -> None:
    lookups = {(each.destination, each.source, each.input): each for each in parse(ask(shell)).lookups}
    outward = lookups["10.244.56.129", "10.244.114.75", "cali1"]
    assert (outward.device, outward.gateway) == ("vxlan.calico", "10.244.56.128")
    assert lookups["10.244.114.75", "10.244.56.129", "vxlan.calico"].device == "cali1"
    assert lookups["10.128.0.95", "10.128.0.72", None].device == "ens4"
    assert lookups["10.244.106.65", None, None] == RouteLookup(destination="10.244.106.65", error="Network is unreachable")


@pytest.fixture
def policy_route() -> Iterator[None]:
    """A rule that sends what comes from the node's own address to a gateway, and one for a mark."""
    _in_node(
        "sh", "-e", text="ip route add default via 10.128.0.1 dev ens4 table 30400\nip rule add from 10.128.0.72 lookup 30400 pref 300"
    )
    _in_node("sh", "-e", text="ip rule add fwmark 0x10/0xf0 prohibit pref 200\nip rule add fwmark 0x10/0xff lookup 7 pref 201")
    yield
    _in_node("sh", "-e", text="ip rule del pref 200\nip rule del pref 201\nip rule del pref 300\nip route flush table 30400")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.usefixtures("policy_route")
def test_the_way_of_outer_packets_is_asked_as_the_vxlan_device_asks(shell: str, ask: Ask) -> None:
    facts = parse(ask(shell))
    plain, marked = facts.outer_lookups
    assert (plain.destination, plain.source, plain.output, plain.port) == ("10.128.0.95", "10.128.0.72", "ens4", 4789)
    assert (plain.gateway, plain.device, plain.table) == ("10.128.0.1", "ens4", "30400")
    assert (marked.mark, marked.error) == ("0x10", None)
    assert [rule.table for rule in facts.routing_rules if rule.family == 4] == ["local", None, "7", "30400", "main", "default"]
    assert [route.gateway for route in facts.routes if route.table == "30400"] == ["10.128.0.1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_service_address_of_the_node_itself_is_local_to_its_pods(shell: str, ask: Ask) -> None:
    _in_node("ip", "addr", "add", "10.96.0.10/32", "dev", "lo")
    lookups = {
        (each.source, each.input): each
        for each in parse(ask(shell, more=("service:10.96.0.10",))).lookups
        if each.destination == "10.96.0.10"
    }
    _in_node("ip", "addr", "del", "10.96.0.10/32", "dev", "lo")
    assert {where: answer.type for where, answer in lookups.items()} == {
        (None, None): "local",
        ("10.244.114.75", "cali1"): "local",
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_neighbours_with_what_is_wrong_of_them(shell: str, ask: Ask) -> None:
    known = {(each.device, each.address): each for each in parse(ask(shell)).neighbours}
    failed = known["ens4", "10.128.0.200"]
    assert (failed.states, failed.mac, failed.probes) == (("FAILED",), None, 0)
    assert failed.updated_s is not None
    assert known["cali1", "169.254.1.1"].proxy


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl")
@pytest.mark.parametrize("shell", SHELLS)
def test_programs_and_filters_of_any_device_by_name(shell: str, ask: Ask) -> None:
    _in_node("sh", "-e", text="tc qdisc add dev pod1 clsact\ntc filter add dev pod1 egress bpf da bytecode '1,6 0 0 2'")
    with attached(
        NODE, [("vxlan.calico", "tcx/ingress", "first"), ("vxlan.calico", "tcx/ingress", "second"), ("cali1", "tcx/egress", "out")]
    ):
        facts = parse(ask(shell))
    _in_node("tc", "qdisc", "del", "dev", "pod1", "clsact")
    assert {(each.device, each.hook, each.position, each.name) for each in facts.bpf_programs} == {
        ("vxlan.calico", "tcx/ingress", 0, "first"),
        ("vxlan.calico", "tcx/ingress", 1, "second"),
        ("cali1", "tcx/egress", 0, "out"),
        ("pod1", "tc/egress", 0, "1,6 0 0 2"),
    }
    assert [(each.device, each.direction, each.kind, each.direct) for each in facts.tc_filters] == [("pod1", "egress", "bpf", True)]
    assert {link.name for link in facts.links if link.bpf} == {"vxlan.calico", "cali1", "pod1"}


def test_a_kernel_that_refuses_is_not_one_without_programs(ask: Ask) -> None:
    facts = parse(ask("dash", dropped="-sys_admin,-bpf,-net_admin,-perfmon"))
    assert facts.absent["tcx"].startswith("programs cannot be asked for: Operation not permitted")


@pytest.mark.parametrize("shell", SHELLS)
def test_policies_of_ipsec_and_no_keys(shell: str, ask: Ask, tmp_path: Path) -> None:
    """A tool that prints keys although it was told not to."""
    _in_node("ip", "xfrm", "policy", "add", "src", "10.128.0.0/24", "dst", "10.9.0.0/24", "dir", "out", "action", "block")
    entry = r"src 10.128.0.72 dst 10.128.0.95\n\tproto esp spi 0x101 reqid 1 mode transport\n\tenc cbc(aes) 0x5ec2e7\n"
    real = shutil.which("ip")
    answer = ask(shell, tools=_tools(tmp_path, ip=f"case \"$*\" in *'state list'*) printf '{entry}' ;; *) exec {real} \"$@\" ;; esac"))
    _in_node("ip", "xfrm", "policy", "flush")
    facts = parse(answer)
    assert [(each.direction, each.action, each.packets) for each in facts.ipsec_policies] == [("out", "block", 0)]
    assert [(each.spi, each.mode) for each in facts.ipsec_states] == [("0x101", "transport")]
    assert b"5ec2e7" not in answer.stdout + answer.stderr


_KUBE_PROXY = """
table ip kube-proxy {
    map service-ips {
        type ipv4_addr . inet_proto . inet_service : verdict
    }
    chain service-NWBZK7IH-kube-system/kube-dns/udp/dns {
        meta l4proto udp dnat to 10.244.56.129:53
    }
    chain nat-prerouting {
        type nat hook prerouting priority -100;
        ip daddr . meta l4proto . th dport vmap @service-ips
    }
}
add element ip kube-proxy service-ips { 10.96.0.10 . udp . 53 : goto service-NWBZK7IH-kube-system/kube-dns/udp/dns }
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_what_kube_proxys_nftables_translate(shell: str, ask: Ask) -> None:
    _in_node("nft", "-f", "-", text=_KUBE_PROXY)
    facts = parse(ask(shell))
    _in_node("nft", "delete", "table", "ip", "kube-proxy")
    (found,) = facts.service_translations
    assert (found.address, found.port, found.backends, found.service) == (
        "10.96.0.10",
        53,
        (("10.244.56.129", 53),),
        "kube-system/kube-dns:dns",
    )
    assert facts.proxy_mode == "nftables"


@pytest.mark.parametrize("shell", SHELLS)
def test_rules_that_take_packets_otherwise_than_by_dropping(shell: str, ask: Ask) -> None:
    _in_node("iptables", "-t", "mangle", "-A", "POSTROUTING", "-o", "cali1", "-j", "NFQUEUE", "--queue-num", "100")
    _in_node("iptables", "-t", "raw", "-A", "PREROUTING", "-p", "udp", "--dport", "53", "-j", "NOTRACK")
    facts = parse(ask(shell))
    _in_node("iptables", "-t", "mangle", "-F")
    _in_node("iptables", "-t", "raw", "-F")
    taking = {
        (rule.table, rule.chain, rule.target, rule.packets)
        for rule in facts.rules
        if rule.table in ("mangle", "raw") and rule.text != "policy"
    }
    assert taking == {("mangle", "POSTROUTING", "NFQUEUE", 0), ("raw", "PREROUTING", "NOTRACK", 0)}
    assert facts.queue_listeners == ()


POD = "fc-look-pod"


@pytest.fixture
def pod() -> Iterator[None]:
    """The pod's end of cali1 in a network namespace of its own, with a second interface, routes and a packet filter."""
    subprocess.run(["ip", "netns", "add", POD], check=True, capture_output=True)
    _in_node("ip", "link", "set", "pod1", "netns", POD, "name", "eth0")
    wiring = "ip addr add 10.244.114.75/32 dev eth0\nip link set eth0 up\nip link add net1 type veth peer name net1p\n"
    wiring += "ip addr add 192.168.50.2/24 dev net1\nip link set net1 up\nip link set net1p up\n"
    subprocess.run(["ip", "netns", "exec", POD, "sh", "-e"], input=wiring, text=True, check=True, capture_output=True)
    yield
    subprocess.run(["ip", "-n", POD, "link", "set", "eth0", "name", "pod1", "netns", NODE], check=True, capture_output=True)
    subprocess.run(["ip", "netns", "del", POD], check=True, capture_output=True)
    _in_node("sh", "-e", text="ip link set pod1 up")


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl")
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.usefixtures("pod")
def test_a_pods_own_interfaces_are_told_by_the_nodes_kernel(shell: str, ask: Ask) -> None:
    facts = parse(ask(shell))
    (found,) = facts.pod_namespaces
    own = {each.name: each for each in found.interfaces}
    host_side = facts.link("cali1")
    assert host_side is not None
    assert (host_side.peer_namespace, host_side.peer_index, host_side.index) == (found.id, own["eth0"].index, own["eth0"].host_index)
    assert (own["eth0"].prefixes[0], own["net1"].prefixes[0]) == ("10.244.114.75/32", "192.168.50.2/24")
    assert own["eth0"].settings["rp_filter"] in (0, 1, 2)


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl")
@pytest.mark.parametrize("shell", SHELLS)
def test_an_address_that_no_namespace_has_is_said(shell: str, ask: Ask) -> None:
    facts = parse(ask(shell))
    assert facts.pod_namespaces == ()
    assert facts.absent["pod-namespaces"] == "no network namespace that the node has a link into has the address 10.244.114.75"


@pytest.mark.parametrize("shell", SHELLS)
def test_who_listens_on_the_node(shell: str, ask: Ask) -> None:
    script = "import socket, sys; s = socket.socket(); s.bind(('10.128.0.72', 9100)); s.listen(5); print(flush=True); sys.stdin.read()"
    argv = ["ip", "netns", "exec", NODE, sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        facts = parse(ask(shell))
        server.communicate()
    assert [(each.address, each.port, each.waiting, each.limit) for each in facts.listeners] == [("10.128.0.72", 9100, 0, 5)]


def test_both_shells_answer_alike(ask: Ask) -> None:
    dash, busybox = ask("dash"), ask("busybox")
    assert texts(dash).keys() == texts(busybox).keys()
    assert _stable(parse(dash)) == _stable(parse(busybox))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_clock_is_the_clients_own_here(shell: str, ask: Ask) -> None:
    clock = parse(ask(shell)).clock
    assert clock is not None
    assert clock.sent_ns - clock.resolution_ns <= clock.node_ns <= clock.received_ns + clock.resolution_ns


@pytest.mark.parametrize("shell", SHELLS)
def test_an_address_of_the_node_itself(shell: str, ask: Ask) -> None:
    lookups = {(each.destination, each.source, each.input): each for each in parse(ask(shell, local="10.128.0.72")).lookups}
    assert lookups["10.128.0.72", None, None].type == "local"
    assert ("10.244.56.129", "10.128.0.72", None) in lookups


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_is_left_on_the_node(shell: str, ask: Ask) -> None:
    ask(shell)
    assert [path.name for path in ask.folder.iterdir()] == ["bin"]


def test_a_node_without_tools_says_so(ask: Ask) -> None:
    facts = parse(ask("busybox", path=str(ask.applets)))
    assert facts.absent["links"] == "ip is not installed"
    assert facts.absent["fdb"] == "bridge is not installed"
    assert facts.absent["iptables"] == "iptables-save is not installed"
    assert facts.absent["nft"] == "nft is not installed"
    assert facts.kernel
    assert facts.counters["Ip.InDelivers"] >= 0


def _tools(folder: Path, **scripts: str) -> Path:
    """A folder with tools that are others."""
    bad = folder / "bad"
    bad.mkdir()
    for name, script in scripts.items():
        tool = bad / name.replace("_", "-")
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    return bad


@pytest.mark.parametrize("shell", SHELLS)
def test_bad_tools_make_their_own_facts_absent(shell: str, ask: Ask, tmp_path: Path) -> None:
    tools = _tools(
        tmp_path,
        bridge="yes x | head -c 9000000",
        conntrack="echo 'conntrack v1.4.7: Vorgang nicht zulässig' >&2; exit 1",
        nft="printf '\\377\\376 garbage'; exit 0",
        ethtool="head -c 3000000 /dev/zero | tr '\\0' e >&2; exit 75",
        tc="exit 255",
    )
    facts = parse(ask(shell, tools=tools))
    assert facts.absent["fdb"] == "the answer is longer than 2097152 bytes"
    assert facts.absent["conntrack"] == "conntrack v1.4.7: Vorgang nicht zulässig"
    assert facts.absent["ethtool-k.ens4"].startswith("eeee")
    assert facts.link("vxlan.calico") is not None
    assert facts.routes
    assert any(rule.chain == "FORWARD" for rule in facts.rules)


def test_a_tool_that_hangs_does_not_hold_up_the_look(ask: Ask, tmp_path: Path) -> None:
    started_s = time.monotonic()
    facts = parse(ask("dash", tools=_tools(tmp_path, bridge="trap '' TERM; exec sleep 60")))
    assert time.monotonic() - started_s < 12
    assert facts.absent["fdb"] == "no answer in time"
    assert facts.routes


def test_where_all_hangs_the_look_gives_up(ask: Ask, tmp_path: Path) -> None:
    started_s = time.monotonic()
    facts = parse(ask("dash", tools=_tools(tmp_path, ip="sleep 60", iptables_nft_save="sleep 60")))
    assert time.monotonic() - started_s < 20
    assert facts.absent["iptables"] == facts.absent["links"] == "no answer in time"
    assert facts.absent["routes"] == "not asked: three questions before had no answer in time"
    assert facts.counters["Ip.InDelivers"] >= 0


def test_one_tool_at_a_time(ask: Ask, tmp_path: Path) -> None:
    """Tools that note when they begin and end: none begins before the last has ended."""
    log = tmp_path / "log"
    scripts = {
        name: f'echo begin >>{log}; {shutil.which(name.replace("_", "-"))} "$@"; status=$?; echo end >>{log}; exit $status'
        for name in ("ip", "bridge", "tc", "ethtool", "nft", "conntrack", "iptables_nft_save")
    }
    assert parse(ask("dash", tools=_tools(tmp_path, **scripts))).routes
    lines = log.read_text().split()
    assert lines == ["begin", "end"] * (len(lines) // 2)
    assert len(lines) > 30


def test_a_look_is_quick(ask: Ask) -> None:
    """A guard against questions that wait for each other: alone it takes about 0.1 s, and this machine may be busy."""
    started_s = time.monotonic()
    ask("dash")
    assert time.monotonic() - started_s < 2.0


@pytest.mark.parametrize("shell", SHELLS)
def test_connections_alone(shell: str, ask: Ask) -> None:
    facts = parse(ask(shell, more=("only:conntrack",)))
    assert "conntrack" not in facts.absent
    assert facts.clock is not None
    assert facts.absent["links"] == "not asked"


@pytest.mark.parametrize(("local", "families"), [("10.244.114.75", {4, None}), ("fd00::5", {4, 6, None})])
def test_rules_of_ipv6_are_read_where_its_packets_are_looked_for(local: str, families: set[int | None], ask: Ask) -> None:
    _in_node("ip6tables", "-A", "FORWARD", "-j", "DROP")
    assert {rule.family for rule in parse(ask("dash", local=local)).rules} == families


@pytest.mark.skipif(shutil.which("iptables-legacy") is None, reason="needs iptables-legacy")
@pytest.mark.parametrize("shell", SHELLS)
def test_legacy_tables_are_read_where_there_are_any(shell: str, ask: Ask) -> None:
    """The kernel's list of them is a file of /proc: it has content and no size."""
    _in_node("iptables-legacy", "-A", "INPUT", "-p", "udp", "--dport", "8472", "-j", "DROP")
    assert [rule.target for rule in parse(ask(shell)).rules if rule.backend == "iptables-legacy" and "8472" in rule.text] == ["DROP"]
    _in_node("iptables-legacy", "-F")
