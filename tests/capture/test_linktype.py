"""Whether an interface has Ethernet headers, by what its node says of it."""

import pytest

from kubectl_vxtrace.capture.linktype import has_ethernet
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.path import Tap

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
