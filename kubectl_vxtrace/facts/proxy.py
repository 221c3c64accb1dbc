"""What kube-proxy has made on a node, and so in which mode it runs."""

from collections.abc import Sequence

from kubectl_vxtrace.model.facts import IpvsService, Link, Rule


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
