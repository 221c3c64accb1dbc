"""What decides which of the datagrams between two nodes arrive, and the sentences on it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis.report.port_comparison import Bools, Conclusion, Like, compared, comparison_notes, conclude
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, ComparedPair, PortComparison
from kubectl_vxtrace.model.report import Decides, NodeComparison

SOURCE_PORTS = tuple(range(61001, 61017))
PAIR = ComparedPair(
    sender="node-a",
    receiver="node-b",
    source="192.0.2.1",
    destination="192.0.2.2",
    vxlan_port=4789,
    other_port=64789,
    checksums=(True, False),
    sizes_bytes=(128, 1460),
    source_ports=SOURCE_PORTS,
    copies=2,
    first_vni=9_000_000,
    sent=tuple(range(256)),
)
SIX = replace(PAIR, source="2001:db8::1", destination="2001:db8::2", checksums=(True,), sent=tuple(range(128)))

Loses = Callable[[int, bool, int, int], bool]
"""Whether a datagram is lost: by its port, checksum, size and source port."""


def _datagrams(pair: ComparedPair) -> list[tuple[int, bool, int, int]]:
    """Each datagram in the order in which they are numbered."""
    once = [(each.port, each.checksum, each.size_bytes, source) for each in pair.variants for source in pair.source_ports]
    return once * pair.copies


def _arrived(pair: ComparedPair, loses: Loses) -> Bools:
    return np.array([not loses(*each) for each in _datagrams(pair)], np.bool_)


def _concluded(pair: ComparedPair, loses: Loses) -> Conclusion:
    sent = np.zeros(pair.count, np.bool_)
    sent[list(pair.sent)] = True
    return conclude(pair, sent, _arrived(pair, loses))


TABLE: list[tuple[str, Loses, Conclusion]] = [
    ("nothing is lost", lambda port, check, size, source: False, Conclusion(decides=Decides.NOTHING)),
    ("all is lost", lambda port, check, size, source: True, Conclusion(decides=Decides.NOTHING_ARRIVES)),
    ("VXLAN's port", lambda port, check, size, source: port == 4789, Conclusion(decides=Decides.PORT, lost=Like(port=4789))),
    ("the other port", lambda port, check, size, source: port != 4789, Conclusion(decides=Decides.PORT, lost=Like(port=64789))),
    ("a checksum", lambda port, check, size, source: check, Conclusion(decides=Decides.CHECKSUM, lost=Like(checksum=True))),
    ("none", lambda port, check, size, source: not check, Conclusion(decides=Decides.CHECKSUM, lost=Like(checksum=False))),
    ("large ones", lambda port, check, size, source: size > 1000, Conclusion(decides=Decides.SIZE, lost=Like(size_bytes=1460))),
    ("small ones", lambda port, check, size, source: size < 1000, Conclusion(decides=Decides.SIZE, lost=Like(size_bytes=128))),
    (
        "large ones to VXLAN's port",
        lambda port, check, size, source: size > 1000 and port == 4789,
        Conclusion(decides=Decides.COMBINATION, lost=Like(port=4789, size_bytes=1460)),
    ),
    (
        "large ones with a checksum to VXLAN's port",
        lambda port, check, size, source: size > 1000 and check and port == 4789,
        Conclusion(decides=Decides.COMBINATION, lost=Like(port=4789, checksum=True, size_bytes=1460)),
    ),
    (
        "large ones, and all to VXLAN's port",
        lambda port, check, size, source: size > 1000 or port == 4789,
        Conclusion(decides=Decides.COMBINATION, arriving=Like(port=64789, size_bytes=128)),
    ),
    (
        "some source ports, to whatever port",
        lambda port, check, size, source: source in SOURCE_PORTS[:4],
        Conclusion(decides=Decides.SOURCE_PORT, source_ports=((4789, SOURCE_PORTS[:4]), (64789, SOURCE_PORTS[:4]))),
    ),
    (
        "one source port, to one port, as where a path is chosen by both",
        lambda port, check, size, source: (port, source) == (4789, 61003),
        Conclusion(decides=Decides.SOURCE_PORT, source_ports=((4789, (61003,)),)),
    ),
    (
        "other source ports to the other port",
        lambda port, check, size, source: (source + (port == 4789)) % 4 == 0,
        Conclusion(decides=Decides.SOURCE_PORT, source_ports=((4789, SOURCE_PORTS[2::4]), (64789, SOURCE_PORTS[3::4]))),
    ),
    (
        "large ones on one of several paths",
        lambda port, check, size, source: size > 1000 and source % 4 == 0,
        Conclusion(
            decides=Decides.SOURCE_PORT,
            lost=Like(size_bytes=1460),
            source_ports=((4789, SOURCE_PORTS[3::4]), (64789, SOURCE_PORTS[3::4])),
        ),
    ),
    (
        "too few of one path to tell",
        lambda port, check, size, source: size > 1000 and (port, source) == (4789, 61003),
        Conclusion(decides=Decides.IRREGULAR),
    ),
    (
        "a path, and VXLAN's port without a checksum beside it",
        lambda port, check, size, source: source == 61003 or (port == 4789 and not check and size > 1000),
        Conclusion(decides=Decides.IRREGULAR),
    ),
]


@pytest.mark.parametrize(("loses", "conclusion"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_what_decides(loses: Loses, conclusion: Conclusion) -> None:
    assert _concluded(PAIR, loses) == conclusion


def test_losses_at_random_decide_nothing() -> None:
    random = np.random.default_rng(1)
    sent = np.ones(PAIR.count, np.bool_)
    for share in (0.004, 0.02, 0.1, 0.3, 0.5, 0.9):
        for _ in range(200):
            arrived = random.random(PAIR.count) >= share
            found = conclude(PAIR, sent, arrived)
            assert found.decides is Decides.IRREGULAR or (arrived.all() and found.decides is Decides.NOTHING), share


@pytest.mark.parametrize("kept", [1, 0])
def test_one_more_or_less_than_a_kind_is_no_such_kind(kept: int) -> None:
    arrived = _arrived(PAIR, lambda port, check, size, source: port == 4789)
    first = int(np.flatnonzero(arrived == (not kept))[0])
    arrived[first] = kept
    assert conclude(PAIR, np.ones(PAIR.count, np.bool_), arrived).decides is Decides.IRREGULAR


def test_of_what_was_not_sent_nothing_is_concluded() -> None:
    large = [number for number, each in enumerate(_datagrams(PAIR)) if each[2] > 1000]
    some = replace(PAIR, sent=tuple(number for number in range(PAIR.count) if number not in large))
    assert _concluded(some, lambda port, check, size, source: size > 1000).decides is Decides.NOTHING
    assert _concluded(some, lambda port, check, size, source: port == 4789) == Conclusion(decides=Decides.PORT, lost=Like(port=4789))
    assert _concluded(replace(PAIR, sent=()), lambda *_: False).decides is Decides.NOT_SENT
    few = replace(PAIR, sent=(0, 128))
    assert _concluded(few, lambda port, check, size, source: port == 4789).decides is Decides.NOTHING_ARRIVES
    few = replace(PAIR, sent=(0, 64, 65))
    assert _concluded(few, lambda port, check, size, source: port == 4789).decides is Decides.IRREGULAR


def test_where_all_have_a_checksum_it_is_no_kind() -> None:
    assert _concluded(SIX, lambda port, check, size, source: size > 1000) == Conclusion(decides=Decides.SIZE, lost=Like(size_bytes=1460))
    assert _concluded(SIX, lambda port, check, size, source: size > 1000 and port == 4789).lost == Like(port=4789, size_bytes=1460)


TAPS = {node: Tap(node=node, interface="ens4") for node in ("node-a", "node-b")}


def _capture(node: str, **changes: Any) -> CaptureResult:
    task = CaptureTask(id=1, tap=TAPS[node], role=Role.UNDERLAY, file=f"{node}-ab.pcap")
    return replace(CaptureResult(task=task, status=CaptureStatus.COMPLETE, dropped_by_kernel=0, file=task.file), **changes)


class _Table:
    """What is read of a PacketTable: tunnels, with a frame of each, the last of them twice, and one frame without any."""

    def __init__(self, vnis: Sequence[int]) -> None:
        self.tunnels = self
        self.vni = np.array(vnis, np.uint32)
        self.tunnel = np.array([-1, *range(len(vnis)), len(vnis) - 1], np.int32)
        # Every frame to the one address, but the last copy of all, which goes to the other.
        self.ethernet = np.array([*[0] * (len(vnis) + 1), 1], np.int32)
        self.ethernets = _Ethernets()


class _Ethernets:
    """The receiver's own address, and another."""

    destination = np.array([0x020000000001, 0x020000000002], np.uint64)

    def __len__(self) -> int:
        return 2


