"""What a node said, read into facts. What could not be read stands in `absent` with its reason."""

from collections.abc import Iterable
from functools import partial

from kubectl_vxtrace.facts import counters, gathered, host, links, routes
from kubectl_vxtrace.facts.conntrack import read_conntrack
from kubectl_vxtrace.facts.frames import UnreadableError, split
from kubectl_vxtrace.facts.given import Given
from kubectl_vxtrace.facts.ipsec import read_policies, read_states
from kubectl_vxtrace.facts.ipvs import read_ipvs, read_ipvs_connections
from kubectl_vxtrace.facts.kube_proxy import proxy_mode
from kubectl_vxtrace.facts.namespaces import read_namespaces
from kubectl_vxtrace.facts.neighbours import read_fdb, read_neighbours
from kubectl_vxtrace.facts.pods import read_pod_rules, read_pods
from kubectl_vxtrace.facts.sets import read_ipset, read_nft_sets
from kubectl_vxtrace.model.cluster import NodeAnswer
from kubectl_vxtrace.model.facts import BpfProgram, Link, NodeFacts

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
    "proxies",
    "fdb",
    "qdiscs",
    "conntrack",
    "iptables",
    "nft",
    "nfqueue",
    "sysctls",
    "snmp",
    "netstat",
    "snmp6",
    "softnet_stat",
    "conntrack-stat",
    "arp_cache",
    "ndisc_cache",
    "rt_cache",
    "udp",
    "udp6",
    "listeners",
    "bpf",
    "tcx",
    "xfrm-states",
    "xfrm-policies",
    "xfrm-policy",
    "xfrm-state",
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
    return _facts(Given(frames, QUESTIONS), node, answer)


def _facts(given: Given, node: str, answer: NodeAnswer) -> NodeFacts:
    clock = given.read("clock", lambda raw: host.read_clock(raw, answer))
    sysctls = given.read("sysctls", counters.read_sysctls) or {}
    given.absent.update({f"sysctl.{name}": "the node has no such setting" for name in SETTINGS if name not in sysctls})
    filters = gathered.tc_filters(given)
    programs = gathered.programs(given, filters)
    interfaces = _links(given, programs)
    tables = gathered.nft_tables(given)
    rules = gathered.rules(given, tables)
    services = given.read("ipvs", read_ipvs) or ()
    return NodeFacts(
        node=node,
        taken_ns=clock.node_ns if clock else answer.sent_ns,
        clock=clock,
        kernel=given.read("kernel", lambda raw: raw.decode("utf-8", "replace").strip()),
        links=interfaces,
        routes=given.read("routes", routes.read_routes) or (),
        routing_rules=(given.read("rules", partial(routes.read_routing_rules, family=4)) or ())
        + (given.read("rules6", partial(routes.read_routing_rules, family=6)) or ()),
        exceptions=(given.read("exceptions", routes.read_exceptions) or ()) + (given.read("exceptions6", routes.read_exceptions) or ()),
        lookups=gathered.lookups(given, "lookups") + gathered.lookups(given, "pairs"),
        tuple_lookups=gathered.lookups(given, "tuples"),
        outer_lookups=gathered.lookups(given, "outer"),
        neighbours=(given.read("neighbours", read_neighbours) or ()) + (given.read("proxies", read_neighbours) or ()),
        fdb=given.read("fdb", read_fdb) or (),
        rules=rules,
        sets=(given.read("ipset", read_ipset) or ())
        + (given.read("nft-sets", read_nft_sets) or ())
        + (given.read("nft-maps", read_nft_sets) or ()),
        queue_listeners=given.read("nfqueue", host.read_queues) or (),
        service_translations=gathered.service_translations(given, tables),
        bpf_programs=programs,
        tc_filters=filters,
        pod_namespaces=given.read("pod-namespaces", read_namespaces) or (),
        pod_facts=read_pods(given),
        pod_rules=read_pod_rules(given),
        ipsec_policies=given.read("xfrm-policy", read_policies) or (),
        ipsec_states=given.read("xfrm-state", read_states) or (),
        conntrack=given.read("conntrack", read_conntrack) or (),
        ipvs=services,
        ipvs_connections=given.read("ipvs-connections", read_ipvs_connections) or (),
        proxy_mode=proxy_mode(rules, interfaces, services),
        udp_sockets=(given.read("udp", host.read_udp) or ()) + (given.read("udp6", host.read_udp) or ()),
        listeners=given.read("listeners", host.read_listeners) or (),
        wireguard=gathered.wireguard(given),
        time_sync=given.read("adjtimex", host.read_adjtimex),
        counters=gathered.all_counters(given),
        sysctls=sysctls,
        ethtool=gathered.ethtool(given),
        absent=given.absent,
    )


def _links(given: Given, programs: Iterable[BpfProgram]) -> tuple[Link, ...]:
    prefixes = given.read("addresses", links.read_addresses) or {}
    attached = frozenset(program.device for program in programs if program.hook != "xdp")
    qdiscs = given.read("qdiscs", links.read_qdiscs)
    return given.read("links", lambda raw: links.read_links(raw, prefixes=prefixes, bpf=attached, qdiscs=qdiscs)) or ()
