"""What a node has at home, from its routing tables; whether an interface has Ethernet headers, by what its node says of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.capture.nodefacts import has_ethernet, local_networks
from kubectl_vxtrace.facts.routes import read_routes
from kubectl_vxtrace.model.facts import Link, NodeFacts, Route, VxlanDevice
from kubectl_vxtrace.model.path import Tap

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


MAC = "d6:2c:68:9f:7a:5b"


@pytest.mark.parametrize(
    ("kind", "mac", "expected"),
    [
        (None, MAC, True),
        ("veth", MAC.upper(), True),
        ("tun", None, False),
        ("tun", MAC, True),  # a tap device
        ("wireguard", None, False),
        ("ppp", None, False),
        ("ipip", "10.0.0.1", False),
        ("gre", "10.0.0.1", False),
        ("gretap", MAC, True),
        (None, "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1", False),  # InfiniBand
        (None, None, True),
    ],
)
def test_kinds_of_interfaces(kind: str | None, mac: str | None, expected: bool) -> None:
    facts = (NodeFacts(node="n0"), NodeFacts(node="n1", links=(Link(name="eth1", index=3), Link(name="eth0", index=2, kind=kind, mac=mac))))
    assert has_ethernet(facts, Tap(node="n1", interface="eth0")) is expected


def test_what_nobody_knows_has_ethernet() -> None:
    other = NodeFacts(node="n2", links=(Link(name="tun0", index=2, kind="tun"),))
    assert has_ethernet((other,), Tap(node="n1", interface="tun0"))
    assert has_ethernet((other,), Tap(node="n2", interface="eth0"))
    assert not has_ethernet((other,), Tap(node="n2", interface="tun0"))
