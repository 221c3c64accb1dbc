"""Each law notices what breaks it."""

from collections.abc import Callable
from typing import Any

import pytest

from kubectl_vxtrace.report.document import to_builtins
from tests.laws import document
from tests.report.build import report

Json = Any


def sample() -> Json:
    return to_builtins(report())


def request_of(given: Json) -> Json:
    return given["flows"][0]["directions"][0]


def blind(given: Json, hop: int) -> None:
    request_of(given)["hops"][hop - 1].update(witness=False, reason="the capture failed")


def has_no_error(given: Json) -> None:
    given["findings"], given["cause"] = [], None


def is_delivered(given: Json) -> None:
    given.update(verdict="delivered", cause=None, impact="none", findings=[])
    request_of(given)["verdict"] = "delivered"


def test_a_report_that_holds_together_breaks_none() -> None:
    assert document.breaches(sample()) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda given: given.update(verdict="dropped"), "verdict dropped of", id="worse than its parts"),
        pytest.param(lambda given: given.update(flows=[], packets=[]), "without a flow", id="broken without a flow"),
        pytest.param(lambda given: given.update(cause="pod-mtu"), "cause pod-mtu", id="another cause than the first error"),
        pytest.param(has_no_error, "no finding speaks of", id="broken, and nothing says so"),
        pytest.param(lambda given: given.update(impact="none"), "impact none", id="broken without harm"),
        pytest.param(is_delivered, "24 lost of what is delivered", id="a loss of what is delivered"),
        pytest.param(lambda given: request_of(given)["legs"][0].update(arrived=23), "leg 1 to 2: 24 sent", id="counts do not add up"),
        pytest.param(lambda given: blind(given, 4), "lost beside hop 4", id="blind behind"),
        pytest.param(lambda given: blind(given, 3), "lost beside hop 3", id="blind before"),
        pytest.param(lambda given: request_of(given)["hops"][0].update(witness=False), "for no reason", id="blind for no reason"),
        pytest.param(lambda given: request_of(given)["hops"][0].update(capture=None), "without a capture", id="nobody captured there"),
        pytest.param(lambda given: request_of(given)["hops"][0].update(capture=9), "capture 9", id="another trace's capture"),
        pytest.param(lambda given: request_of(given)["hops"][0].update(hop=2), "hops [2, 2,", id="hops out of order"),
        pytest.param(
            lambda given: request_of(given)["hops"][1].update(role="pod", interface="cali9d8b6a7d855"),
            "one tap is several hops",
            id="one tap twice",
        ),
        pytest.param(lambda given: given["findings"][0].update(flow=2), "about flow 2", id="an error about no flow"),
        pytest.param(lambda given: given["findings"][0].update(direction="reply"), "a direction that is", id="of a healthy way"),
        pytest.param(lambda given: given["findings"][0].update(packets=25), "more than were sent", id="more than were sent"),
        pytest.param(lambda given: given["findings"][0].update(evidence=[]), "without evidence", id="no evidence"),
        pytest.param(
            lambda given: given["findings"][0]["evidence"][0]["frames"][0].update(capture=9), "cites captures [9]", id="cites no capture"
        ),
        pytest.param(
            lambda given: given["findings"].insert(0, {**given["findings"][0], "severity": "info"}), "in the order", id="the best are last"
        ),
        pytest.param(lambda given: given["packets"][0].update(sightings=[]), "was seen at []", id="a packet that nobody saw"),
    ],
)
def test_what_breaks_a_law(spoil: Callable[[Json], None], said: str) -> None:
    given = sample()
    spoil(given)
    assert [breach for breach in document.breaches(given) if said in breach] != []
