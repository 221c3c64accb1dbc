"""asymmetric-return of a pod that answers by another interface of its own."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.datapath import PodInterface, PodNamespace
from kubectl_vxtrace.model.report import Confidence, Leg, Severity
from tests.diagnosis.build import HEALTHY, World
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import SERVER, SERVER_END, A, B


def namespace(eth0: int, net1: int, *, address: str = SERVER, index: int = 4) -> PodNamespace:
    """A pod with two interfaces that have sent so many packets."""
    return PodNamespace(
        id=1,
        interfaces=(
            PodInterface(name="lo", index=1, prefixes=("127.0.0.1/8",), counters={"tx.packets": 0}),
            PodInterface(name="eth0", index=3, host_index=4, prefixes=(f"{address}/32",), counters={"tx.packets": eth0}),
            PodInterface(name="net1", index=index, prefixes=("192.168.50.2/24",), counters={"tx.packets": net1}),
        ),
    )


def silent(first: PodNamespace | None, last: PodNamespace | None) -> World:
    before, after = (
        (facts(A, later=later), replace(facts(B, later=later), pod_namespaces=(space,) if space is not None else ()))
        for later, space in ((False, first), (True, last))
    )
    return replace(HEALTHY, replies=(), before=before, after=after)


def test_a_second_interface_that_sends_what_the_first_does_not() -> None:
    (found,) = diagnose(silent(namespace(100, 10), namespace(100, 34)).case())
    assert (found.cause, found.severity, found.confidence) == ("asymmetric-return", Severity.ERROR, Confidence.LIKELY)
    assert (found.leg, found.packets) == (Leg(from_=6, to=None), 24)
    assert "net1 (192.168.50.2/24)" in found.summary
    assert "default route" in (found.remediation or "")


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(silent(namespace(100, 10), namespace(100, 20)), id="it sent less than was asked"),
        pytest.param(silent(namespace(100, 10), namespace(124, 34)), id="the first one sent as much"),
        pytest.param(silent(namespace(100, 10), namespace(100, 34, index=9)), id="made anew in between"),
        pytest.param(silent(namespace(100, 10, address="10.244.56.200"), namespace(100, 34, address="10.244.56.200")), id="another pod"),
        pytest.param(silent(None, namespace(100, 34)), id="one look"),
        pytest.param(silent(None, None), id="not to be seen"),
        pytest.param(replace(silent(namespace(0, 0), namespace(0, 24)), server=replace(SERVER_END, host_network=True)), id="on the host"),
    ],
)
def test_near_misses(world: World) -> None:
    assert "asymmetric-return" not in {found.cause for found in diagnose(world.case())}
