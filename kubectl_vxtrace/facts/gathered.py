"""Facts that several answers of a look make together."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain

from kubectl_vxtrace.facts import bpf, counters, host, nft, routes
from kubectl_vxtrace.facts.given import Given
from kubectl_vxtrace.facts.iptables import read_iptables
from kubectl_vxtrace.facts.kube_proxy import read_translations
from kubectl_vxtrace.facts.reading import Record
from kubectl_vxtrace.facts.traffic_control import read_tc
from kubectl_vxtrace.model.datapath import ServiceTranslation, TcFilter
from kubectl_vxtrace.model.facts import BpfProgram, RouteLookup, Rule, WireguardPeer

_COUNTERS: tuple[tuple[str, Callable[[bytes], dict[str, int]]], ...] = (
    ("snmp", counters.read_tables),
    ("netstat", counters.read_tables),
    ("snmp6", counters.read_list),
    ("softnet_stat", counters.read_softnet),
    ("xfrm_stat", counters.read_list),
    ("conntrack-stat", counters.read_conntrack_statistics),
    ("arp_cache", partial(counters.read_statistics, "arp_cache")),
    ("ndisc_cache", partial(counters.read_statistics, "ndisc_cache")),
    ("rt_cache", partial(counters.read_statistics, "rt_cache")),
    ("xfrm-states", lambda raw: {"xfrm.states": host.read_xfrm_count(raw)}),
    ("xfrm-policies", lambda raw: {"xfrm.policies": host.read_xfrm_count(raw)}),
)
_ETHTOOL: tuple[tuple[str, Callable[[str, bytes], dict[str, str]]], ...] = (
    ("ethtool-k.", counters.read_ethtool_features),
    ("ethtool-i.", counters.read_ethtool_driver),
    ("ethtool-g.", counters.read_ethtool_rings),
)
# Questions for tables of nft: kube-proxy's, and all others that iptables did not print.
_PROXY, _OTHERS = "nft-proxy.", "nft-table."
_FILTERS = (("iptables", 4), ("iptables-legacy", 4), ("ip6tables", 6), ("ip6tables-legacy", 6))
_WIREGUARD = ("endpoints", "allowed-ips", "latest-handshakes", "transfer")


def lookups(given: Given, key: str) -> tuple[RouteLookup, ...]:
    """The kernel's answers to one batch of route questions."""
    return given.batch(key, routes.read_lookups) or ()


def nft_tables(given: Given) -> dict[str, list[Record]]:
    """What nft lists of each table, by the question. Where one could not be read, `nft` is absent, and the others are there."""
    found = {}
    given.read("nft", bytes)
    for prefix in (_PROXY, _OTHERS):
        for key, number in given.numbered(prefix):
            items = given.read(key, nft.read_items)
            if items is None:
                given.absent["nft"] = f"table {_table_name(given.beginning(key)) or number}: {given.absent[key]}"
            else:
                found[key] = items
    return found


def _table_name(beginning: str) -> str:
    """What an answer says of its table at its beginning, for one that cannot be read."""
    return beginning.partition('"table": {')[2].partition("}")[0]


def rules(given: Given, tables: Mapping[str, list[Record]]) -> tuple[Rule, ...]:
    """All rules of iptables and, of `tables`, of nft."""
    saved = chain.from_iterable(given.read(key, partial(read_iptables, family=family)) or () for key, family in _FILTERS)
    return (*saved, *chain.from_iterable(nft.rules_of(items) for items in tables.values()))


def service_translations(given: Given, tables: Mapping[str, list[Record]]) -> tuple[ServiceTranslation, ...]:
    """What kube-proxy's among nft's `tables` make of each address and port."""
    maps = given.read("nft-maps", nft.read_items) or []
    own = chain.from_iterable(items for key, items in tables.items() if key.startswith(_PROXY))
    return read_translations(own, maps)


def all_counters(given: Given) -> dict[str, int]:
    """Counters of /proc/net and of interfaces' drivers."""
    found: dict[str, int] = {}
    for key, reader in _COUNTERS:
        found.update(given.read(key, reader) or {})
    for key, device in given.numbered("ethtool-S."):
        found.update(given.read(key, partial(counters.read_ethtool_counters, device)) or {})
    return found


def ethtool(given: Given) -> dict[str, str]:
    """Features, drivers and rings of interfaces."""
    found: dict[str, str] = {}
    for prefix, reader in _ETHTOOL:
        for key, device in given.numbered(prefix):
            found.update(given.read(key, partial(reader, device)) or {})
    return found


def tc_filters(given: Given) -> tuple[TcFilter, ...]:
    """Filters of tc at all devices that have a hook for them."""
    return given.batch("tc", read_tc) or ()


def programs(given: Given, filters: Iterable[TcFilter]) -> tuple[BpfProgram, ...]:
    """Each BPF program once: bpftool, where there is one, knows most, `filters` those at tc, the kernel itself those at tcx."""
    said = [*(given.read("bpf", bpf.read_bpftool) or ()), *(given.read("tcx", bpf.read_tcx) or ())]
    return bpf.in_order([*said, *bpf.of_filters(filters), *(given.read("links", bpf.read_xdp) or ())])


def wireguard(given: Given) -> tuple[WireguardPeer, ...]:
    """Peers of WireGuard devices."""
    answers = {question: given.read(f"wireguard-{question}", bytes) for question in _WIREGUARD}
    return host.read_wireguard({question: raw for question, raw in answers.items() if raw is not None})
