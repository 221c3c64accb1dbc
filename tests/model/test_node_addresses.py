"""By which addresses a node may send."""

from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.node_addresses import sending_addresses


def look(node: str, *links: Link) -> NodeFacts:
    return NodeFacts(node=node, links=links)


def test_all_that_is_the_node_s_own_and_can_be_seen_elsewhere() -> None:
    a = look(
        "a",
        Link(name="lo", index=1, addresses=("127.0.0.1", "::1", "192.168.50.1")),
        Link(name="ens4", index=2, addresses=("10.128.0.72", "fe80::1", "fd00::72")),
        Link(name="docker0", index=3, addresses=("172.17.0.1",)),
        Link(name="kube-ipvs0", index=4, kind="dummy", addresses=("10.96.0.10",)),
        Link(name="odd", index=5, addresses=("no address",)),
    )
    b = look("b", Link(name="ens4", index=2, addresses=("10.128.0.95",)), Link(name="docker0", index=3, addresses=("172.17.0.1",)))
    assert sending_addresses("a", (a, b, a)) == ("192.168.50.1", "10.128.0.72", "fd00::72")
    assert sending_addresses("c", (a, b)) == ()
