"""Rules that hand packets to a process: which of them lose packets."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.rules.queues import is_bypassed, queue_numbers, takes_packets
from kubectl_vxtrace.model.datapath import QueueListener
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence
from tests.diagnosis.build import HEALTHY, lost
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import POD_B, B

QUEUEING = replace(rule("POSTROUTING", f"-o {POD_B} -j NFQUEUE --queue-num 100", 3), table="mangle", hook="postrouting")
READER = QueueListener(number=100, dropped=5)


def case(queueing: Rule, *, before: tuple[QueueListener, ...] = (), after: tuple[QueueListener, ...] = (), read: bool = True) -> Case:
    """24 requests that did not come to the pod, and a rule with their count; what reads queues on its node."""
    first, last = ruled(B, (queueing, 24))
    absent = {} if read else {"nfqueue": "not there"}
    first, last = (
        tuple(replace(look, queue_listeners=readers, absent=absent) for look in looks)
        for looks, readers in ((first, before), (last, after))
    )
    return replace(HEALTHY, requests=(lost(24, 5, 6),), replies=(), before=first, after=last).case()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("-j NFQUEUE --queue-num 100", [100]),
        ("-j NFQUEUE --queue-balance 2:4", [2, 3, 4]),
        ("-j NFQUEUE", [0]),
        ('queue {"num":7}', [7]),
        ('queue {"num":{"range":[1,3]}}', [1, 2, 3]),
    ],
)
def test_the_queues_of_a_rule(text: str, numbers: list[int]) -> None:
    assert list(queue_numbers(replace(QUEUEING, text=text))) == numbers


@pytest.mark.parametrize(
    ("text", "bypassed"),
    [("--queue-num 1 --queue-bypass", True), ('queue {"flags":"bypass","num":1}', True), ("--queue-num 1", False)],
)
def test_what_passes_while_nobody_reads(text: str, bypassed: bool) -> None:
    assert is_bypassed(replace(QUEUEING, text=text)) is bypassed


@pytest.mark.parametrize(
    ("made", "taken"),
    [
        pytest.param(case(QUEUEING), True, id="nobody reads it"),
        pytest.param(case(QUEUEING, after=(replace(READER, number=99),)), True, id="somebody reads another"),
        pytest.param(case(QUEUEING, before=(READER,), after=(READER,)), False, id="it is read"),
        pytest.param(case(QUEUEING, before=(READER,), after=(replace(READER, dropped=9),)), True, id="its reader was too slow"),
        pytest.param(case(replace(QUEUEING, text=QUEUEING.text + " --queue-bypass")), False, id="bypass"),
        pytest.param(case(QUEUEING, read=False), False, id="nobody knows who reads"),
    ],
)
def test_which_rules_lose_packets(made: Case, taken: bool) -> None:
    (queueing,) = (found for found in made.recording.after[1].rules if found.target == "NFQUEUE")
    assert takes_packets(made, B, queueing) is taken
    causes = [(finding.cause, "NFQUEUE" in finding.summary) for finding in diagnose(made)]
    assert causes == [("unknown", taken)]


def test_the_finding_names_rule_and_queue_and_what_to_do() -> None:
    finding = diagnose(case(QUEUEING))[0]
    assert finding.confidence is Confidence.LIKELY
    assert f"-o {POD_B} -j NFQUEUE --queue-num 100" in finding.summary
    assert "no process reads queue 100" in finding.summary
    assert "mangle" in (finding.remediation or "")


def test_a_rule_of_a_policy_agent_is_a_policy() -> None:
    named = replace(QUEUEING, chain="KUBE-NWPLCY-DEFAULT", hook="forward")
    assert diagnose(case(named))[0].cause == "network-policy-drop"
