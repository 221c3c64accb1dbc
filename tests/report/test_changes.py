"""What changed at a node between two looks, and how the page shows it."""

from kubectl_vxtrace.model.datapath import Listener, UdpSocket
from kubectl_vxtrace.model.facts import ConntrackEntry, Link, Neighbour, NodeFacts, Rule
from kubectl_vxtrace.model.pod_facts import PodFacts
from kubectl_vxtrace.report.changes import NodeChanges, TableChange, changes
from kubectl_vxtrace.report.html import page
from tests.report.build import report

RULE = Rule(id="1", backend="iptables-nft", table="filter", chain="INPUT", text="-p udp --dport 4789 -j DROP", packets=3)


def _look(*, drops: int, mac: str | None, packets: int, used_s: int) -> NodeFacts:
    return NodeFacts(
        node="node-a",
        links=(Link(name="eth0", index=2, counters={"rx.dropped": 1, "rx.packets": packets}),),
        neighbours=(Neighbour(address="10.0.0.2", device="eth0", mac=mac, used_s=used_s),),
        rules=(Rule(id=RULE.id, backend=RULE.backend, table=RULE.table, chain=RULE.chain, text=RULE.text, packets=drops),),
        counters={"Ip.InReceives": packets},
        conntrack=(ConntrackEntry(protocol="UDP", original_source="a", original_destination="b", reply_source="b", reply_destination="a"),),
        sysctls={"net.ipv4.ip_forward": "1"},
    )


def test_only_what_changed_is_said_and_what_tells_of_loss_comes_first() -> None:
    before, after = _look(drops=3, mac="02:00:00:00:00:01", packets=10, used_s=1), _look(drops=9, mac=None, packets=30, used_s=8)
    [found] = changes((before,), (after,))
    gone = "address=10.0.0.2 device=eth0 mac=02:00:00:00:00:01"
    assert found.tables == (TableChange(table="neighbours", gone=(gone,), new=("address=10.0.0.2 device=eth0",)),)
    assert found.counters == (
        ("iptables-nft filter INPUT: -p udp --dport 4789 -j DROP", 3, 6),
        ("Ip.InReceives", 10, 20),
        ("eth0 rx.packets", 10, 20),
    )


def test_counters_inside_pods_are_told_like_others() -> None:
    def look(drops: int) -> NodeFacts:
        inside = PodFacts(
            namespace=3,
            counters={"Udp.RcvbufErrors": drops},
            udp_sockets=(UdpSocket(address="0.0.0.0", port=53, receive_queue_bytes=drops, drops=drops),),
            listeners=(Listener(address="*", port=80, drops=drops), Listener(address="*", port=81)),
        )
        return NodeFacts(node="node-a", pod_facts=(inside,))

    [found] = changes((look(1),), (look(5),))
    assert found.tables == ()
    assert found.counters == (
        ("network namespace 3 Udp.RcvbufErrors", 1, 4),
        ("network namespace 3 UDP socket 0.0.0.0 53 drops", 1, 4),
        ("network namespace 3 TCP listener * 80 drops", 1, 4),
    )


def test_a_question_without_an_answer_is_no_change() -> None:
    before = _look(drops=3, mac="02:00:00:00:00:01", packets=10, used_s=1)
    silent = NodeFacts(node="node-a", absent={"neighbours": "timeout", "rules": "timeout", "links": "timeout", "conntrack": "no tool"})
    [found] = changes((before,), (silent,))
    assert {table.table for table in found.tables} <= {"absent", "sysctls"}
    assert changes((), (silent,)) == ()


def test_the_page_has_the_changes_escaped_and_bounded() -> None:
    lines = tuple(f"<script>{number}</script> " + "x" * 5000 for number in range(100_000))
    many = NodeChanges(
        node="node-a", tables=(TableChange(table="routes", gone=lines, new=()),), counters=tuple((f"c{n}", 1, 2) for n in range(100_000))
    )
    source = page.render(report(), [many] * 200)
    assert "<script>" not in source
    assert "... and 99970 more" in source
    assert "... and 150 more nodes" in source
    assert len(source) < 3_000_000
    assert "Nodes, before and after" not in page.render(report())
