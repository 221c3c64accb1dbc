"""What a node said, read into facts. What could not be read stands in `absent` with its reason."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from kubectl_vxtrace.facts import counters, links
from kubectl_vxtrace.facts.conntrack import read_conntrack
from kubectl_vxtrace.facts.frames import Frame, UnreadableError, split
from kubectl_vxtrace.facts.iptables import read_iptables
from kubectl_vxtrace.facts.neighbours import read_fdb, read_neighbours
from kubectl_vxtrace.facts.nft import read_nft
from kubectl_vxtrace.facts.routes import read_lookups, read_routes
from kubectl_vxtrace.model.cluster import NodeAnswer
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts, RouteLookup, Rule

# Questions that every look asks; where there is no answer at all, each of them is absent.
QUESTIONS = (
    "clock",
    "kernel",
    "links",
    "addresses",
    "routes",
    "lookups",
    "pairs",
    "neighbours",
    "fdb",
    "conntrack",
    "iptables",
    "nft",
    "sysctls",
    "snmp",
    "netstat",
    "snmp6",
    "softnet_stat",
    "conntrack-stat",
)
# Settings that a look asks for on every node. Without br_netfilter, or outside the first network namespace, some do not exist.
SETTINGS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.bridge.bridge-nf-call-iptables",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
)
_COUNTERS: tuple[tuple[str, Callable[[bytes], dict[str, int]]], ...] = (
    ("snmp", counters.read_tables),
    ("netstat", counters.read_tables),
    ("snmp6", counters.read_list),
    ("softnet_stat", counters.read_softnet),
    ("conntrack-stat", counters.read_conntrack_statistics),
)
# A question whose tool may refuse some lines and answer the others.
_PARTIAL = ("lookups", "pairs")

T = TypeVar("T")


def texts(answer: NodeAnswer) -> dict[str, bytes]:
    """The raw text of each question of a look, by its key; keys are plain names (`links`, `ethtool-k.ens4`), fit for files."""
    try:
        frames = split(answer)
    except UnreadableError:
        return {"look": answer.stdout + answer.stderr}
    return {key: frame.stdout or frame.stderr for key, frame in frames.items()}


def parse(answer: NodeAnswer) -> NodeFacts:
    """The facts of one look. Never raises: questions without an answer stand in `absent`, by the keys of `texts`.

    A setting that the node does not have is absent as `sysctl.<name>`.
    """
    node = answer.command.node
    try:
        frames = split(answer)
    except UnreadableError as error:
        return NodeFacts(node=node, taken_ns=answer.sent_ns, absent={key: str(error) for key in QUESTIONS})
    return _Reader(frames).facts(node, answer)


class _Reader:
    """Reads the frames of one answer and notes what is absent."""

    def __init__(self, frames: Mapping[str, Frame]) -> None:
        self._frames = frames
        self._absent = {key: "not asked" for key in QUESTIONS if key not in frames}

    def facts(self, node: str, answer: NodeAnswer) -> NodeFacts:
        clock = self._read("clock", lambda raw: _clock(raw, answer))
        addresses = self._read("addresses", links.read_addresses) or {}
        sysctls = self._read("sysctls", counters.read_sysctls) or {}
        self._absent.update({f"sysctl.{name}": "the node has no such setting" for name in SETTINGS if name not in sysctls})
        return NodeFacts(
            node=node,
            taken_ns=clock.node_ns if clock else answer.sent_ns,
            clock=clock,
            kernel=self._read("kernel", lambda raw: raw.decode("utf-8", "replace").strip()),
            links=self._read("links", lambda raw: links.read_links(raw, addresses=addresses, bpf=self._bpf())) or (),
            routes=self._read("routes", read_routes) or (),
            lookups=self._lookups("lookups") + self._lookups("pairs"),
            neighbours=self._read("neighbours", read_neighbours) or (),
            fdb=self._read("fdb", read_fdb) or (),
            rules=self._rules(),
            conntrack=self._read("conntrack", read_conntrack) or (),
            counters=self._counters(),
            sysctls=sysctls,
            ethtool=self._ethtool(),
            absent=self._absent,
        )

    def _read(self, key: str, reader: Callable[[bytes], T]) -> T | None:
        """`reader` applied to the answer to `key`; None where there is none, which is noted."""
        frame = self._frames.get(key)
        if frame is None:
            return None
        complaint = None if key in _PARTIAL and frame.status is not None else frame.complaint
        if complaint is not None:
            self._absent[key] = complaint
            return None
        try:
            return reader(frame.stdout)
        except UnreadableError as error:
            self._absent[key] = str(error)
            return None

    def _lookups(self, key: str) -> tuple[RouteLookup, ...]:
        asked, frame = self._frames.get(f"{key}-asked"), self._frames.get(key)
        if asked is None or frame is None:
            return ()
        return self._read(key, lambda raw: read_lookups(asked.stdout, raw, frame.stderr)) or ()

    def _rules(self) -> tuple[Rule, ...]:
        iptables = self._read("iptables", read_iptables) or ()
        legacy = self._read("iptables-legacy", read_iptables) or ()
        return iptables + legacy + (self._read("nft", read_nft) or ())

    def _counters(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, reader in _COUNTERS:
            found.update(self._read(key, reader) or {})
        for key, device in self._devices("ethtool-S."):
            found.update(self._read(key, partial(counters.read_ethtool_counters, device)) or {})
        return found

    def _ethtool(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, device in self._devices("ethtool-k."):
            found.update(self._read(key, partial(counters.read_ethtool_features, device)) or {})
        for key, device in self._devices("ethtool-i."):
            found.update(self._read(key, partial(counters.read_ethtool_driver, device)) or {})
        return found

    def _bpf(self) -> frozenset[str]:
        found = set(self._read("bpf", links.read_bpf) or ())
        for prefix in ("tc-ingress.", "tc-egress."):
            for key, device in self._devices(prefix):
                if self._read(key, links.has_bpf_filter):
                    found.add(device)
        return frozenset(found)

    def _devices(self, prefix: str) -> list[tuple[str, str]]:
        return [(key, key.removeprefix(prefix)) for key in self._frames if key.startswith(prefix)]


def _clock(raw: bytes, answer: NodeAnswer) -> ClockReading:
    """`STARTED RESOLUTION ENDED`: the node's clock at both ends of the look.

    The look took as long for the client, so that its start was received no later than the answer less that time; a node
    clock that was stepped back meanwhile is not used for this.
    """
    words = raw.split()
    if len(words) != 3 or not all(word.isdigit() and len(word) < 20 for word in words):
        raise UnreadableError("the clock could not be read")
    started_ns, resolution_ns, ended_ns = (int(word) for word in words)
    received_ns = answer.received_ns - max(0, ended_ns - started_ns - resolution_ns)
    return ClockReading(
        node_ns=started_ns,
        sent_ns=answer.sent_ns,
        received_ns=max(received_ns, answer.sent_ns),
        resolution_ns=resolution_ns,
    )
