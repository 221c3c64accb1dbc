"""Traffic between two pods of the lab whose every packet the kernel counts, and rules that drop a share of it at one place.

The counters are those of nft rules, in namespaces that the plugin does not ask about the packets. Everything that is sent is sent
while the captures run, for the pods are silent before and are made silent (an OUTPUT rule) before the window ends.
"""

import itertools
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from tests.datapath import servers, tools
from tests.e2e import drops, kernel
from tests.e2e.drops import CLIENT, FABRIC, KINDS, NFLOG_GROUPS, NODES, PORT, SERVER, TRAIN_PORT, Ends, Key, Rule
from tests.e2e.place import Lab, Run
from tests.environment import TooBusyError

TABLE = "vxtruth"
TRAIN_BYTES = 4000
DURATIONS_S = (4.0, 10.0)
"""Of a trace, and once more where the machine was too busy to end the traffic more than a second before it."""
TALK_S = 1.4
SILENCE_S = 0.3
MARGIN_S = 1.05
"""The second that the plugin takes off the window's end, and what clocks leave open on one machine."""

Found = TypeVar("Found")


@dataclass
class Truth:
    """What the kernel counted, by kind and direction: handed out by the sending pod (trains as one, and TCP before it is cut), dropped
    by the rule, taken in by the other pod. `segments`: how many packets of the wire the rule dropped, where that was written down."""

    sent: dict[Key, int] = field(default_factory=dict)
    dropped: dict[Key, int] = field(default_factory=dict)
    arrived: dict[Key, int] = field(default_factory=dict)
    segments: dict[Key, int] = field(default_factory=dict)


@dataclass
class Said:
    """What the plugin says: packets that vanished and undetermined ones per kind, direction and leg; packets at the first and last hop."""

    lost: dict[Key, dict[Ends, int]]
    undetermined: dict[Key, int]
    first: dict[Key, int]
    last: dict[Key, int]