def _table(pair: ComparedPair, seen: Bools) -> Any:
    strangers = [5, pair.first_vni - 1, pair.first_vni + pair.count]
    return _Table([*strangers, *(pair.first_vni + np.flatnonzero(seen)).tolist()])


def _compared(
    loses: Loses,
    *,
    captures: Sequence[CaptureResult] | None = None,
    keeps: Loses | None = None,
    without: Sequence[str] = (),
    links: Sequence[Link] = (),
) -> NodeComparison:
    """keeps: what does not even leave the sender's NIC; without: nodes whose files cannot be read; links: the receiver's."""
    left = _arrived(PAIR, keeps or (lambda *_: False))
    seen = {"node-a": left, "node-b": left & _arrived(PAIR, loses)}
    tables: dict[Tap, PacketTable] = {TAPS[node]: _table(PAIR, which) for node, which in seen.items() if node not in without}
    ab = PortComparison(pairs=(PAIR,), captures=tuple(captures if captures is not None else map(_capture, TAPS)))
    (found,) = compared(ab, tables, [NodeFacts(node="node-b", links=tuple(links))])
    assert comparison_notes(ab, [found]) == (f"--ab: {found.summary}",)
    return found


def test_counts_by_kind_and_by_source_port() -> None:
    found = _compared(lambda port, check, size, source: size > 1000, keeps=lambda port, check, size, source: source == 61001)
    assert [(each.port, each.checksum, each.bytes) for each in found.variants] == [
        (port, checksum, size) for port in (4789, 64789) for checksum in (True, False) for size in (128, 1460)
    ]
    assert [(each.sent, each.left, each.arrived) for each in found.variants] == [(32, 30, 30), (32, 30, 0)] * 4
    assert [(each.port, each.source_port) for each in found.source_ports] == [
        (port, source) for port in (4789, 64789) for source in SOURCE_PORTS
    ]
    assert [(each.sent, each.left, each.arrived) for each in found.source_ports] == [(8, 0, 0), *[(8, 8, 4)] * 15] * 2


