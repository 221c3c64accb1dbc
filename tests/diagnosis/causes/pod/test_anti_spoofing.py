"""Packets of the client's pod whose source is not its own."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Pod
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Severity, Verdict
from tests.diagnosis.build import HEALTHY, World
from tests.diagnosis.frames import Frame
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import CLIENT, SERVER, SERVICE, A

FOREIGN = "10.244.250.9"
REVERSE_PATH = rule("cali-PREROUTING", "-m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP", 1)
ASKED = Frame(source=FOREIGN, destination=SERVICE, source_port=40000, destination_port=53)


def world(frame: Frame = ASKED, *, count: int = 16, growth: int = 16, dropping: Rule = REVERSE_PATH) -> World:
    """Nothing of the flow was seen; the client's interface carried `count` of these frames, and a rule's counter grew."""
    before, after = ruled(A, (rule("PREROUTING", "-j cali-PREROUTING", 900), growth), (dropping, growth))
    return replace(HEALTHY, requests=(), replies=(), extra={1: (frame,) * count}, before=before, after=after)


def silent(made: World) -> Case:
    """The case as it is without packets of the flow."""
    return replace(made.case(), paths=(), connections={})


@pytest.mark.parametrize(
    ("made", "confidence"),
    [
        pytest.param(world(), Confidence.CERTAIN, id="the counter grew by as many"),
        pytest.param(world(growth=20), Confidence.LIKELY, id="by more: the rule took others as well"),
        pytest.param(world(replace(ASKED, destination=SERVER)), Confidence.CERTAIN, id="a backend was asked itself"),
    ],
)
def test_a_source_that_is_not_the_pods(made: World, confidence: Confidence) -> None:
    case = silent(made)
    (found,) = diagnose(case)
    assert (found.cause, found.confidence, found.severity) == ("workload-anti-spoofing", confidence, Severity.WARNING)
    assert (found.packets, found.leg, found.flow) == (16, None, None)
    assert FOREIGN in found.summary
    assert any(proof.kind is EvidenceKind.PACKETS and CLIENT in proof.text and proof.frames for proof in found.evidence)
    assert any(
        proof.kind is EvidenceKind.COUNTER and f"grew by {20 if confidence is Confidence.LIKELY else 16}" in proof.text
        for proof in found.evidence
    )
    assert conclude(case, (found,)).verdict is Verdict.NO_TRAFFIC, "behind the pod's interface nobody looked out for them"


OWN = ClusterSnapshot(pods=(Pod(namespace="kotsadm", name="kotsadm-1", labels={}, addresses=(CLIENT, FOREIGN), phase="Running", node=A),))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(world(growth=15), id="the counter grew by less"),
        pytest.param(world(growth=0), id="it did not grow: the node lets it pass"),
        pytest.param(world(replace(ASKED, source=CLIENT)), id="its own address"),
        pytest.param(world(replace(ASKED, destination="10.9.9.9")), id="nobody who was asked for"),
        pytest.param(world(replace(ASKED, source=SERVER, destination=CLIENT)), id="an answer"),
        pytest.param(world(dropping=rule("cali-PREROUTING", "-d 10.0.0.0/8 -j DROP", 1)), id="a rule that asks for no way back"),
        pytest.param(replace(world(), snapshot=OWN), id="another address of the pod"),
    ],
)
def test_what_is_no_foreign_source(made: World) -> None:
    assert [finding.cause for finding in diagnose(silent(made)) if finding.severity is not Severity.INFO] == []
