"""The recordings as a trace would have made them: raw answers through the parsers, objects through their records, planned paths, captures.

`calico-3.30.tar.xz` holds, for each scenario, what every node printed before and after five seconds of captures (the files' names say the
command), what the API server said, and the truth; the captures themselves stand in tests/topology/recorded.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from shutil import copy
from typing import Any, TypeVar

import msgspec

from kubectl_vxtrace.capture.plan import plan_captures
from kubectl_vxtrace.facts import parse
from kubectl_vxtrace.kube.objects import NodeObject, PodObject
from kubectl_vxtrace.kube.serviceobjects import ServiceObject, SliceObject
from kubectl_vxtrace.model.cluster import AnswerStatus, ClusterSnapshot, NodeAnswer, NodeCommand, Scope
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Recording
from kubectl_vxtrace.model.request import Limits, Request
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.topology.cni import ANNOTATION_PREFIXES
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import plan_paths
from kubectl_vxtrace.topology.resolve import parse_target, resolve
from tests.facts.samples import framed

HERE = Path(__file__).parent
CAPTURES = HERE.parent / "topology" / "recorded"
NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")
SCENARIOS = ("healthy", "netpol-egress", "netpol-ingress", "unknown-vtep")
SECOND_NS = 1_000_000_000
# Keys of the look, and the recorded commands whose output is the same.
_KEYS = {
    "links": "ip-link.json",
    "addresses": "ip-addr.json",
    "routes": "ip-route.json",
    "rules": "ip-rule.json",
    "neighbours": "ip-neigh.json",
    "fdb": "bridge-fdb.json",
    "conntrack": "conntrack.txt",
    "iptables": "iptables-save.txt",
    "ipset": "ipset.txt",
    "sysctls": "sysctl.txt",
    "snmp": "proc-net-snmp.txt",
    "netstat": "proc-net-netstat.txt",
    "softnet_stat": "proc-net-softnet_stat.txt",
    "conntrack-stat": "proc-net-stat-nf_conntrack.txt",
    "kernel": "uname.txt",
    "ethtool-k.ens4": "ethtool-k-ens4.txt",
    "ethtool-k.vxlan.calico": "ethtool-k-vxlan.txt",
    "ethtool-S.ens4": "ethtool-S-ens4.txt",
    "ethtool-i.ens4": "ethtool-i-ens4.txt",
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is wrong: the leg as (node, role) twice, and the cause."""

    direction: str
    start: tuple[str, str]
    end: tuple[str, str]
    cause: str


@cache
def said(scenario: str) -> Mapping[str, bytes]:
    """Everything that was written down of a scenario, by its path."""
    with tarfile.open(HERE / "calico-3.30.tar.xz") as archive:
        found = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name.partition("/")[2]: file.read() for name, file in found.items() if file and name.startswith(f"{scenario}/")}


def truth(scenario: str) -> Truth | None:
    """What is wrong in a scenario, None where nothing is."""
    told = json.loads(said(scenario)["truth.json"])["truth"]
    if told is None:
        return None
    start, end = (told[key][0] + "/" + told[key][1] for key in ("from", "to"))
    return Truth(direction=told["direction"], start=tuple(start.split("/")), end=tuple(end.split("/")), cause=told["cause"])


def recording(scenario: str, folder: Path) -> Recording:
    """The recording, with its captures copied to `folder`."""
    request = Request(
        command="pod",
        source=parse_target("kotsadm/kotsadm"),
        target=parse_target("kube-system/kube-dns:53/udp"),
        limits=Limits(duration_s=5.0),
    )
    snapshot = _snapshot(scenario)
    flows = resolve(request, snapshot)
    before, after = (tuple(_facts(scenario, node, when) for node in NODES) for when in ("before", "after"))
    overlay = read_overlay(snapshot, before, flows)
    planned = plan_paths(flows, overlay, before, snapshot)
    plan = plan_captures(
        limits=request.limits, user_filter=None, flows=flows, paths=planned.paths, watch=planned.watch, overlay=overlay, facts=before
    )
    captures = _captures(scenario, folder, plan.tasks)
    began_ns, ended_ns = captures[0].started_ns or 0, captures[0].stopped_ns or 0
    return Recording(
        session=scenario,
        version="0.1.0",
        started_ns=began_ns - SECOND_NS,
        duration_s=5.0,
        request=request,
        snapshot=snapshot,
        overlay=overlay,
        flows=flows,
        paths=planned.paths,
        before=tuple(replace(one, taken_ns=began_ns - SECOND_NS) for one in before),
        after=tuple(replace(one, taken_ns=ended_ns + SECOND_NS) for one in after),
        captures=captures,
        gaps=planned.gaps,
        folder=str(folder),
    )