SENTENCES: list[tuple[Loses, str]] = [
    (
        lambda port, check, size, source: False,
        "all 256 datagrams arrive, to port 4789 or 64789, of 128 or 1460 bytes, with or without an outer checksum, from 16 source ports",
    ),
    (
        lambda port, check, size, source: port == 4789,
        "all 128 datagrams to port 4789 are lost, and all 128 others arrive: the port decides, as where something filters VXLAN's; "
        "what is lost leaves node-a's NIC and does not come to node-b's",
    ),
    (
        lambda port, check, size, source: port != 4789,
        "all 128 datagrams to port 64789 are lost, and all 128 others arrive: VXLAN's port (4789) passes, and one that nothing "
        "uses does not; what is lost leaves node-a's NIC and does not come to node-b's",
    ),
    (
        lambda port, check, size, source: size > 1000 or port == 4789,
        "all 64 datagrams of 128 bytes to port 64789 arrive, and all 192 others are lost; "
        "what is lost leaves node-a's NIC and does not come to node-b's",
    ),
    (
        lambda port, check, size, source: check and source in SOURCE_PORTS[:2],
        "all datagrams with an outer checksum from some outer source ports are lost, none from the others: to port 4789 from 61001, 61002 "
        "(2 of 16); to port 64789 from 61001, 61002 (2 of 16): as where one of several paths (ECMP, LAG), or a filter, takes them; "
        "what is lost leaves node-a's NIC and does not come to node-b's",
    ),
    (
        lambda port, check, size, source: (port, check, size, source) == (4789, True, 128, 61001),
        "2 of 256 datagrams are lost, and neither port, checksum, size nor source port tells which; "
        "what is lost leaves node-a's NIC and does not come to node-b's",
    ),
]


@pytest.mark.parametrize(("loses", "text"), SENTENCES)
def test_the_sentences(loses: Loses, text: str) -> None:
    assert _compared(loses).summary == f"node-a to node-b: {text}"


@pytest.mark.parametrize(
    ("loses", "word"),
    [
        (lambda port, check, size, source: check, "computes or verifies it wrongly"),
        (lambda port, check, size, source: not check, "drops what has none"),
        (lambda port, check, size, source: size > 1000, "a smaller MTU"),
        (lambda port, check, size, source: size < 1000, "the size decides;"),
        (lambda port, check, size, source: True, "none of 256 datagrams arrives, to port 4789 or 64789, of 128 or 1460 bytes"),
    ],
)
def test_what_a_kind_may_be_lost_by(loses: Loses, word: str) -> None:
    assert word in _compared(loses).summary


