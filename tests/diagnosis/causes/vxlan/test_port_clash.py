"""masquerade-port-clash, and what looks like it."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.vxlan import port_clash
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, lost
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.nodes import facts, policy, rule
from tests.diagnosis.places import CLIENT, SERVER, TAPS, VTEP_A, A, B

OTHERS = '-p udp -m comment --comment "Drop IPv4 VXLAN packets from non-allowed hosts" -m multiport --dports 4789 -j DROP'


def masqueraded(
    destination: str = VTEP_A, port: int = 4789, *, protocol: int = 17, growth: int = 24, chain: str = "cali-INPUT", count: int = 24
) -> Case:
    """Replies that A's VXLAN device received for this address and port and that its pod did not, and a rule of A whose counter grew."""
    to_chain = rule("INPUT", f"-j {chain}", 900) if chain == "cali-INPUT" else None

    def look(*, later: bool) -> tuple[NodeFacts, ...]:
        dropping = rule(chain, OTHERS, 5 + (growth if later else 0))
        rules: tuple[Rule, ...] = (policy("INPUT", "ACCEPT", 900), *((to_chain,) if to_chain is not None else ()), dropping)
        return facts(A, later=later, rules=rules), facts(B, later=later)

    world = replace(HEALTHY, replies=(lost(count, 5, 6),), before=look(later=False), after=look(later=True))
    case = world.case()
    at_device = case.tables[TAPS[1]]
    reply = Frame(source=SERVER, destination=destination, protocol=protocol, source_port=53, destination_port=port)
    journey = case.paths[1].journeys
    frames = [reply] * len(at_device)
    rows = journey.row.copy()
    rows[:, 4] = np.arange(count)
    back = replace(case.paths[1], journeys=replace(journey, row=rows))
    return replace(case, tables={**case.tables, TAPS[1]: table(TAPS[1], frames)}, paths=(case.paths[0], back))


def test_replies_to_the_vxlan_port_of_the_node_itself_are_a_clash() -> None:
    finding = diagnose(masqueraded())[0]
    assert (finding.cause, finding.confidence, finding.leg) == ("masquerade-port-clash", Confidence.CERTAIN, Leg(from_=5, to=6))
    assert any("grew by 24" in proof.text and proof.kind is EvidenceKind.COUNTER for proof in finding.evidence)


def test_without_the_rules_counter_it_is_less_sure() -> None:
    (found,) = asked(masqueraded(growth=3), port_clash)
    assert (found.cause, found.confidence) == ("masquerade-port-clash", Confidence.LIKELY)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(masqueraded(port=40000), id="another port"),
        pytest.param(masqueraded(CLIENT), id="a tunnel inside the pod"),
        pytest.param(masqueraded("10.9.9.9"), id="somebody else's address"),
        pytest.param(masqueraded(protocol=6), id="TCP"),
        pytest.param(HEALTHY.case(), id="nothing was lost"),
    ],
)
def test_what_is_no_clash(case: Case) -> None:
    assert asked(case, port_clash) == []


def test_a_drop_in_a_chain_that_forwarded_packets_pass_is_no_proof() -> None:
    (found,) = asked(masqueraded(chain="FORWARD"), port_clash)
    assert found.confidence is Confidence.LIKELY
