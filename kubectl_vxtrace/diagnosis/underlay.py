"""What about the wire between the nodes?"""

import re
from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis import nodes
from kubectl_vxtrace.diagnosis.evidence import direction_noun, encapsulations, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.outers import Encapsulation, outer_headers
from kubectl_vxtrace.diagnosis.trouble import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# Fewer lost packets than this may be an accident and not a rule on the way.
_FEW_PACKETS = 3
# Packets larger than this many bytes on the wire may die of the underlay's MTU; RFC 8200, 5: every IPv6 link carries 1280.
_LARGE_BYTES = 1280
_RECEIVE_MISSED = re.compile(r"(^|[._])rx.*(miss|no_?buf|out_of_buf|fifo|over|discard|drop)")
_SEND_FAILED = re.compile(r"(^|[._])tx.*(err|drop|fail|abort|carrier_errors|fifo|timeout|discard)")


def check(case: Case) -> Iterator[Finding]:
    """Findings `underlay-udp-blocked` (nothing arrives) and `underlay-loss` (some arrives) for what vanished between two nodes' NICs.

    Packets that were sent to an address that the receiver does not have are not the wire's fault, nor are those whose
    receiving NIC is down: nothing is said of those.
    """
    for trouble in troubles(case):
        stretch = trouble.stretch(Place.WIRE)
        if stretch is None or stretch.end is None:
            continue
        headers = encapsulations(case, trouble, stretch.start)
        if not headers or _elsewhere(case, stretch, headers) or nodes.interface_state(case, stretch.end) is not None:
            continue
        if trouble.arrived == 0 and not _others_arrive(case, stretch, headers):
            yield _blocked(case, trouble, stretch, headers[0])
        else:
            yield _partial(case, trouble, stretch, headers[0])


def _elsewhere(case: Case, stretch: Stretch, headers: tuple[Encapsulation, ...]) -> bool:
    """Whether no outer destination is an address of the node that should receive; False where its addresses are not known."""
    if stretch.end is None:
        return False
    known = nodes.underlay_addresses(case, stretch.end.tap.node)
    return bool(known) and not any(header.destination in known for header in headers)


def _others_arrive(case: Case, stretch: Stretch, headers: tuple[Encapsulation, ...]) -> bool:
    """Whether the receiver's capture, its whole file, holds any VXLAN packet between the same outer addresses."""
    table = case.tables.get(stretch.end.tap) if stretch.end is not None else None
    if table is None:
        return False
    pairs = {(header.source, header.destination) for header in headers}
    every_row = np.arange(len(table), dtype=np.int32)
    return any((header.source, header.destination) in pairs for header in outer_headers(table, every_row))


def _blocked(case: Case, trouble: Trouble, stretch: Stretch, header: Encapsulation) -> Finding:
    sender, receiver = stretch.start, stretch.end or stretch.start
    counters, unread = _nic_evidence(case, stretch)
    doubts = [*counters, *unread, *_programs(case, stretch)]
    confidence = Confidence.LIKELY if doubts else Confidence.CERTAIN
    if trouble.packets < _FEW_PACKETS:
        confidence = Confidence.LIKELY
        doubts.append(f"an accident: only {trouble.packets} of them")
    smallest = _smallest_bytes(case, trouble, stretch)
    if smallest > _LARGE_BYTES:
        confidence = Confidence.POSSIBLE
        doubts.append(f"the underlay's MTU: the smallest of the lost frames has {smallest} bytes")
    doubts.append(f"a drop below {place_text(receiver)}'s tap (NIC ring)")
    noun = direction_noun(trouble.path.direction, trouble.packets)
    outer = f"{header.source} > {header.destination}:{header.port}"
    return explain(
        case,
        trouble,
        "underlay-udp-blocked",
        confidence,
        f"{trouble.packets} encapsulated {noun} {outer} were handed to {sender.tap.node}'s driver, {receiver.tap.node}'s kernel saw none",
        [_wire_evidence(stretch, counters, unread)],
        remediation=_remedy(sender.tap.interface, receiver.tap.interface, header),
        not_ruled_out=doubts,
    )


def _partial(case: Case, trouble: Trouble, stretch: Stretch, header: Encapsulation) -> Finding:
    counters, unread = _nic_evidence(case, stretch)
    noun = direction_noun(trouble.path.direction, trouble.packets)
    summary = (
        f"{trouble.packets} of {trouble.sent} encapsulated {noun} {header.source} > {header.destination}:{header.port} were lost on the way"
    )
    return explain(
        case,
        trouble,
        "underlay-loss",
        Confidence.POSSIBLE if counters or unread else Confidence.LIKELY,
        summary,
        [_wire_evidence(stretch, counters, unread)],
        not_ruled_out=[*counters, *unread, *_programs(case, stretch)],
    )


def _remedy(sender: str, receiver: str, header: Encapsulation) -> str:
    where = f"host {header.source} and udp port {header.port}"
    return (
        f"Look for them on the way: tcpdump -ni {receiver or 'NIC'} '{where}' on the receiver, and what the switch or hypervisor "
        f"between counts (they left through {sender or 'the NIC'}). Then allow UDP {header.port} from {header.source} to "
        f"{header.destination}, and back (security group, network ACL, firewall between the nodes)."
    )


def _smallest_bytes(case: Case, trouble: Trouble, stretch: Stretch) -> int:
    table = case.tables.get(stretch.start.tap)
    rows = rows_at(case, trouble, stretch.start)
    return 0 if table is None or not len(rows) else int(table.wire_bytes[rows].min())


def _wire_evidence(stretch: Stretch, counters: list[str], unread: list[str]) -> Evidence:
    sender, receiver = stretch.start, stretch.end or stretch.start
    if counters or unread:
        return Evidence(kind=EvidenceKind.ABSENCE, text="the NICs' own counters do not clear them: " + "; ".join([*counters, *unread]))
    text = f"no receive-missed or softnet counter of {receiver.tap.node} and no transmit-error counter of {sender.tap.node} grew"
    return Evidence(kind=EvidenceKind.ABSENCE, text=text)


def _nic_evidence(case: Case, stretch: Stretch) -> tuple[list[str], list[str]]:
    """Counters of both NICs that grew, and NICs whose counters were not read twice, each as a sentence."""
    grown, unread = [], []
    for hop, pattern in ((stretch.start, _SEND_FAILED), (stretch.end or stretch.start, _RECEIVE_MISSED)):
        node, interface = hop.tap.node, hop.tap.interface
        if nodes.link_grown(case, node, interface, "rx.packets") is None:
            unread.append(f"a drop in the NIC or driver of {place_text(hop)}, whose counters were not read before and after")
            continue
        names = [
            *nodes.link_growths(case, node, interface),
            *nodes.growths(case, node, f"ethtool.{interface}."),
        ]
        grown += [f"{name} of {place_text(hop)} grew by {growth}" for name, growth in names if pattern.search(name)]
    receiver = (stretch.end or stretch.start).tap.node
    backlog = nodes.grown(case, receiver, "softnet.dropped")
    if backlog:
        grown.append(f"softnet.dropped of {receiver} grew by {backlog}")
    return grown, unread


def _programs(case: Case, stretch: Stretch) -> list[str]:
    return [
        f"the XDP program on {place_text(hop)}"
        for hop in (stretch.start, stretch.end)
        if hop is not None
        and any(link.xdp for facts in nodes.looks(case, hop.tap.node) if (link := nodes.link(facts, hop.tap.interface)) is not None)
    ]