def test_where_it_is_lost() -> None:
    at_sender = _compared(lambda *_: False, keeps=lambda port, check, size, source: port == 4789)
    assert at_sender.decides is Decides.PORT
    assert at_sender.summary.endswith("; what is lost does not leave node-a's NIC")
    both = _compared(lambda port, check, size, source: port == 4789, keeps=lambda port, check, size, source: port == 4789 and check)
    assert both.summary.endswith("filters VXLAN's")
    blind = [_capture("node-a", status=CaptureStatus.FAILED, reason="no memory"), _capture("node-b")]
    unseen = _compared(lambda port, check, size, source: port == 4789, captures=blind, without=["node-a"])
    assert (unseen.decides, {each.left for each in unseen.variants}) == (Decides.PORT, {None})
    assert unseen.summary.endswith("filters VXLAN's")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": CaptureStatus.PARTIAL, "reason": "it ended by itself"}, "node-b/ens4: it ended by itself"),
        ({"dropped_by_kernel": 3}, "node-b/ens4: the kernel dropped packets"),
        ({"dropped_by_kernel": None}, "node-b/ens4: the kernel dropped packets, or does not say"),
    ],
)
def test_what_a_capture_may_lack_is_not_known(changes: dict[str, Any], why: str) -> None:
    captures = [_capture("node-a"), _capture("node-b", **changes)]
    found = _compared(lambda port, check, size, source: port == 4789, captures=captures)
    assert (found.decides, {each.arrived for each in found.variants}) == (Decides.UNKNOWN, {None})
    assert found.summary.startswith(f"node-a to node-b: which of 256 datagrams arrive is not known: {why}")
    assert _compared(lambda *_: False, captures=captures).decides is Decides.NOTHING, "what was seen has arrived"


def test_without_a_capture_nothing_is_known() -> None:
    assert "no NIC of node-b was captured" in _compared(lambda *_: True, captures=[_capture("node-a")]).summary
    assert "cannot be read" in _compared(lambda *_: True, without=["node-b"]).summary
    gone = [_capture("node-a"), _capture("node-b", status=CaptureStatus.ZERO, reason="it is down", file=None)]
    assert _compared(lambda *_: True, captures=gone, without=["node-b"]).decides is Decides.NOTHING_ARRIVES


NIC = Link(name="ens4", index=2, mac="02:00:00:00:00:01")


def test_what_is_flooded_past_a_node_has_not_arrived() -> None:
    assert _compared(lambda *_: False, links=[NIC]).decides is Decides.NOTHING
    flooded = _compared(lambda *_: False, links=[replace(NIC, mac="02:00:00:00:00:99")])
    assert (flooded.decides, {each.left for each in flooded.variants}) == (Decides.NOTHING_ARRIVES, {32})
    assert _compared(lambda *_: False, links=[replace(NIC, mac="10.9.0.1"), replace(NIC, mac=None)]).decides is Decides.NOTHING


@pytest.mark.parametrize(
    "links",
    [
        [replace(NIC, xdp=True)],
        [replace(NIC, lower="eth0"), replace(NIC, name="eth0", xdp=True)],
        [NIC, replace(NIC, name="eth0", master="ens4", xdp=True)],
    ],
    ids=["its own", "its parent's", "its member's"],
)
def test_a_program_before_the_capture_may_take_what_arrives(links: Sequence[Link]) -> None:
    found = _compared(lambda port, check, size, source: port == 4789, links=links)
    assert found.decides is Decides.UNKNOWN
    assert found.summary.endswith("node-b/ens4: an XDP program can take packets before they are seen here")
    assert _compared(lambda *_: False, links=links).decides is Decides.NOTHING
    other = _compared(lambda port, check, size, source: port == 4789, links=[NIC, replace(NIC, name="ens9", xdp=True)])
    assert other.decides is Decides.PORT


def test_of_many_ways_without_losses_one_sentence_is_enough() -> None:
    names = [f"node-{number}" for number in range(6)]
    healthy = [replace(_compared(lambda *_: False), to=name, summary=f"node-a to {name}: all arrive") for name in names]
    broken = replace(_compared(lambda *_: True), summary="node-a to node-b: none arrives")
    said = comparison_notes(PortComparison(missing=("node-c to node-d: no perl",)), [*healthy, broken])
    assert said == (
        "--ab: node-a to node-b: none arrives",
        "--ab: on 6 of 7 ways between nodes all 1536 datagrams arrive, whatever port, checksum and size",
        "--ab: node-c to node-d: no perl",
    )
    assert len(comparison_notes(PortComparison(), healthy[:4])) == 4
    assert comparison_notes(None, ()) == ()
