"""The synthesised cases of the table of truth: what their nodes' tools print is read as what their facts say."""

from typing import Any

import pytest

from kubectl_vxtrace.facts.counters import read_statistics
from kubectl_vxtrace.facts.host import read_wireguard
from tests.truth import synthesised
from tests.truth.synthesis import RECEIVER, SENDER, Synthesised

LOST = 41
NODES = (SENDER, RECEIVER, "ada-ec-3")


def case(cause: str) -> Synthesised:
    (found,) = (one for one in synthesised.SYNTHESISED if one.truth.cause == cause)
    return found


def facts(one: Synthesised, node: str, *, after: bool) -> dict[str, Any]:
    """What `edit` makes of a node that has said little."""
    link = {"name": "ens4", "index": 2, "kind": "veth", "mac": "42:01:0a:80:00:48", "counters": {}}
    empty: dict[str, Any] = {"counters": {}, "sysctls": {}, "absent": {}, "neighbours": [], "rules": [], "links": [link], "wireguard": []}
    one.edit(node, after, LOST, empty)
    return empty


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("cause", "question", "prefix"),
    [("dns-conntrack-race", "conntrack-stat", "conntrack"), ("neighbour-table-full", "arp_cache", "arp_cache")],
)
def test_counters_of_tables(cause: str, question: str, prefix: str, node: str, after: bool) -> None:
    one = case(cause)
    told = one.said(node, after, LOST)
    wanted = {name: value for name, value in facts(one, node, after=after)["counters"].items() if name.startswith(f"{prefix}.")}
    if question not in told:
        assert wanted == {}
        return
    read = read_statistics(prefix, told[question].encode())
    assert {name: read[name] for name in wanted} == wanted
    assert wanted


@pytest.mark.parametrize("node", NODES)
def test_peers_of_wireguard(node: str) -> None:
    one = case("wireguard-peer")
    told = {question.removeprefix("wireguard-"): text.encode() for question, text in one.said(node, True, LOST).items()}
    read = [
        {
            "device": peer.device,
            "public_key": peer.public_key,
            "endpoint": peer.endpoint,
            "allowed": list(peer.allowed),
            "handshake_s": peer.handshake_s,
            "received_bytes": peer.received_bytes,
            "sent_bytes": peer.sent_bytes,
        }
        for peer in read_wireguard(told)
    ]
    assert read == facts(one, node, after=True)["wireguard"]
    assert bool(read) == (node != "ada-ec-3")
