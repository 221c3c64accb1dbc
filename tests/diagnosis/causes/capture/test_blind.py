"""capture-blind, and hops that only look blind."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.capture import blind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import BEFORE_TAP, Confidence, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, lost
from tests.diagnosis.places import VX

DROPPED = "the kernel dropped 1438 of its packets"


@pytest.mark.parametrize("hop", [1, 2, 3, 4, 5, 6])
def test_a_capture_that_the_kernel_took_packets_from_is_blind_and_no_fault(hop: int) -> None:
    case = replace(HEALTHY, blind={hop: DROPPED}).case()
    (found,) = diagnose(case)
    assert (found.cause, found.severity, found.confidence, found.packets) == ("capture-blind", Severity.WARNING, Confidence.CERTAIN, 0)
    assert case.paths[0].path.hops[hop - 1].tap.interface in found.summary
    assert DROPPED in found.summary
    assert found.leg is None


def test_the_remedy_is_that_of_the_reason() -> None:
    """What a program takes before a tap is not seen by tracing again."""
    (program,) = diagnose(replace(HEALTHY, blind={6: f"the tc ingress program x on {VX} {BEFORE_TAP}"}).case())
    assert "tc -s filter show" in (program.remediation or "")
    (dropped,) = diagnose(replace(HEALTHY, blind={6: DROPPED}).case())
    assert "--filter" in (dropped.remediation or "")


def cut_off() -> Case:
    """Captures that were stopped with packets in the ring: that only moves the end of what is judged."""
    case = HEALTHY.case()
    captures = tuple(replace(one, received=60, captured=48) for one in case.recording.captures)
    return replace(case, recording=replace(case.recording, captures=captures))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(HEALTHY.case(), id="all is seen"),
        pytest.param(replace(HEALTHY, requests=(lost(24, 4, 5),), replies=()).case(), id="a witness that saw nothing"),
        pytest.param(replace(HEALTHY, requests=(lost(24, 4, 5),), replies=(), zero={5: "it was down"}).case(), id="a device that was down"),
        pytest.param(replace(HEALTHY, requests=(lost(2, 3, 4), Fate(count=22))).case(), id="some are lost"),
        pytest.param(cut_off(), id="the last packets were still in the ring"),
    ],
)
def test_what_is_not_blind(case: Case) -> None:
    assert "capture-blind" not in {found.cause for found in asked(case, blind)}


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("an XDP program on ens4 can take packets away before the capture sees them", "bpftool net show"),
        ("a tc program on ens4 can take packets past the captured interfaces", "tc filter show"),
        ("3 packets were captured too short to tell whose they are", "--snaplen"),
        ("the interface of kube-system/dns is not known: no port of cni0 has learned 02:00:00:00:00:01", "bridge link"),
        ("no debug pod: the node is not ready", "kubectl describe node"),
        ("no capture of this node was given", "Record on"),
        ("it saw every packet twice, and nothing tells whether each was sent twice", "-i any"),
        (DROPPED, "--filter or --port"),
    ],
)
def test_the_remedy_says_how_to_see_for_that_reason(reason: str, how: str) -> None:
    (found,) = diagnose(replace(HEALTHY, blind={4: reason}).case())
    assert how in (found.remediation or "")
