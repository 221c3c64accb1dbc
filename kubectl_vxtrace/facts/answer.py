"""What a node said, read into facts. What could not be read stands in `absent` with its reason."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import TypeVar

from kubectl_vxtrace.facts import bpf, counters, host, links, routes
from kubectl_vxtrace.facts.conntrack import read_conntrack
from kubectl_vxtrace.facts.frames import Frame, UnreadableError, split
from kubectl_vxtrace.facts.iptables import read_iptables
from kubectl_vxtrace.facts.ipvs import read_ipvs, read_ipvs_connections
from kubectl_vxtrace.facts.neighbours import read_fdb, read_neighbours
from kubectl_vxtrace.facts.nft import read_nft
from kubectl_vxtrace.facts.proxy import proxy_mode
from kubectl_vxtrace.facts.sets import read_ipset, read_nft_sets
from kubectl_vxtrace.model.cluster import NodeAnswer
from kubectl_vxtrace.model.facts import BpfProgram, NodeFacts, RouteLookup, Rule, WireguardPeer

# Questions that every look asks; where there is no answer at all, each of them is absent.
QUESTIONS = (
    "clock",
    "kernel",
    "links",
    "addresses",
    "routes",
    "rules",
    "rules6",
    "exceptions",
    "exceptions6",
    "lookups",
    "pairs",
    "neighbours",
    "fdb",
    "qdiscs",
    "conntrack",
    "iptables",
    "nft",
    "sysctls",
    "snmp",
    "netstat",
    "snmp6",
    "softnet_stat",
    "conntrack-stat",
    "arp_cache",
    "ndisc_cache",
    "udp",
    "udp6",
    "bpf",
    "xfrm-states",
    "xfrm-policies",
    "adjtimex",
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
    ("xfrm_stat", counters.read_list),
    ("conntrack-stat", partial(counters.read_statistics, "conntrack")),
    ("arp_cache", partial(counters.read_statistics, "arp_cache")),
    ("ndisc_cache", partial(counters.read_statistics, "ndisc_cache")),
    ("xfrm-states", lambda raw: {"xfrm.states": host.read_xfrm_count(raw)}),
    ("xfrm-policies", lambda raw: {"xfrm.policies": host.read_xfrm_count(raw)}),
)
_FILTERS = (("iptables", 4), ("iptables-legacy", 4), ("ip6tables", 6), ("ip6tables-legacy", 6))
_WIREGUARD = ("endpoints", "allowed-ips", "latest-handshakes", "transfer")
# A question whose tool may refuse some lines and answer the others.
_PARTIAL = ("lookups", "pairs", "tuples")

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
        clock = self._read("clock", lambda raw: host.read_clock(raw, answer))
        prefixes = self._read("addresses", links.read_addresses) or {}
        sysctls = self._read("sysctls", counters.read_sysctls) or {}
        self._absent.update({f"sysctl.{name}": "the node has no such setting" for name in SETTINGS if name not in sysctls})
        programs = self._programs()
        attached = frozenset(program.device for program in programs if program.hook != "xdp")
        qdiscs = self._read("qdiscs", links.read_qdiscs)
        found = self._read("links", lambda raw: links.read_links(raw, prefixes=prefixes, bpf=attached, qdiscs=qdiscs)) or ()
        rules = self._rules()
        services = self._read("ipvs", read_ipvs) or ()
        return NodeFacts(
            node=node,
            taken_ns=clock.node_ns if clock else answer.sent_ns,
            clock=clock,
            kernel=self._read("kernel", lambda raw: raw.decode("utf-8", "replace").strip()),
            links=found,
            routes=self._read("routes", routes.read_routes) or (),
            routing_rules=(self._read("rules", partial(routes.read_routing_rules, family=4)) or ())
            + (self._read("rules6", partial(routes.read_routing_rules, family=6)) or ()),
            exceptions=(self._read("exceptions", routes.read_exceptions) or ()) + (self._read("exceptions6", routes.read_exceptions) or ()),
            lookups=self._lookups("lookups") + self._lookups("pairs"),
            tuple_lookups=self._lookups("tuples"),
            neighbours=self._read("neighbours", read_neighbours) or (),
            fdb=self._read("fdb", read_fdb) or (),
            rules=rules,
            sets=(self._read("ipset", read_ipset) or ()) + (self._read("nft-sets", read_nft_sets) or ()),
            bpf_programs=programs,
            conntrack=self._read("conntrack", read_conntrack) or (),
            ipvs=services,
            ipvs_connections=self._read("ipvs-connections", read_ipvs_connections) or (),
            proxy_mode=proxy_mode(rules, found, services),
            udp_sockets=(self._read("udp", host.read_udp) or ()) + (self._read("udp6", host.read_udp) or ()),
            wireguard=self._wireguard(),
            time_sync=self._read("adjtimex", host.read_adjtimex),
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
        return self._read(key, lambda raw: routes.read_lookups(asked.stdout, raw, frame.stderr)) or ()

    def _rules(self) -> tuple[Rule, ...]:
        """All rules. Where a table of nft could not be read, `nft` is absent, and the others are there."""
        found = list(chain.from_iterable(self._read(key, partial(read_iptables, family=family)) or () for key, family in _FILTERS))
        self._read("nft", bytes)
        for key, _ in self._devices("nft-table."):
            rules = self._read(key, read_nft)
            if rules is None:
                self._absent["nft"] = f"table {self._nft_table(key)}: {self._absent[key]}"
                continue
            found += rules
        return tuple(found)

    def _nft_table(self, key: str) -> str:
        """What the answer to `key` says of itself at its beginning, for a table that cannot be read."""
        said = self._frames[key].stdout[:4096].decode("utf-8", "replace")
        _, _, rest = said.partition('"table": {')
        return rest.partition("}")[0] or key.removeprefix("nft-table.")

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
        for key, device in self._devices("ethtool-g."):
            found.update(self._read(key, partial(counters.read_ethtool_rings, device)) or {})
        return found

    def _programs(self) -> tuple[BpfProgram, ...]:
        """Each program once: bpftool, where there is one, knows all, tc and ip what they made."""
        found = [*(self._read("bpf", bpf.read_bpftool) or ()), *(self._read("links", bpf.read_xdp) or ())]
        for hook in ("ingress", "egress"):
            for key, device in self._devices(f"tc-{hook}."):
                found += self._read(key, partial(bpf.read_tc_filters, device, f"tc/{hook}")) or ()
        seen: dict[tuple[str, str, int | None], BpfProgram] = {}
        for program in found:
            seen.setdefault((program.device, program.hook, program.id), program)
        return tuple(seen.values())

    def _wireguard(self) -> tuple[WireguardPeer, ...]:
        answers = {question: self._read(f"wireguard-{question}", bytes) for question in _WIREGUARD}
        return host.read_wireguard({question: raw for question, raw in answers.items() if raw is not None})

    def _devices(self, prefix: str) -> list[tuple[str, str]]:
        return [(key, key.removeprefix(prefix)) for key in self._frames if key.startswith(prefix)]
