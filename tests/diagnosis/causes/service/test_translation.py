"""kube-proxy-rule-missing, stale-endpoint, no-local-endpoints, no-endpoints without a refusal, nft-legacy-mix."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Service
from kubectl_vxtrace.model.facts import ConntrackEntry, IpvsBackend, IpvsService, NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import Frame, icmp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC_A, SERVER, SERVICE, A, B

OTHER, DEAD = "10.244.106.65", "10.244.56.150"
SVC, SEP_1, SEP_2 = "KUBE-SVC-TCOU7JCQXEZGVUNU", "KUBE-SEP-N4G2XR5TDX7PQE7P", "KUBE-SEP-E5GYASW3CT7QQDIG"
MATCH = f'-d {SERVICE}/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53'


def nat(chain: str, text: str, target: str, *, backend: str = "iptables-nft", comment: str | None = None) -> Rule:
    return Rule(
        id=f"{backend}/{chain}/{text}",
        backend=backend,
        table="nat",
        chain=chain,
        text=f"{text} -j {target}",
        target=target,
        comment=comment,
        packets=9,
    )


def dnat(chain: str, address: str, backend: str = "iptables-nft") -> Rule:
    made = nat(chain, "-p udp -m udp", "DNAT", backend=backend)
    return replace(made, text=f"{made.text} --to-destination {address}:53")


def kube_dns(first: str = SERVER, second: str = OTHER, backend: str = "iptables-nft") -> tuple[Rule, ...]:
    """kube-proxy's translation of the Service to two endpoints."""
    return (
        nat("KUBE-SERVICES", MATCH, SVC, backend=backend),
        nat(SVC, f'-m comment --comment "kube-system/kube-dns:dns -> {first}:53" -m statistic --probability 0.5', SEP_1, backend=backend),
        nat(SVC, f'-m comment --comment "kube-system/kube-dns:dns -> {second}:53"', SEP_2, backend=backend),
        dnat(SEP_1, first, backend),
        dnat(SEP_2, second, backend),
    )


ELSE = nat("KUBE-SERVICES", "-d 10.96.0.1/32 -p tcp -m tcp --dport 443", "KUBE-SVC-NPX46M4PTMTKRN6Y")
SERVICE_OBJECT = Service(
    namespace="kube-system",
    name="kube-dns",
    addresses=(SERVICE,),
    selector={},
    backends=(Backend(address=SERVER, port=53, node=B), Backend(address=OTHER, port=53, node="ada-ec-3")),
)
BARE = Frame(source=NIC_A, destination=SERVICE, source_port=2000, destination_port=53)


def world(
    rules: Sequence[Rule],
    *,
    extra: dict[int, tuple[Frame, ...]] | None = None,
    conntrack: tuple[ConntrackEntry, ...] = (),
    ipvs: tuple[IpvsService, ...] = (),
    mode: str | None = "iptables",
    peer: Sequence[Rule] = (),
    service: Service = SERVICE_OBJECT,
) -> World:
    """24 requests to the Service that vanished on the client's node, of which nothing names the backend."""

    def told(look: NodeFacts) -> NodeFacts:
        if look.node == A:
            return replace(look, rules=(*rules,), conntrack=conntrack, ipvs=ipvs, proxy_mode=mode)
        return replace(look, rules=(*peer,))

    return replace(
        HEALTHY,
        server=None,
        hops=3,
        requests=(lost(24, 1, 2),),
        replies=None,
        extra=extra or {},
        before=tuple(told(facts(name)) for name in (A, B)),
        after=tuple(told(facts(name, later=True)) for name in (A, B)),
        snapshot=ClusterSnapshot(services=(service,)),
    )


def best(case_of: World) -> Finding:
    return next(finding for finding in diagnose(case_of.case()) if finding.severity is Severity.ERROR)