def raw_answers(scenario: str, when: str) -> dict[str, dict[str, bytes]]:
    """What each node printed, by node and question, as a trace folder keeps it."""
    files = said(scenario)
    found = {node: {key: files[f"{when}/{node}/{name}"] for key, name in _KEYS.items()} for node in NODES}
    for answers in found.values():
        answers["sysctls"] = _paths(answers["sysctls"])
    return found


def _paths(settings: bytes) -> bytes:
    """What sysctl(8) printed, as the look reads it: paths below /proc/sys, in which dots are slashes and slashes dots."""
    lines = (line.partition(" = ") for line in settings.decode().splitlines())
    return "".join(f"{name.translate(str.maketrans('./', '/.'))}:{value}\n" for name, _, value in lines).encode()


def _facts(scenario: str, node: str, when: str) -> NodeFacts:
    parts = {key: ("0", text, b"") for key, text in raw_answers(scenario, when)[node].items()}
    command = NodeCommand(node=node, key="look", argv=("sh",))
    facts = parse(
        NodeAnswer(command=command, status=AnswerStatus.OK, exit_code=0, stdout=framed(parts), stderr=b"", sent_ns=0, received_ns=0)
    )
    return replace(facts, lookups=tuple(_lookups(facts, scenario)))


def _lookups(facts: NodeFacts, scenario: str) -> Iterator[RouteLookup]:
    """What the kernel would have answered, by the longest prefix of its recorded tables: it was asked for one address only."""
    wanted = [address for pod in _snapshot(scenario).pods for address in pod.addresses]
    wanted += [address for node in _snapshot(scenario).nodes for address in node.addresses]
    for target in dict.fromkeys(wanted):
        fitting = [route for route in facts.routes if route.destination != "default" and _covers(route.destination, target)]
        if not fitting:
            continue
        best = max(fitting, key=lambda route: ip_network(route.destination, strict=False).prefixlen)
        yield RouteLookup(destination=target, type=best.type, gateway=best.gateway, device=best.device)


def _covers(destination: str, target: str) -> bool:
    network = ip_network(destination, strict=False)
    return network.version == 4 and ip_address(target) in network


@cache
def _snapshot(scenario: str) -> ClusterSnapshot:
    pods = tuple(item.record() for item in _items(scenario, "pods", PodObject))
    homes = {pod.full_name: pod.node for pod in pods if pod.node is not None}
    backends = {one.service: tuple(one.records(homes)) for one in _items(scenario, "endpointslices", SliceObject)}
    services = _items(scenario, "services", ServiceObject)
    return ClusterSnapshot(
        scope=Scope.WIDE,
        namespace="kotsadm",
        nodes=tuple(item.record(ANNOTATION_PREFIXES) for item in _items(scenario, "nodes", NodeObject)),
        pods=pods,
        services=tuple(item.record(backends.get((item.metadata.namespace, item.metadata.name), ())) for item in services),
    )


def _items(scenario: str, name: str, kind: type[T]) -> list[T]:
    items: list[Any] = json.loads(said(scenario)[f"cluster/{name}.json"])["items"]
    return [msgspec.convert(item, kind) for item in items]


def _captures(scenario: str, folder: Path, tasks: tuple[CaptureTask, ...]) -> tuple[CaptureResult, ...]:
    """The captures with tcpdump's closing numbers. They ran at once, on one machine: from its first frame to its last."""
    log = said(scenario)["tcpdump.log"].decode()
    found = {task: copy(CAPTURES / scenario / task.file, folder) for task in tasks}
    tables = [read_pcap(path) for path in found.values()]
    times = [int(bound) for table in tables if len(table) for bound in (table.time_ns.min(), table.time_ns.max())]
    bounds = min(times), max(min(times) + 5 * SECOND_NS, max(times))
    return tuple(_capture(task, Path(path), table, log, bounds) for (task, path), table in zip(found.items(), tables, strict=True))


def _capture(task: CaptureTask, path: Path, table: PacketTable, log: str, bounds: tuple[int, int]) -> CaptureResult:
    closing = re.search(
        rf"^{re.escape(task.file)}: .*\n(\d+) packets captured\n(\d+) packets received.*\n(\d+) packets dropped", log, re.MULTILINE
    )
    assert closing is not None, f"tcpdump's closing numbers of {task.file}"
    captured, received, dropped = (int(number) for number in closing.groups())
    assert captured == len(table)
    raw = path.read_bytes()
    return CaptureResult(
        task=replace(task, sources_but=None),  # the recorded filters were those of the procedure
        status=CaptureStatus.COMPLETE,
        started_ns=bounds[0],
        stopped_ns=bounds[1],
        received=received,
        captured=captured,
        dropped_by_kernel=dropped,
        size_bytes=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        file=task.file,
    )