class Pair:
    """The two pods, with servers in one of them."""

    def __init__(self, place: Lab, backend: str) -> None:
        self.place = place
        self.backend = backend
        self.address = {pod: kernel.address(f"pod-{pod}") for pod in (CLIENT, SERVER)}
        self.vxlan_port = {"calico": 4789, "flannel": 8472}[backend]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Servers on both ports."""
        with ExitStack() as stack:
            for port in (PORT, TRAIN_PORT):
                stack.enter_context(kernel.running(f"pod-{SERVER}", servers.program("stream", "serve", str(port))))
            self._wait_listening()
            yield

    def offload(self, how: str) -> None:
        """off: every frame is a packet; on: super-packets all the way; cut: super-packets on the nodes, packets on the wire."""
        device = {"calico": "vxlan.calico", "flannel": "flannel.1"}[self.backend]
        for pod, node in NODES.items():
            kernel.ethtool(f"pod-{pod}", "eth0", how != "off", "tso", "gso")
            kernel.ethtool(node, device, how != "off", "gro")
            kernel.ethtool(node, "ens4", how == "on", "tso", "gso", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation")

    def clients(self) -> list[list[str]]:
        """What the client's pod runs."""
        server = self.address[SERVER]
        talk = ["--seconds", str(TALK_S)]
        return [
            servers.program("stream", "up", f"{server}:{PORT}", "--connections", "4", "--bytes", "600000", *talk),
            servers.program("stream", "down", f"{server}:{PORT}", "--connections", "4", "--bytes", "600000", *talk),
            servers.program("stream", "echo", f"{server}:{PORT}", "--connections", "50", "--bytes", "200", "--rate", "600", *talk),
            servers.program(
                "stream", "echo", f"{server}:{TRAIN_PORT}", "--connections", "4", "--bytes", str(TRAIN_BYTES), "--rate", "250", *talk
            ),
            servers.program("ask", "ping", server, "-", "--rate", "300", "--timeout", "0.1", *talk),
        ]

    def lookups(self, share: str, cwd: Path) -> tuple[Run, Mapping[str, int]]:
        """One trace of parallel DNS questions through the service; rules drop a share of them behind its DNAT, and of the answers."""
        dns = "10.96.0.10:53"
        asks = servers.program("ask", "dns", dns, servers.QUESTION, "--rate", "300", "--seconds", str(TALK_S), "--timeout", "0.2")
        client = self.address[CLIENT]
        rules = {"request": f"ip saddr {client} udp dport 53", "reply": f"ip daddr {client} udp sport 53"}
        texts = [f"{match} {share}counter name {way} drop" for way, match in rules.items()]

        def count() -> None:
            self._count([])
            kernel.nft(NODES[CLIENT], kernel.table("ip", f"{TABLE}_forward", list(rules), [kernel.chain("rules", "forward", 5, texts)]))

        def attempt(duration_s: float) -> tuple[Run, Mapping[str, int]]:
            run, _ = trace(self.place, [asks], ["pod", f"default/{CLIENT}", "--to", "kube-system/kube-dns:53/udp"], duration_s, cwd)
            return run, kernel.counters(NODES[CLIENT], "ip", f"{TABLE}_forward")

        return self._with_time(count, attempt)

    def measure(self, rules: Sequence[Rule], cwd: Path) -> tuple[Run, Truth, Said]:
        """One trace of all traffic under these rules.

        Raises:
            TooBusyError: the machine could not even do it in the longest of `DURATIONS_S`.
        """
        return self._with_time(lambda: self._count(rules), lambda duration_s: self._measured(rules, duration_s, cwd))

    def _with_time(self, count: Callable[[], None], attempt: Callable[[float], Found]) -> Found:
        for duration_s in DURATIONS_S[:-1]:
            with suppress(TooBusyError):
                return self._once(count, attempt, duration_s)
        return self._once(count, attempt, DURATIONS_S[-1])

    def _once(self, count: Callable[[], None], attempt: Callable[[float], Found], duration_s: float) -> Found:
        try:
            count()
            return attempt(duration_s)
        finally:
            self._forget()

    def _measured(self, rules: Sequence[Rule], duration_s: float, cwd: Path) -> tuple[Run, Truth, Said]:
        target = ["pod", f"default/{CLIENT}", "--to", f"pod/default/{SERVER}"]
        with ExitStack() as stack:
            logs = {rule.key: stack.enter_context(self._logged(rule, cwd)) for rule in rules if drops.logs(rule)}
            run, said = trace(self.place, self.clients(), target, duration_s, cwd)
        truth = self._read(rules)
        mss_bytes = max(int(line.split()[1]) for line in said if line.startswith("mss"))
        truth.segments = {key: kernel.segments(path, mss_bytes) for key, path in logs.items()}
        return run, truth, read(run.report)

    def _logged(self, rule: Rule, folder: Path) -> AbstractContextManager[Path]:
        return kernel.logged(self._where(rule)[0], NFLOG_GROUPS[rule.direction], folder / f"dropped-{rule.direction}.pcap")

    def _count(self, rules: Sequence[Rule]) -> None:
        self._forget()
        for pod in (CLIENT, SERVER):
            direction, other = ("request", SERVER) if pod == CLIENT else ("reply", CLIENT)
            out = [f"ip daddr {self.address[other]} {drops.plain(kind, direction)} counter name {kind}_{direction}" for kind in KINDS]
            back = "reply" if direction == "request" else "request"
            into = [f"ip saddr {self.address[other]} {drops.plain(kind, back)} counter name {kind}_{back}" for kind in KINDS]
            chains = [
                kernel.chain("gag", "output", -400, []),
                kernel.chain("out", "output", 300, out),
                kernel.chain("into", "input", 300, into),
            ]
            kernel.nft(f"pod-{pod}", kernel.table("ip", TABLE, [f"{kind}_{way}" for kind in KINDS for way in ("request", "reply")], chains))
        for netns, family, hook in self._hooks():
            mine = [rule for rule in rules if self._where(rule) == (netns, family, hook)]
            if mine:
                names = [f"{rule.kind}_{rule.direction}" for rule in mine]
                texts = [
                    f"{self._match(rule)} {drops.share(rule.percent)}{drops.log(rule)}counter name {name} drop"
                    for rule, name in zip(mine, names, strict=True)
                ]
                kernel.nft(netns, kernel.table(family, f"{TABLE}_{hook}", names, [kernel.chain("rules", hook, 5, texts)]))

    def _hooks(self) -> Iterator[tuple[str, str, str]]:
        yield FABRIC, "bridge", "forward"
        for node in NODES.values():
            yield node, "ip", "forward"
            yield node, "ip", "input"

    def _where(self, rule: Rule) -> tuple[str, str, str]:
        """Namespace, family and hook of a rule."""
        if rule.place == "wire":
            return FABRIC, "bridge", "forward"
        at_client = (rule.place == "sender") == (rule.direction == "request")
        return NODES[CLIENT if at_client else SERVER], "ip", "input" if rule.place == "entry" else "forward"

    def _match(self, rule: Rule) -> str:
        source, target = self.address[CLIENT], self.address[SERVER]
        if rule.direction == "reply":
            source, target = target, source
        if rule.place not in ("wire", "entry"):
            return f"ip saddr {source} ip daddr {target} {drops.plain(rule.kind, rule.direction)}"
        guard = f"ether type ip ip protocol udp udp dport {self.vxlan_port}" if rule.place == "wire" else f"udp dport {self.vxlan_port}"
        # Behind 8 bytes of UDP, 8 of VXLAN and 14 of Ethernet: the inner IP header (RFC 7348, 5; RFC 791, 3.1).
        inner = f"@th,336,32 {drops.number(source)} @th,368,32 {drops.number(target)}"
        protocol = {"tcp": 6, "udp": 17, "train": 17, "ping": 1}[rule.kind]
        part = {"udp": " @th,288,16 & 0x3fff == 0", "train": " @th,288,16 & 0x3fff != 0"}.get(rule.kind, "")
        return f"{guard} {inner} @th,312,8 {protocol}{part}"

    def _read(self, rules: Sequence[Rule]) -> Truth:
        truth = Truth()
        at = {pod: kernel.counters(f"pod-{pod}", "ip", TABLE) for pod in (CLIENT, SERVER)}
        for kind in KINDS:
            for way, sender, receiver in (("request", CLIENT, SERVER), ("reply", SERVER, CLIENT)):
                truth.sent[kind, way] = at[sender][f"{kind}_{way}"]
                truth.arrived[kind, way] = at[receiver][f"{kind}_{way}"]
        for rule in rules:
            netns, family, hook = self._where(rule)
            truth.dropped[rule.key] = kernel.counters(netns, family, f"{TABLE}_{hook}")[f"{rule.kind}_{rule.direction}"]
        return truth

    def _forget(self) -> None:
        for pod in (CLIENT, SERVER):
            kernel.nft(f"pod-{pod}", f"table ip {TABLE}\ndelete table ip {TABLE}")
        for netns, family, hook in self._hooks():
            kernel.nft(netns, f"table {family} {TABLE}_{hook}\ndelete table {family} {TABLE}_{hook}")

    def _wait_listening(self) -> None:
        until = time.monotonic() + 10
        while len(tools.run_inside(f"pod-{SERVER}", ["ss", "-Hltun", "sport", ">=", str(PORT)]).stdout.splitlines()) < 4:
            assert time.monotonic() < until, "the servers did not come up"
            time.sleep(0.02)