@pytest.mark.parametrize(("port", "cause"), [(5353, "stale-endpoint"), (53, "nothing-listening")])
def test_a_port_that_is_none_of_the_service_s_is_refused_by_the_pod(port: int, cause: str) -> None:
    service = replace(SERVICE_OBJECT, backends=(Backend(address=SERVER, port=port, protocol="UDP", node=B),))
    refused = Fate(count=24, leg=(6, None), outcome=OutcomeCode.REJECTED)
    answers = {6: (icmp(SERVER, 3, HEALTHY.frame(Direction.REQUEST, 5, 40000, Fate())),)}
    found = best(replace(HEALTHY, requests=(refused,), replies=(), extra=answers, snapshot=ClusterSnapshot(services=(service,))))
    assert (found.cause, found.packets, found.leg) == (cause, 24, Leg(from_=6, to=None))
    assert ("10.96.0.10" in (found.remediation or "")) == (cause == "stale-endpoint")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        pytest.param((ELSE,), "no rule of kube-proxy names", id="no rule for the Service"),
        pytest.param((ELSE, *kube_dns()[:1]), "leads to no endpoint", id="its chain is empty"),
        pytest.param((ELSE, *kube_dns()[:4]), "does not translate", id="its last endpoint's chain is empty"),
        pytest.param((ELSE, *kube_dns()[:2], kube_dns()[3]), "only by chance", id="its last endpoint is gone"),
    ],
)
def test_a_clusterip_that_is_not_translated(rules: tuple[Rule, ...], words: str) -> None:
    found = best(world(rules, extra={3: (BARE,) * 24}, peer=kube_dns()))
    assert (found.cause, found.confidence, found.packets) == ("kube-proxy-rule-missing", Confidence.CERTAIN, 24)
    assert words in found.summary
    assert any(one.kind is EvidenceKind.PACKETS and SERVICE in one.text and one.frames for one in found.evidence)
    assert any(one.kind is EvidenceKind.CONFIG and one.text.startswith(B) for one in found.evidence), "the other node, side by side"


@pytest.mark.parametrize(
    ("case_of", "cause", "confidence"),
    [
        pytest.param(world((ELSE, *kube_dns()), extra={3: (BARE,) * 24}), "unknown", Confidence.POSSIBLE, id="the rules are whole"),
        pytest.param(
            world((ELSE, *kube_dns()[:3], kube_dns()[4])),
            "unknown",
            Confidence.POSSIBLE,
            id="an endpoint before the last: the next takes over",
        ),
        pytest.param(world((ELSE,)), "kube-proxy-rule-missing", Confidence.LIKELY, id="not seen with the ClusterIP behind the node"),
        pytest.param(world((ELSE,), mode="nftables"), "unknown", Confidence.POSSIBLE, id="rules that are nft's own"),
        pytest.param(world(()), "unknown", Confidence.POSSIBLE, id="no kube-proxy at all, as with Cilium"),
        pytest.param(
            world((ELSE,), service=replace(SERVICE_OBJECT, backends=())),
            "unknown",
            Confidence.POSSIBLE,
            id="no endpoint: there need be no rule",
        ),
    ],
)
def test_near_misses_of_a_missing_rule(case_of: World, cause: str, confidence: Confidence) -> None:
    found = best(case_of)
    assert (found.cause, found.confidence) == (cause, confidence)


@pytest.mark.parametrize(
    ("servers", "cause"),
    [
        pytest.param((), "kube-proxy-rule-missing", id="no virtual server"),
        pytest.param((IpvsService(protocol="UDP", address=SERVICE, port=53),), "kube-proxy-rule-missing", id="no real server"),
        pytest.param(
            (IpvsService(protocol="UDP", address=SERVICE, port=53, backends=(IpvsBackend(address=SERVER, port=53),)),),
            "unknown",
            id="whole",
        ),
    ],
)
def test_ipvs_has_no_rules_but_servers(servers: tuple[IpvsService, ...], cause: str) -> None:
    assert best(world((), mode="ipvs", ipvs=servers)).cause == cause


