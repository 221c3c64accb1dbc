"""Requests to an address of a node that the node translates and sends on: hostPort, node ports, published ports."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.datapath import ServiceTranslation
from kubectl_vxtrace.model.facts import ConntrackEntry, NodeFacts, Route, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, with_flow
from tests.diagnosis.nodes import policy, rule, ruled
from tests.diagnosis.places import CLIENT, NIC, NIC_B, POD_B, VX, A, B

TARGET = "10.244.56.131"
ASKED = Endpoint(address=NIC_B, port=8443, node=B, host_network=True)


def nat(chain: str, text: str, packets: int | None = 5, *, hook: str | None = None) -> Rule:
    made = rule(chain, text, packets, hook=hook)
    return replace(made, table="nat", target="DNAT" if "-j DNAT" in text else made.target)


TO_HOST_PORTS = nat("PREROUTING", "-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT", hook="prerouting")
HOST_PORT = nat("CNI-HOSTPORT-DNAT", f"-p udp -m udp --dport 8443 -j DNAT --to-destination {TARGET}:3000")
NODE_PORT = (
    nat("PREROUTING", "-j KUBE-SERVICES", hook="prerouting"),
    nat("KUBE-SERVICES", "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"),
    nat("KUBE-NODEPORTS", "-p udp -m udp --dport 8443 -j KUBE-SVC-6AG4Z6EXGN4W7Q7Y"),
    nat("KUBE-SVC-6AG4Z6EXGN4W7Q7Y", "-j KUBE-SEP-T4N5MAGPVX6QFE2D"),
    nat("KUBE-SEP-T4N5MAGPVX6QFE2D", f"-p udp -m udp -j DNAT --to-destination {TARGET}:3000"),
)
NFT = Rule(
    id="nft/dnat",
    backend="nft",
    table="ip cni_hostport",
    chain="prerouting",
    text=f'udp dport 8443 dnat {{"addr":"{TARGET}","family":"ip","port":3000}}',
    target="DNAT",
    hook="prerouting",
)
LINE = Route(destination=f"{TARGET}/32", device=POD_B)
DROPS = (rule("FORWARD", f"-i {NIC} -p udp -m udp --dport 3000 -j DROP", 0), 24)


def asking(*rules: tuple[Rule, int], replies: bool = False, lines: tuple[Route, ...] = (LINE,), **facts: object) -> Case:
    """24 requests to a port of ada-ec-2's own address that got no answer, unless `replies`; its rules with the growth of their counters."""
    before, after = ruled(B, *rules)

    def told(looks: tuple[NodeFacts, ...]) -> tuple[NodeFacts, ...]:
        return tuple(replace(one, routes=lines, **facts) if one.node == B else one for one in looks)  # type: ignore[arg-type]

    answers = (Fate(count=24, reach=4),) if replies else ()
    world = replace(
        HEALTHY, hops=4, server=ASKED, requests=(Fate(count=24, reach=4),), replies=answers, before=told(before), after=told(after)
    )
    case = world.case()
    return with_flow(case, replace(case.flows[0], service=None))


