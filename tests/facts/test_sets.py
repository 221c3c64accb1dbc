"""Sets of ipset and nft."""

import json

import pytest

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.sets import read_ipset, read_nft_sets
from tests.facts.samples import recorded

_LISTED = b"""Name: cali40all-vxlan-net
Type: hash:net
Header: family inet hashsize 1024 maxelem 1048576 timeout 0
References: 2
Number of entries: 2
Members:
10.128.0.96
10.128.0.72 timeout 12 comment "a b"

Name: KUBE-LOOP-BACK
Type: hash:ip,port,ip
Members:
"""


def test_a_recorded_calico_node_does_not_allow_its_peer() -> None:
    """The recording's fault: the client's node is missing in the server's set of VXLAN hosts."""
    sets = {found.name: found for found in read_ipset(recorded("ipset.txt"))}
    assert sets["cali40all-vxlan-net"].members == ("10.128.0.96",)
    assert (sets["cali40this-host"].type, sets["cali40this-host"].backend) == ("hash:ip", "ipset")


def test_ipset() -> None:
    vteps, loop = read_ipset(_LISTED)
    assert (vteps.name, vteps.type, vteps.members, vteps.complete) == (
        "cali40all-vxlan-net",
        "hash:net",
        ("10.128.0.96", "10.128.0.72"),
        True,
    )
    assert (loop.type, loop.members) == ("hash:ip,port,ip", ())
    assert read_ipset(b"") == ()


def test_a_very_long_set_is_known_by_name() -> None:
    raw = b"Name: x\nMembers:\n" + b"".join(b"10.0.%d.%d\n" % divmod(number, 250) for number in range(20_001))
    (found,) = read_ipset(raw)
    assert (found.name, found.members, found.complete) == ("x", (), False)


@pytest.mark.parametrize("raw", [b"1.2.3.4\n", b"ipset v7.17: Kernel error\n", b"\xff\n", b"Name: x\n", b"Type: y\nMembers:\n"])
def test_what_is_no_ipset_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_ipset(raw)


def test_sets_and_maps_of_nft() -> None:
    elements = [
        "10.0.0.1",
        {"prefix": {"addr": "10.1.0.0", "len": 16}},
        {"range": ["10.2.0.1", "10.2.0.9"]},
        {"elem": {"val": {"concat": ["10.3.0.1", "udp", 53]}, "timeout": 5}},
    ]
    goto = {"goto": {"target": "service-x"}}
    raw = json.dumps(
        {
            "nftables": [
                {"set": {"family": "ip", "table": "calico", "name": "vxlan", "type": "ipv4_addr", "elem": elements}},
                {
                    "map": {
                        "family": "ip",
                        "table": "kube-proxy",
                        "name": "service-ips",
                        "type": ["ipv4_addr", "inet_proto"],
                        "elem": [["10.96.0.10", goto]],
                    }
                },
            ]
        }
    ).encode()
    first, second = read_nft_sets(raw)
    assert (first.name, first.backend, first.type) == ("ip calico vxlan", "nft", "ipv4_addr")
    assert first.members == ("10.0.0.1", "10.1.0.0/16", "10.2.0.1-10.2.0.9", "10.3.0.1 . udp . 53")
    assert (second.type, second.members) == ("ipv4_addr . inet_proto", ("10.96.0.10",))
