"""Interfaces that are down: the leg's own explanation, whatever else might drop packets there."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, POD_B, A, B


def set_down(look: NodeFacts, name: str) -> NodeFacts:
    return replace(look, links=tuple(replace(link, up=False) if link.name == name else link for link in look.links))


def down_at_b(name: str, from_: int, *, healed: bool = False) -> World:
    looks = facts(B), facts(B, later=True)
    return replace(
        HEALTHY,
        requests=(lost(24, from_, from_ + 1),),
        replies=(),
        before=(facts(A), set_down(looks[0], name)),
        after=(facts(A, later=True), looks[1] if healed else set_down(looks[1], name)),
    )


@pytest.mark.parametrize(
    ("interface", "from_", "cause", "words"),
    [(NIC, 3, "unknown", f"the NIC {NIC} of {B} is down"), (POD_B, 5, "pod-unreachable", f"the pod's interface {POD_B} of {B} is down")],
)
def test_the_next_interface_is_down(interface: str, from_: int, cause: str, words: str) -> None:
    (finding,) = diagnose(down_at_b(interface, from_).case())
    assert (finding.cause, finding.confidence, finding.leg) == (cause, Confidence.LIKELY, Leg(from_=from_, to=from_ + 1))
    assert words in finding.summary
    assert EvidenceKind.CONFIG in {proof.kind for proof in finding.evidence}
    assert finding.remediation is not None
    assert f"ip link set {interface} up" in finding.remediation


def test_a_nic_that_is_up_again_explains_nothing() -> None:
    (finding,) = diagnose(down_at_b(NIC, 3, healed=True).case())
    assert "down" not in finding.summary


@pytest.mark.parametrize(
    ("operstate", "words"), [("DOWN", "is without a link"), ("LOWERLAYERDOWN", "is without a link"), ("UP", "nothing that was read")]
)
def test_a_pods_interface_whose_other_end_is_down_has_no_link(operstate: str, words: str) -> None:
    def at(look: NodeFacts) -> NodeFacts:
        return replace(look, links=tuple(replace(link, operstate=operstate) if link.name == POD_B else link for link in look.links))

    world = down_at_b(POD_B, 5, healed=True)
    (finding,) = diagnose(replace(world, before=(facts(A), at(facts(B))), after=(facts(A, later=True), at(facts(B, later=True)))).case())
    assert words in finding.summary
