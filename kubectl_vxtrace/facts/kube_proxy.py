"""What kube-proxy has made on a node: in which mode it runs, and what its nftables translate.

These are maps of addresses and ports, and the chains that they lead to (pkg/proxy/nftables/proxier.go).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kubectl_vxtrace.facts.reading import Record, child, children, number, text, whole
from kubectl_vxtrace.facts.sets import verdict
from kubectl_vxtrace.model.datapath import ServiceTranslation
from kubectl_vxtrace.model.facts import IpvsService, Link, Rule

_TABLE = "kube-proxy"
# What leads to endpoints, and what says that there are none.
_KINDS = {
    "service-ips": "cluster-ip",
    "service-nodeports": "node-port",
    "no-endpoint-services": "no-endpoints",
    "no-endpoint-nodeports": "no-endpoints",
}
# "service-ULMVA6XW-ns1/svc1/tcp/p80": a hash, then namespace, name, protocol and the port's name, which may be empty.
_MOST_PORT = 65535
_CHAIN = re.compile(r"(?:service|external|local)-[A-Z2-7]{8}-([^/]+)/([^/]+)/[a-z]+/([^/]*)")
# From a Service's chain to those of its endpoints, by way of the one for traffic from outside and the one for the node's own endpoints.
_MOST_STEPS = 4
_MOST_ENTRIES = 20_000

_Chains = Mapping[tuple[str, str], Sequence[Record]]


def proxy_mode(rules: Sequence[Rule], links: Sequence[Link], services: Sequence[IpvsService]) -> str | None:
    """`ipvs`, `nftables` or `iptables`; None where nothing of kube-proxy is here.

    kube-proxy in IPVS mode keeps a device `kube-ipvs0` that holds the Services' addresses, in nftables mode tables called `kube-proxy`,
    in iptables mode a chain KUBE-SERVICES in `nat` (pkg/proxy/{ipvs,nftables,iptables}/proxier.go). What it made
    in a mode that it ran in before may be left, so the newer kind comes first.
    """
    if services and any(link.name == "kube-ipvs0" for link in links):
        return "ipvs"
    if any(rule.backend == "nft" and rule.table.endswith(" kube-proxy") for rule in rules):
        return "nftables"
    if any(rule.chain == "KUBE-SERVICES" and rule.table == "nat" for rule in rules):
        return "iptables"
    return None


def read_translations(tables: Iterable[Record], maps: Iterable[Record]) -> tuple[ServiceTranslation, ...]:
    """Each address and port in kube-proxy's maps with what is made of it.

    Args:
        tables: items of `nft -j -t list table` of the tables `ip kube-proxy` and `ip6 kube-proxy`.
        maps: items of `nft -j list maps`.
    """
    chains: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for item in tables:
        rule = child(item, "rule")
        if text(rule, "table") == _TABLE:
            chains[text(rule, "family") or "", text(rule, "chain") or ""].append(rule)
    found: list[ServiceTranslation] = []
    for item in maps:
        described = child(item, "map")
        kind = _KINDS.get(text(described, "name") or "")
        if kind is not None and text(described, "table") == _TABLE:
            found += _of_map(kind, described, chains)
    return tuple(found[:_MOST_ENTRIES])


def _of_map(kind: str, described: Record, chains: _Chains) -> Iterator[ServiceTranslation]:
    elements = described.get("elem")
    for element in elements if isinstance(elements, list) else []:
        if not isinstance(element, list) or len(element) != 2:
            continue
        key, comment = _key(element[0])
        if key is None:
            continue
        address, protocol, port = key
        said = verdict(element[1])
        chain = said.removeprefix("goto ") if said.startswith("goto ") else None
        backends = _backends(text(described, "family") or "", chain, chains)
        yield ServiceTranslation(
            kind=kind,
            address=address,
            port=port,
            protocol=protocol.upper(),
            chain=chain,
            verdict=_verdict(said, backends),
            backends=backends,
            service=comment or _service(chain),
        )


def _key(value: object) -> tuple[tuple[str | None, str, int] | None, str | None]:
    """`{"concat": ["10.96.0.10", "udp", 53]}`, of a node port without the address; one with a comment is wrapped in `elem`."""
    comment = None
    if isinstance(value, dict) and isinstance(value.get("elem"), dict):
        comment = text(value["elem"], "comment")
        value = value["elem"].get("val")
    parts = value.get("concat") if isinstance(value, dict) else None
    if not isinstance(parts, list) or len(parts) not in (2, 3):
        return None, comment
    *address, protocol, last = parts
    port = whole(last)
    if port is None or not 0 <= port <= _MOST_PORT or not all(isinstance(part, str) for part in (protocol, *address)):
        return None, comment
    return (address[0] if address else None, protocol, port), comment


def _verdict(said: str, backends: Sequence[tuple[str, int]]) -> str | None:
    if backends:
        return "translate"
    return {"drop": "drop", "goto reject-chain": "reject"}.get(said)


def _service(chain: str | None) -> str | None:
    named = _CHAIN.fullmatch(chain or "")
    if named is None:
        return None
    return f"{named[1]}/{named[2]}:{named[3]}" if named[3] else f"{named[1]}/{named[2]}"


def _backends(family: str, chain: str | None, chains: _Chains) -> tuple[tuple[str, int], ...]:
    """Where the rules of a chain translate to, and those of the chains that it leads to."""
    found: dict[tuple[str, int], None] = {}
    ahead = [chain] if chain is not None else []
    for _ in range(_MOST_STEPS):
        rules = [rule for name in ahead for rule in chains.get((family, name), ())]
        expressions = [expression for rule in rules for expression in children(rule, "expr")]
        for expression in expressions:
            target = child(expression, "dnat")
            address, port = text(target, "addr"), number(target, "port")
            if address is not None and port is not None:
                found[address, port] = None
        ahead = [name for expression in expressions for name in _next(expression)]
    return tuple(found)


def _next(expression: Record) -> Iterator[str]:
    """The chains that packets go on to for good: a jump into mark-for-masquerade comes back."""
    target = text(child(expression, "goto"), "target")
    if target is not None:
        yield target
    pairs = child(child(expression, "vmap"), "data").get("set")
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict):
            target = text(child(pair[1], "goto"), "target")
            if target is not None:
                yield target