def gone(address: str = DEAD, port: int = 40000, *, unreplied: bool = True) -> ConntrackEntry:
    return ConntrackEntry(
        protocol="UDP",
        original_source=CLIENT,
        original_destination=SERVICE,
        original_source_port=port,
        original_destination_port=53,
        reply_source=address,
        reply_destination=CLIENT,
        unreplied=unreplied,
    )


TO_DEAD = Frame(source=CLIENT, destination=DEAD, source_port=40000, destination_port=53)


@pytest.mark.parametrize(
    ("case_of", "confidence"),
    [
        pytest.param(
            world(kube_dns(first=DEAD), extra={2: (TO_DEAD,) * 24}), Confidence.CERTAIN, id="by a rule, and they were seen going there"
        ),
        pytest.param(world(kube_dns(), conntrack=(gone(),)), Confidence.LIKELY, id="by a connection that is kept alive"),
        pytest.param(world(kube_dns(first=DEAD)), Confidence.POSSIBLE, id="by a rule alone"),
    ],
)
def test_a_backend_that_is_gone(case_of: World, confidence: Confidence) -> None:
    found = best(case_of)
    assert (found.cause, found.confidence) == ("stale-endpoint", confidence)
    assert DEAD in found.summary
    assert any(one.kind is EvidenceKind.CONFIG and SERVER in one.text and OTHER in one.text for one in found.evidence)


@pytest.mark.parametrize(
    "case_of",
    [
        pytest.param(world(kube_dns(), conntrack=(gone(SERVER),)), id="a connection to an endpoint"),
        pytest.param(world(kube_dns(), conntrack=(gone(port=1),)), id="a connection of another port, left from before"),
        pytest.param(world(kube_dns(), conntrack=(gone(unreplied=False),)), id="one that was answered"),
        pytest.param(
            world(
                kube_dns(first=DEAD),
                service=replace(SERVICE_OBJECT, backends=(*SERVICE_OBJECT.backends, Backend(address=DEAD, port=53, ready=False))),
            ),
            id="a backend that is about to go",
        ),
    ],
)
def test_near_misses_of_a_stale_endpoint(case_of: World) -> None:
    assert best(case_of).cause == "unknown"


def test_rules_of_an_earlier_kube_proxy_in_the_other_backend() -> None:
    found = best(world((*kube_dns(first=DEAD, backend="iptables-legacy"), *kube_dns()), extra={2: (TO_DEAD,) * 24}))
    assert (found.cause, found.confidence) == ("nft-legacy-mix", Confidence.CERTAIN)
    assert any("iptables-legacy" in one.text for one in found.evidence)


def test_an_endpoint_of_an_earlier_kube_proxy_without_its_services_chain() -> None:
    entry, *_, endpoint = kube_dns(second=DEAD, backend="iptables-legacy")
    direct = replace(entry, id=f"{entry.id}/2", text=entry.text.replace(SVC, SEP_2), target=SEP_2)
    found = best(world((direct, endpoint, *kube_dns()), extra={2: (TO_DEAD,) * 24}))
    assert (found.cause, found.confidence) == ("nft-legacy-mix", Confidence.CERTAIN)


LOCAL = replace(SERVICE_OBJECT, internal_traffic_policy="Local")


@pytest.mark.parametrize(
    ("service", "cause"),
    [
        pytest.param(LOCAL, "no-local-endpoints", id="the policy asks for a backend of the node"),
        pytest.param(SERVICE_OBJECT, "unknown", id="any backend will do"),
        pytest.param(replace(LOCAL, backends=(Backend(address=SERVER, port=53, node=A),)), "unknown", id="the node has one"),
    ],
)
def test_a_service_whose_policy_asks_for_a_backend_of_the_node(service: Service, cause: str) -> None:
    assert best(world(kube_dns(second=SERVER), service=service)).cause == cause


