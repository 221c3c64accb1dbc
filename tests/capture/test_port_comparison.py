"""What --ab sends, where its captures are, and that a node sends it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.capture import port_comparison
from kubectl_vxtrace.capture.port_comparison import COPIES, OTHER_PORT, SOURCE_PORTS, capture_plan, command, compared_pairs, read, turns
from kubectl_vxtrace.capture.session import CaptureSession
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer
from kubectl_vxtrace.model.datapath import UdpSocket
from kubectl_vxtrace.model.facts import Link, NodeFacts, VxlanDevice
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Role, Tap, Vtep
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureStatus, CaptureTask, ComparedPair
from kubectl_vxtrace.packets import read_pcap
from tests.capture import netns

NODES = ("node-a", "node-b", "node-c")


def _flow(number: int, client: str, server: str | None, *candidates: str) -> Flow:
    ends = [Endpoint(address=f"10.244.{number}.9", node=node) for node in candidates]
    return Flow(
        id=number,
        protocol="UDP",
        client=Endpoint(address="10.244.1.7", node=client),
        server=Endpoint(address="10.244.2.9", node=server) if server is not None else None,
        candidates=tuple(ends),
    )


def _overlay(*, six: bool = False, mtu_bytes: int | None = 1410) -> Overlay:
    return Overlay(
        vteps=tuple(
            Vtep(
                node=node,
                interface="vxlan.calico",
                underlay_address=f"2001:db8::{number}" if six else f"192.0.2.{number}",
                vni=4096,
                port=4789,
                mtu_bytes=mtu_bytes,
            )
            for number, node in enumerate(NODES, 1)
        )
    )


def _facts(node: str = "node-a", *, nic_mtu: int = 1460, external: bool = False, sockets: Sequence[int] = ()) -> NodeFacts:
    return NodeFacts(
        node=node,
        links=(
            Link(name="ens4", index=2, mtu_bytes=nic_mtu, mac="02:00:00:00:00:01"),
            Link(name="ens5", index=3, mtu_bytes=9000, mac="02:00:00:00:00:02"),
            Link(name="vxlan.calico", index=4, vxlan=VxlanDevice(vni=None if external else 4096, port=4789, external=external)),
        ),
        udp_sockets=tuple(UdpSocket(address="0.0.0.0", port=port) for port in sockets),
    )


PATH = HopPath(flow=1, direction=Direction.REQUEST, hops=(Hop(hop=1, role=Role.UNDERLAY, tap=Tap(node="node-a", interface="ens4")),))


def _pairs(*flows: Flow, six: bool = False, session: str = "7f3a01", facts: Sequence[NodeFacts] = ()) -> tuple[ComparedPair, ...]:
    return compared_pairs(flows, [PATH], _overlay(six=six), facts or (_facts(),), session)[0]


def test_both_ways_between_the_nodes_of_each_flow_once() -> None:
    pairs = _pairs(_flow(1, "node-a", "node-b"), _flow(2, "node-a", "node-b"), _flow(3, "node-b", None, "node-c", "node-b"))
    assert [(pair.sender, pair.receiver) for pair in pairs] == [
        ("node-a", "node-b"),
        ("node-b", "node-a"),
        ("node-b", "node-c"),
        ("node-c", "node-b"),
    ]
    assert [(pair.source, pair.destination) for pair in pairs[2:]] == [("192.0.2.2", "192.0.2.3"), ("192.0.2.3", "192.0.2.2")]


def test_few_packets_and_each_variant_from_each_source_port() -> None:
    (pair, _) = _pairs(_flow(1, "node-a", "node-b"))
    assert pair.count == COPIES * 8 * len(SOURCE_PORTS) == 256
    assert len({(each.port, each.checksum, each.size_bytes) for each in pair.variants}) == 8
    assert {port % 2 for port in SOURCE_PORTS} == {0, 1}
    assert all(60999 < port <= 65535 for port in (*SOURCE_PORTS, OTHER_PORT))
    assert OTHER_PORT not in SOURCE_PORTS
    words = command(pair).argv[4:]
    assert words[:3] == ("192.0.2.1", "192.0.2.2", "10")
    assert (words[6], words[-1]) == ("4789,1,128", "64789,0,1460")
    assert command(pair).timeout_s > 10 * pair.count * 0.01


def test_no_two_datagrams_have_one_vni_and_no_device_has_it() -> None:
    flows = [_flow(number, one, other) for number, (one, other) in enumerate([("node-a", "node-b"), ("node-b", "node-c")], 1)]
    pairs = _pairs(*flows)
    vnis = [pair.first_vni + number for pair in pairs for number in range(pair.count)]
    assert len(set(vnis)) == 1024
    assert 1 << 23 <= min(vnis) <= max(vnis) < 1 << 24
    taken = replace(_facts(), links=(Link(name="vx", index=9, vxlan=VxlanDevice(vni=vnis[700], port=4789)),))
    moved = _pairs(*flows, facts=[taken])
    assert moved[0].first_vni == vnis[700] + 1
    for session in ("ffffff", "7fffff", "000000"):
        last = _pairs(*flows, session=session)[-1]
        assert last.first_vni + last.count <= 1 << 24
    assert _pairs(*flows, session="123456")[0].first_vni != pairs[0].first_vni


@pytest.mark.parametrize(
    ("nic", "tunnel", "large"), [(1460, 1410, 1460), (9000, 1410, 1460), (1400, 1410, 1400), (9000, None, 9000), (100, 1410, 129)]
)
def test_the_large_ones_are_the_largest_that_the_tunnel_sends(nic: int, tunnel: int | None, large: int) -> None:
    (pair, _), _ = compared_pairs([_flow(1, "node-a", "node-b")], [PATH], _overlay(mtu_bytes=tunnel), [_facts(nic_mtu=nic)], "0")
    assert pair.sizes_bytes == (128, large)


def test_the_other_port_is_one_that_nothing_uses() -> None:
    (pair, _) = _pairs(_flow(1, "node-a", "node-b"), facts=[_facts(sockets=[OTHER_PORT]), _facts("node-b", sockets=[OTHER_PORT + 1])])
    assert pair.other_port == OTHER_PORT + 2


def test_over_ipv6_all_have_a_checksum_and_why_is_said() -> None:
    pairs, missing = compared_pairs([_flow(1, "node-a", "node-b")], [PATH], _overlay(six=True), [_facts()], "0")
    assert [(pair.count, pair.checksums) for pair in pairs] == [(128, (True,))] * 2
    assert len(missing) == 1
    assert "RFC 8200" in missing[0]
    assert "ip6[52:4]" in (capture_plan(pairs, TASKS, ()).tasks[0].filter or "")


@pytest.mark.parametrize(
    ("flow", "facts", "why"),
    [
        (_flow(1, "node-a", "node-a"), _facts(), "the ends are not known to be on two nodes"),
        (_flow(1, "node-a", None), _facts(), "the ends are not known to be on two nodes"),
        (_flow(1, "node-a", "node-x"), _facts(), "node-a to node-x: the receiver's underlay address and VXLAN port are not known"),
        (_flow(1, "node-x", "node-b"), _facts(), "node-x to node-b: the sender's underlay address and VXLAN port are not known"),
        (_flow(1, "node-a", "node-b"), _facts("node-b", external=True), "node-a to node-b: vxlan.calico of node-b takes every VNI"),
    ],
)
def test_where_nothing_may_be_sent_it_is_said_why(flow: Flow, facts: NodeFacts, why: str) -> None:
    pairs, missing = compared_pairs([flow], [PATH], _overlay(), [facts], "0")
    assert why in missing[0]
    assert ("node-a", flow.server.node if flow.server else None) not in {(pair.sender, pair.receiver) for pair in pairs}


TASKS = [
    CaptureTask(id=number, tap=Tap(node=node, interface=name), role=role, file=file, argv=("tcpdump",) if name else ())
    for number, (node, name, role, file) in enumerate(
        [
            ("node-a", "cali1", Role.POD, "node-a-pod.pcap"),
            ("node-a", "ens4", Role.UNDERLAY, "node-a-primary-interface.pcap"),
            ("node-a", "", Role.UNDERLAY, "node-a-primary-interface-2.pcap"),
            ("node-b", "ens4", Role.UNDERLAY, "node-b-primary-interface.pcap"),
            ("node-c", "ens4", Role.UNDERLAY, "node-c-primary-interface.pcap"),
        ],
        1,
    )
]


def test_the_captures_are_at_the_nics_of_these_nodes_and_of_these_datagrams_alone() -> None:
    pairs = _pairs(_flow(1, "node-a", "node-b"))
    plan = capture_plan(pairs, TASKS, [_facts()])
    assert [(task.id, task.tap.node, task.file) for task in plan.tasks] == [
        (1, "node-a", "node-a-primary-interface-ab.pcap"),
        (2, "node-b", "node-b-primary-interface-ab.pcap"),
    ]
    first, last = pairs[0].first_vni, pairs[1].first_vni + 255
    inner = f"((udp[8:4]=0x08000000) and (udp[12:4]>=0x{first:06x}00) and (udp[12:4]<=0x{last:06x}00) and (udp[28:2]=0x88b5))"
    assert plan.tasks[0].filter == f"{inner} or (vlan and {inner})"
    assert plan.tasks[0].argv[-1] == plan.tasks[0].filter


def test_no_node_sends_to_two_at_once() -> None:
    flows = [_flow(number, one, other) for number, (one, other) in enumerate([("node-a", "node-b"), ("node-a", "node-c")], 1)]
    sending = [[(pair.sender, pair.receiver) for pair in turn] for turn in turns(_pairs(*flows))]
    assert sending == [[("node-a", "node-b"), ("node-b", "node-a"), ("node-c", "node-a")], [("node-a", "node-c")]]
    assert turns(()) == ()


def _answer(pair: ComparedPair, stdout: bytes, stderr: bytes = b"", reason: str | None = None) -> NodeAnswer:
    return NodeAnswer(command=command(pair), status=AnswerStatus.OK, exit_code=0, stdout=stdout, stderr=stderr, reason=reason)


def test_what_was_sent_and_why_not_all() -> None:
    (pair, _) = _pairs(_flow(1, "node-a", "node-b"))
    assert read(pair, _answer(pair, b"".join(b"%d\n" % number for number in range(256)))) == (replace(pair, sent=tuple(range(256))), None)
    some, why = read(pair, _answer(pair, b"3\n1\n3\n999\n-1\n7x\n\xff\n", b"1460 bytes to port 4789: Message too long\n"))
    assert some.sent == (1, 3)
    assert why == "node-a to node-b: 254 of 256 not sent: 1460 bytes to port 4789: Message too long"
    assert (read(pair, _answer(pair, b"", reason="no pod"))[1] or "").endswith(": no pod")
    assert (read(pair, _answer(pair, b""))[1] or "").endswith(": the node did not say why")


def test_nothing_of_a_pair_is_part_of_the_script() -> None:
    (pair, _) = _pairs(_flow(1, "node-a", "node-b"))
    assert "192.0.2" not in command(pair).argv[2]


def test_what_a_dry_run_says() -> None:
    assert "256 UDP datagrams, 100 a second, to VXLAN's port and to 64789" in port_comparison.INTENT


_REASON = netns.missing()


@pytest.fixture
def _wired() -> Iterator[None]:
    with netns.namespaces("ab-left", "ab-right"):
        netns.wire("ab-left", "ab-right")
        netns.run("ip", "-n", "ab-left", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
        netns.run("ip", "-n", "ab-right", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
        yield


@pytest.mark.root
@pytest.mark.skipif(_REASON is not None, reason=str(_REASON))
@pytest.mark.usefixtures("_wired")
@pytest.mark.parametrize(("shell", "six"), [("dash", False), ("busybox", False), ("dash", True)])
def test_a_node_sends_them_and_both_captures_see_each(shell: str, six: bool, tmp_path: Path) -> None:
    vteps = [
        Vtep(node=name, interface="vx", underlay_address=f"2001:db8::{number}" if six else f"10.9.0.{number}", port=4789)
        for number, name in enumerate(("ab-left", "ab-right"), 1)
    ]
    facts = [NodeFacts(node=vtep.node, links=(Link(name="eth0", index=2, mtu_bytes=1500),)) for vtep in vteps]
    taps = [Tap(node=vtep.node, interface="eth0") for vtep in vteps]
    path = HopPath(flow=1, direction=Direction.REQUEST, hops=(Hop(hop=1, role=Role.UNDERLAY, tap=taps[0]),))
    tasks = [
        CaptureTask(id=number, tap=tap, role=Role.UNDERLAY, file=f"{tap.node}.pcap", argv=("tcpdump",))
        for number, tap in enumerate(taps, 1)
    ]
    pairs, _ = compared_pairs([_flow(1, "ab-left", "ab-right")], [path], Overlay(vteps=tuple(vteps)), facts, "7f3a01")
    pair = replace(pairs[0], source_ports=pairs[0].source_ports[:3])
    nodes = netns.NamespaceNodes(shell, tmp_path)
    session = CaptureSession(nodes, capture_plan(pairs, tasks, facts), netns.DIRECTORY)
    session.start()
    sent, why = read(pair, nodes.answer(command(pair)))
    session.stop()
    results = session.collect(Store(folder=tmp_path))
    assert (why, sent.sent) == (None, tuple(range(pair.count)))
    assert [(result.status, result.captured) for result in results] == [(CaptureStatus.COMPLETE, pair.count)] * 2
    for result in results:
        table = read_pcap(tmp_path / str(result.file), vxlan_ports={4789, 64789})
        tunnels = table.tunnels
        order = table.tunnel
        assert (order >= 0).all()
        wanted = [(each, source) for each in pair.variants for source in pair.source_ports] * pair.copies
        assert tunnels.vni[order].tolist() == [pair.first_vni + number for number in range(pair.count)]
        assert list(zip(tunnels.port[order].tolist(), tunnels.source_port[order].tolist(), strict=True)) == [
            (each.port, source) for each, source in wanted
        ]
        assert (table.wire_bytes - 14).tolist() == [each.size_bytes for each, _ in wanted]
        raw = np.fromfile(tmp_path / str(result.file), np.uint8)
        at = table.offset + 16 + 14
        checksum = at + (40 if six else 20) + 6
        assert ((raw[checksum] | raw[checksum + 1]) != 0).tolist() == [each.checksum for each, _ in wanted]
        if not six:
            assert ((raw[at + 6] & 0x40) != 0).all(), "none may be fragmented"
