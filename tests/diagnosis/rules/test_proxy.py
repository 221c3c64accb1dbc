"""kube-proxy's translations, read from rules."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.rules.proxy import has_portals, managed_backends, portals
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from tests.diagnosis.places import SERVER, SERVICE, A

SVC, SEP = "KUBE-SVC-TCOU7JCQXEZGVUNU", "KUBE-SEP-N4G2XR5TDX7PQE7P"


def nat(chain: str, text: str, *, backend: str = "iptables-nft", table: str = "nat") -> Rule:
    words = text.split()
    target = words[words.index("-j") + 1]
    return Rule(id=f"{backend}/{chain}/{text}", backend=backend, table=table, chain=chain, text=text, target=target, packets=1)


def whole(backend: str = "iptables-nft", *, address: str = SERVICE, to: str = f"{SERVER}:53", prefix: int = 32) -> tuple[Rule, ...]:
    """A Service's port with one endpoint."""
    return (
        nat("KUBE-SERVICES", f"-d {address}/{prefix} -p udp -m udp --dport 53 -j {SVC}", backend=backend),
        nat(SVC, f"-j {SEP}", backend=backend),
        nat(SEP, f"-p udp -j DNAT --to-destination {to}", backend=backend),
    )


def node(*rules: Rule) -> NodeFacts:
    return NodeFacts(node=A, rules=rules)


@pytest.mark.parametrize(
    ("address", "prefix", "to", "target"),
    [
        (SERVICE, 32, f"{SERVER}:53", SERVER),
        (SERVICE, 32, SERVER, SERVER),
        ("fd00:96::a", 128, "[fd00:10:244:1::5]:53", "fd00:10:244:1::5"),
        ("fd00:96::a", 128, "[fd00:10:244:1::5]", "fd00:10:244:1::5"),
    ],
)
def test_a_translation(address: str, prefix: int, to: str, target: str) -> None:
    (found,) = portals(node(*whole(address=address, to=to, prefix=prefix)), address, 53, "UDP")
    assert (found.chain, found.targets, found.faults) == (SVC, (target,), ())


@pytest.mark.parametrize(
    ("address", "port", "protocol", "count"),
    [
        pytest.param(SERVICE, 53, "UDP", 1, id="this one"),
        pytest.param(SERVICE, None, "UDP", 1, id="any port"),
        pytest.param(SERVICE, 54, "UDP", 0, id="another port"),
        pytest.param(SERVICE, 53, "TCP", 0, id="another protocol"),
        pytest.param("10.96.0.11", 53, "UDP", 0, id="another Service"),
    ],
)
def test_only_the_services_own_port(address: str, port: int | None, protocol: str, count: int) -> None:
    assert len(portals(node(*whole()), address, port, protocol)) == count


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(replace(whole()[0], table="filter"), id="another table"),
        pytest.param(replace(whole()[0], chain="PREROUTING"), id="another chain"),
        pytest.param(replace(whole()[0], target="KUBE-MARK-MASQ"), id="no chain of a Service"),
        pytest.param(replace(whole()[0], target="KUBE-SVC-short"), id="a name that kube-proxy does not give"),
        pytest.param(replace(whole()[0], text=f"-j {SVC}"), id="one that names no address"),
    ],
)
def test_rules_that_are_no_entry(rule: Rule) -> None:
    assert portals(node(rule, *whole()[1:]), SERVICE, 53, "UDP") == ()


def test_each_backend_of_iptables_has_its_own_translation() -> None:
    both = node(*whole(), *whole("iptables-legacy", to="10.244.9.9:53"))
    assert {found.backend: found.targets for found in portals(both, SERVICE, 53, "UDP")} == {
        "iptables-nft": (SERVER,),
        "iptables-legacy": ("10.244.9.9",),
    }
    assert managed_backends(both) == {"iptables-nft", "iptables-legacy"}


def test_what_nft_lists_of_the_same_rules_is_no_backend_of_iptables() -> None:
    assert managed_backends(node(replace(whole()[0], backend="nft"))) == frozenset()


def test_an_endpoint_without_a_chain_of_its_service() -> None:
    entry, _, endpoint = whole("iptables-legacy", to="10.244.9.9:53")
    direct = replace(entry, text=entry.text.replace(SVC, SEP), target=SEP)
    (found,) = portals(node(direct, endpoint), SERVICE, 53, "UDP")
    assert (found.chain, found.targets, found.faults) == (SEP, ("10.244.9.9",), ())
    assert has_portals(node(direct))
    (empty,) = portals(node(direct), SERVICE, 53, "UDP")
    assert empty.targets == ()
    assert "does not translate" in empty.faults[0]


def test_whether_kube_proxy_has_made_anything() -> None:
    assert has_portals(node(*whole()))
    assert not has_portals(node(*whole()[1:]))
    assert not has_portals(node())