def trace(place: Lab, clients: Sequence[Sequence[str]], arguments: Sequence[str], duration_s: float, cwd: Path) -> tuple[Run, list[str]]:
    """A trace, and what the clients said, who begin when it listens; when they are done both pods are made silent.

    Raises:
        TooBusyError: the traffic did not end well before the captures did.
    """
    bundle = cwd / f"truth-{duration_s:g}.zip"
    argv = [
        sys.executable,
        "-m",
        "kubectl_vxtrace",
        *arguments,
        "--duration",
        f"{duration_s:g}s",
        "-o",
        "json",
        "--bundle",
        str(bundle),
        "-v",
    ]
    environment = {**place.environment(), "PYTHONPATH": str(Path(__file__).parents[2])}
    with ExitStack() as stack:
        waiting = [
            stack.enter_context(kernel.running(f"pod-{CLIENT}", ["sh", "-c", 'read -r _; exec "$@"', "sh", *one])) for one in clients
        ]
        plugin = stack.enter_context(
            subprocess.Popen(argv, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        assert plugin.stderr is not None
        heard = list(itertools.takewhile(lambda line: "listening" not in line, plugin.stderr))
        for one in waiting:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        said = [text for one in waiting for text in one.communicate(timeout=60)[0].splitlines()]
        time.sleep(SILENCE_S)
        for pod in (CLIENT, SERVER):
            kernel.nft(f"pod-{pod}", f"add rule ip {TABLE} gag counter drop")
        silent_s = time.time()
        stdout, stderr = plugin.communicate(timeout=60)
    assert stdout, f"exit {plugin.returncode}: {''.join(heard)}{stderr}"
    run = Run(plugin.returncode, stdout, "".join(heard) + stderr)
    stopped_s = min(datetime.fromisoformat(one["stopped"]).timestamp() for one in run.report["captures"])
    if silent_s > stopped_s - MARGIN_S:
        raise TooBusyError(f"the traffic ended {stopped_s - silent_s:.2f} s before the captures")
    return run, said


def read(report: Mapping[str, Any]) -> Said:
    """The report's counts by kind and direction."""
    said = Said({}, Counter(), Counter(), Counter())
    for flow in report["flows"]:
        kind = _kind(flow)
        for each in flow["directions"]:
            key = kind, each["direction"]
            names = {hop["hop"]: f"{hop['node']}/{hop['role']}" for hop in each["hops"]}
            hops = [hop["packets"] for hop in each["hops"] if hop["expected"]]
            said.first[key] += hops[0]
            said.last[key] += hops[-1]
            legs = said.lost.setdefault(key, {})
            for leg in each["legs"]:
                ends = names[leg["from"]], names.get(leg["to"], "-")
                if leg["lost"]:
                    legs[ends] = legs.get(ends, 0) + leg["lost"]
                said.undetermined[key] += leg["undetermined"]
    return said


def _kind(flow: Mapping[str, Any]) -> str:
    if flow["protocol"] == "UDP":
        return "train" if flow["server"]["port"] == TRAIN_PORT else "udp"
    return {"TCP": "tcp", "ICMP": "ping"}[flow["protocol"]]