def test_a_service_that_has_no_rule_on_this_node_on_purpose_lacks_none() -> None:
    causes = {finding.cause for finding in diagnose(world((ELSE,), service=LOCAL).case())}
    assert causes == {"no-local-endpoints"}


def test_what_is_lost_behind_a_named_backend_is_no_matter_of_the_service() -> None:
    found = best(replace(world((ELSE,)), server=HEALTHY.server))
    assert found.cause == "unknown"


NO_BACKENDS = replace(SERVICE_OBJECT, backends=())
GONE_ON = replace(
    world((), service=NO_BACKENDS), hops=1, requests=(Fate(count=24, reach=1, outcome=OutcomeCode.UNDETERMINED),), replies=None
)


def test_a_service_without_endpoints_whose_packets_nothing_refuses() -> None:
    (found,) = diagnose(GONE_ON.case())
    assert (found.cause, found.severity, found.packets, found.leg) == ("no-endpoints", Severity.WARNING, 24, Leg(from_=1, to=None))
    assert "does not refuse its packets" in found.summary
    assert found.remediation is not None


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(replace(GONE_ON, snapshot=ClusterSnapshot(services=(SERVICE_OBJECT,))), id="it has endpoints"),
        pytest.param(replace(GONE_ON, snapshot=None), id="nobody asked the API"),
    ],
)
def test_what_says_nothing_of_endpoints(case: World) -> None:
    assert [found.cause for found in diagnose(case.case())] == []


MASQUERADE = nat(SEP_1, f"-s {CLIENT}/32", "KUBE-MARK-MASQ")
BACK = Frame(source=CLIENT, destination=CLIENT, source_port=40_000, destination_port=53)


def to_itself(*rules: Rule, back: int = 24, server: str = CLIENT, mode: str | None = "iptables") -> Case:
    """24 requests of a pod to a Service that leads to itself, got no answer; so many frames came back from and to its own address."""
    own = tuple(replace(facts(A, later=later), rules=rules, proxy_mode=mode) for later in (False, True))
    end = Endpoint(address=server, port=53, pod="kotsadm/kotsadm-1", node=A)
    made = replace(
        HEALTHY, hops=1, server=end, requests=(Fate(count=24, reach=1),), replies=(), extra={1: (BACK,) * back},
        before=(own[0], facts(B)), after=(own[1], facts(B, later=True)),
    )  # fmt: skip
    return made.case()


def test_a_pod_that_is_sent_back_to_itself_without_masquerade() -> None:
    found = diagnose(to_itself(dnat(SEP_1, CLIENT)))[0]
    assert (found.cause, found.confidence, found.leg) == ("kube-proxy-rule-missing", Confidence.LIKELY, Leg(from_=1, to=None))
    assert "without masquerading" in found.summary
    assert any(f"chain {SEP_1} translates to {CLIENT} and has no rule" in one.text for one in found.evidence)
    assert any(one.frames and f"{CLIENT} > {CLIENT}" in one.text for one in found.evidence)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(to_itself(MASQUERADE, dnat(SEP_1, CLIENT)), id="the rule is there"),
        pytest.param(to_itself(nat(SEP_1, "", "KUBE-MARK-MASQ"), dnat(SEP_1, CLIENT)), id="all is masqueraded"),
        pytest.param(to_itself(dnat(SEP_1, OTHER)), id="the chain of another endpoint"),
        pytest.param(to_itself(), id="no rule was read"),
        pytest.param(to_itself(dnat(SEP_1, CLIENT), back=0), id="nothing came back"),
        pytest.param(to_itself(dnat(SEP_1, CLIENT), back=3), id="few came back"),
        pytest.param(to_itself(dnat(SEP_1, CLIENT), mode="nftables"), id="kube-proxy's nftables"),
        pytest.param(to_itself(dnat(SEP_1, SERVER), server=SERVER), id="another pod"),
    ],
)
def test_near_misses_of_a_missing_masquerade(case: Case) -> None:
    assert "kube-proxy-rule-missing" not in [found.cause for found in diagnose(case)]
