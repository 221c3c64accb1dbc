"""What a node has at home, from its routing tables."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.capture.local import local_networks
from kubectl_vxtrace.facts.routes import read_routes
from kubectl_vxtrace.model.facts import Link, NodeFacts, Route, VxlanDevice

RECORDED = Path(__file__).parents[1] / "topology" / "recorded" / "facts" / "ada-ec-1" / "ip-route.json"
TUNNEL = Link(name="vxlan.calico", index=3, addresses=("10.244.114.64",), vxlan=VxlanDevice(vni=4096, port=4789))
NODE = NodeFacts(
    node="n1",
    links=(Link(name="ens4", index=2, addresses=("10.128.0.72/24",)), TUNNEL),
    routes=(
        Route(destination="default", gateway="10.128.0.1", device="ens4"),
        Route(destination="10.128.0.0/24", device="ens4"),
        Route(destination="10.244.56.128", device="vxlan.calico"),
        Route(destination="10.244.56.128/26", gateway="10.244.56.128", device="vxlan.calico"),
        Route(destination="10.244.200.7", device="cali1"),
        Route(destination="fd00:7::9", device="cali1"),
    ),
)


def test_a_real_calico_node() -> None:
    facts = replace(NODE, routes=read_routes(RECORDED.read_bytes()))
    assert local_networks(facts) == ("10.128.0.72/32", "10.244.114.64/26")


def test_a_pod_with_a_borrowed_address() -> None:
    assert local_networks(NODE) == ("10.128.0.72/32", "10.244.114.64/32", "10.244.200.7/32", "fd00:7::9/128")


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(NODE, routes=()), id="no routes"),
        pytest.param(replace(NODE, absent={"routes": "the tool is missing"}), id="not read"),
        pytest.param(
            replace(NODE, routes=tuple(Route(destination=f"10.9.{2 * number}.1", device="cali1") for number in range(64))), id="too many"
        ),
    ],
)
def test_what_is_not_known_is_not_guessed(facts: NodeFacts) -> None:
    assert local_networks(facts) is None


def test_text_that_is_no_network_is_left_out() -> None:
    odd = replace(NODE, routes=(*NODE.routes, Route(destination="unreachable", type="blackhole"), Route(destination="x/32", device="y")))
    assert local_networks(odd) == local_networks(NODE)
