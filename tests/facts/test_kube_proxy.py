"""kube-proxy's nftables: a table shaped as its proxier makes it, listed by nft 1.0.6."""

import json

import pytest

from kubectl_vxtrace.facts.kube_proxy import read_translations
from kubectl_vxtrace.facts.nft import read_items, read_nft
from kubectl_vxtrace.facts.sets import read_nft_sets
from kubectl_vxtrace.model.datapath import ServiceTranslation
from tests.facts.samples import said

_TABLE, _MAPS = said("nft-kube-proxy.json"), said("nft-maps.json")
_DNS = "NWBZK7IH-kube-system/kube-dns/udp/dns"
_BACKENDS = {("10.244.56.129", 53), ("10.244.106.65", 53)}


def _translations() -> dict[tuple[str, str | None, int], ServiceTranslation]:
    return {(each.kind, each.address, each.port): each for each in read_translations(read_items(_TABLE), read_items(_MAPS))}


def test_a_services_port_leads_to_its_endpoints() -> None:
    found = _translations()["cluster-ip", "10.96.0.10", 53]
    assert (found.protocol, found.verdict, found.service, found.chain) == (
        "UDP",
        "translate",
        "kube-system/kube-dns:dns",
        f"service-{_DNS}",
    )
    assert set(found.backends) == _BACKENDS


@pytest.mark.parametrize("place", [("cluster-ip", "192.168.99.33", 53), ("node-port", None, 30053)])
def test_an_external_address_and_a_node_port_lead_there_too(place: tuple[str, str | None, int]) -> None:
    found = _translations()[place]
    assert (found.verdict, found.service, set(found.backends)) == ("translate", "kube-system/kube-dns:dns", _BACKENDS)


def test_services_without_endpoints_are_refused_or_dropped() -> None:
    found = _translations()
    dead, local, port = (
        found["no-endpoints", address, number] for address, number in (("10.96.0.9", 80), ("192.168.99.22", 80), (None, 3001))
    )
    assert (dead.verdict, dead.service, dead.protocol, dead.backends) == ("reject", "ns/dead:http", "TCP", ())
    assert (local.verdict, local.service) == ("drop", "ns2/svc2:p80")
    assert (port.verdict, port.address) == ("drop", None)
    unfollowed = found["cluster-ip", "192.168.99.22", 80]
    assert (unfollowed.verdict, unfollowed.backends, unfollowed.service) == (None, (), "ns2/svc2:p80")


def test_the_rule_for_addresses_of_no_service() -> None:
    rules = {rule.comment: rule for rule in read_nft(_TABLE) if rule.chain == "cluster-ips-check"}
    unallocated = rules["Drop traffic to unallocated ClusterIPs"]
    assert (unallocated.target, unallocated.text, unallocated.packets) == ("DROP", "ip daddr 10.96.0.0/12 drop", None)
    assert rules["Reject traffic to invalid ports of ClusterIPs"].target == "REJECT"
    jumps = [(rule.hook, rule.text) for rule in read_nft(_TABLE) if rule.target == "cluster-ips-check"]
    assert jumps == [("forward", "ct state new jump cluster-ips-check")]


def test_verdict_maps_in_words() -> None:
    texts = [rule.text for rule in read_nft(_TABLE) if " vmap " in rule.text]
    assert "ip daddr . meta l4proto . th dport vmap @service-ips" in texts
    assert any("vmap { 0 : goto endpoint-5OJB2KTY-kube-system/kube-dns/udp/dns__10.244.56.129/53, 1 : goto " in text for text in texts)
    maps = {found.name: dict(zip(found.members, found.values, strict=True)) for found in read_nft_sets(_MAPS)}
    assert maps["ip kube-proxy no-endpoint-services"] == {"10.96.0.9 . tcp . 80": "goto reject-chain", "192.168.99.22 . tcp . 80": "drop"}
    assert maps["ip kube-proxy service-ips"]["10.96.0.10 . udp . 53"] == f"goto service-{_DNS}"


@pytest.mark.parametrize(
    "element",
    [
        None,
        "10.96.0.10",
        ["10.96.0.10"],
        [{"concat": ["10.96.0.10", "udp", "dns"]}, {"drop": None}],
        [{"concat": ["10.96.0.10", "udp", True]}, {"drop": None}],
        [{"concat": ["10.96.0.10", 17, 53]}, {"drop": None}],
        [{"concat": [3, "udp", 53]}, {"drop": None}],
        [{"concat": "x"}, {"drop": None}],
        [{"elem": 4}, {"drop": None}],
    ],
)
def test_odd_elements_are_passed_over(element: object) -> None:
    described = {"family": "ip", "table": "kube-proxy", "name": "service-ips", "map": "verdict", "elem": [element]}
    assert read_translations([], [{"map": described}]) == ()


def test_chains_that_lead_in_a_circle_end() -> None:
    rule = {
        "family": "ip",
        "table": "kube-proxy",
        "chain": "a",
        "expr": [{"goto": {"target": "a"}}, {"vmap": {"data": {"set": [3, [1, 2]]}}}],
    }
    element = [{"concat": ["10.96.0.10", "udp", 53]}, {"goto": {"target": "a"}}]
    described = {"family": "ip", "table": "kube-proxy", "name": "service-ips", "elem": [element]}
    (found,) = read_translations([{"rule": rule}], [{"map": described}])
    assert (found.chain, found.verdict, found.backends) == ("a", None, ())


def test_maps_of_others_are_none_of_kube_proxys() -> None:
    foreign = json.loads(_MAPS.replace(b'"kube-proxy"', b'"mine"'))["nftables"]
    assert read_translations(read_items(_TABLE), foreign) == ()