HOST_PORTS = ((TO_HOST_PORTS, 24), (HOST_PORT, 24))
NODE_PORTS = tuple((one, 24) for one in NODE_PORT)


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        pytest.param(asking(*HOST_PORTS, DROPS), "host-firewall", id="hostPort"),
        pytest.param(asking(*NODE_PORTS, DROPS), "host-firewall", id="node port"),
        pytest.param(asking((NFT, 0), DROPS), "host-firewall", id="hostPort in nft"),
        pytest.param(asking(*HOST_PORTS, (policy("FORWARD", "DROP", 0), 24)), "forward-policy-drop", id="policy of FORWARD"),
        pytest.param(asking(*HOST_PORTS, (rule("FORWARD", f"-i {NIC} -o {POD_B} -j DROP", 0), 24)), "host-firewall", id="by the way out"),
        pytest.param(
            asking(*HOST_PORTS, (rule("FORWARD", "-j cali-tw-" + POD_B, 1), 24), (rule("cali-tw-" + POD_B, "-j DROP", 0), 24)),
            "network-policy-drop",
            id="Calico's chain of the pod",
        ),
        pytest.param(
            asking(
                DROPS,
                service_translations=(
                    ServiceTranslation(
                        kind="node-port", address=None, port=8443, protocol="UDP", chain="service-web", backends=((TARGET, 3000),)
                    ),
                ),
            ),
            "host-firewall",
            id="kube-proxy's nftables",
        ),
        pytest.param(
            asking(
                DROPS,
                conntrack=(
                    ConntrackEntry(
                        protocol="UDP",
                        original_source=CLIENT,
                        original_destination=NIC_B,
                        original_destination_port=8443,
                        reply_source=TARGET,
                        reply_source_port=3000,
                        reply_destination=CLIENT,
                    ),
                ),
            ),
            "host-firewall",
            id="a connection",
        ),
    ],
)
def test_what_the_forward_chain_drops_behind_a_translation_is_named(case: Case, cause: str) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.leg, found.packets) == (cause, Leg(from_=4, to=None), 24)
    assert any(one.kind is EvidenceKind.CONFIG and ("translates it" in one.text) for one in found.evidence)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(asking(*HOST_PORTS), id="no rule drops"),
        pytest.param(asking(*HOST_PORTS, (rule("FORWARD", "-p udp --dport 8443 -j DROP", 0), 24)), id="the port before translation"),
        pytest.param(asking(*HOST_PORTS, (rule("FORWARD", f"-d {NIC_B}/32 -j DROP", 0), 24)), id="the address before translation"),
        pytest.param(asking(*HOST_PORTS, (rule("FORWARD", f"-o {VX} -j DROP", 0), 24)), id="another way out"),
        pytest.param(asking(*HOST_PORTS, (rule("INPUT", "-j DROP", 0), 24)), id="INPUT, where none of them comes"),
        pytest.param(asking(*HOST_PORTS, (rule("FORWARD", "-p udp --sport 3000 -j DROP", 0), 24)), id="answers alone"),
    ],
)
def test_where_no_rule_of_the_forward_chain_fits_the_way_on_is_named_and_no_cause(case: Case) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.confidence, found.leg) == ("unknown", Confidence.POSSIBLE, Leg(from_=4, to=None))
    assert f"hands them on to {TARGET}:3000" in found.summary


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param((), id="no rule"),
        pytest.param(((TO_HOST_PORTS, 24), (HOST_PORT, 0)), id="a rule that stood still"),
        pytest.param(((TO_HOST_PORTS, 24), (replace(HOST_PORT, text=HOST_PORT.text.replace("8443", "8444")), 24)), id="another port"),
        pytest.param(((TO_HOST_PORTS, 24), (replace(HOST_PORT, text=HOST_PORT.text.replace("udp", "tcp")), 24)), id="another protocol"),
        pytest.param(((HOST_PORT, 24),), id="a chain that nothing calls"),
        pytest.param(((TO_HOST_PORTS, 24), (replace(HOST_PORT, text=HOST_PORT.text.replace(TARGET, NIC_B)), 24)), id="to the node itself"),
        pytest.param(((nat("PREROUTING", f"-j DNAT --to-destination {TARGET}"), 24),), id="a rule that names nothing of them"),
    ],
)
def test_what_a_node_does_not_send_on_is_for_itself(rules: tuple[tuple[Rule, int], ...]) -> None:
    assert diagnose(asking(*rules))[0].cause == "server-silent"
    assert diagnose(asking(*rules, (rule("INPUT", "-p udp --dport 8443 -j DROP", 0), 24)))[0].cause == "host-firewall"


def test_a_translated_port_that_answers_is_healthy() -> None:
    assert [found for found in diagnose(asking(*HOST_PORTS, replies=True)) if found.severity is Severity.ERROR] == []


@pytest.mark.parametrize(
    ("drops", "confidence", "packets"),
    [
        pytest.param(DROPS, Confidence.CERTAIN, 24, id="the requests alone"),
        pytest.param((rule("FORWARD", "-p udp -j DROP", 0), 24), Confidence.LIKELY, 0, id="their answers as well"),
    ],
)
def test_requests_are_dropped_only_where_the_rule_cannot_have_taken_their_answers(
    drops: tuple[Rule, int], confidence: Confidence, packets: int
) -> None:
    case = asking(*HOST_PORTS, drops)
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence) == ("host-firewall", confidence)
    assert sum(int(mask.sum()) for mask in dropped_packets(case, findings)) == packets


def test_where_kube_proxy_uses_ipvs_input_is_passed() -> None:
    case = asking(*NODE_PORTS, (rule("INPUT", "-p udp --dport 8443 -j DROP", 0), 24), proxy_mode="ipvs")
    assert diagnose(case)[0].cause == "host-firewall"


def test_the_clients_own_node_is_no_such_place() -> None:
    before, after = ruled(A, *HOST_PORTS)
    case = replace(HEALTHY, replies=(), before=before, after=after).case()
    assert diagnose(case)[0].cause == "server-silent"
