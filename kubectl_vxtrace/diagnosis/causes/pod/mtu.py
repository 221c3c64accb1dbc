"""Does a node itself refuse packets for their size?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import words
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, icmp_answers, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, address_text
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, FrameRef

_ETHERNET_BYTES = 14
# RFC 7348, 5: outer Ethernet's place is taken by the inner one; VXLAN 8, UDP 8, IPv4 20 or IPv6 40.
_OVERHEAD_BYTES = {4: 50, 6: 70}
# RFC 792 and RFC 1191: fragmentation needed. RFC 4443, 3.2: packet too big.
_TOO_BIG = frozenset({(3, 4), (2, 0)})
# net/ipv4/ip_forward.c and ip_output.c (IPSTATS_MIB_FRAGFAILS), net/ipv6/ip6_output.c (IPSTATS_MIB_INTOOBIGERRORS, FRAGFAILS).
_COUNTERS = ("Ip.FragFails", "Ip6InTooBigErrors", "Ip6FragFails")
# include/net/dropreason-core.h.
_WORDS = ("PKT_TOO_BIG",)
# RFC 791, 3.1.
_DONT_FRAGMENT = 0x4000


@dataclass(frozen=True, slots=True)
class TooBig:
    """ICMP errors that speak of the size of a trouble's packets, of one sender, and where they were seen."""

    text: str
    count: int
    hop: Hop
    frames: tuple[FrameRef, ...]

    @property
    def evidence(self) -> Evidence:
        """The errors as a proof."""
        text = f"{self.count} x {self.text} (too big), seen at {place_text(self.hop)}"
        return Evidence(kind=EvidenceKind.PACKETS, text=text, frames=self.frames)


def too_big(case: Case, trouble: Trouble) -> list[TooBig]:
    """ICMP errors "fragmentation needed" and "packet too big" that quote the trouble's packets."""
    found = icmp_answers(case, trouble, too_big=True)
    return [TooBig(one.text, one.count, one.hop, one.frames) for one in found if (one.type, one.code) in _TOO_BIG]


def overhead_bytes(outer: str) -> int:
    """What VXLAN adds to a packet between nodes with such addresses."""
    return _OVERHEAD_BYTES[6 if ":" in outer else 4]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """The largest packet that `device` takes, and why: `cause` if it is that. `text`: as a reader finds it on the node."""

    mtu_bytes: int
    device: Hop
    cause: str
    text: str


def check(case: Case) -> Iterator[Finding]:
    """Findings `pod-mtu` (packets do not fit into the VXLAN device), and `underlay-mtu` where the node knows already that they do not
    fit between the nodes: from its own NIC, whose outer packets it may not fragment, or from what routers told it."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            limit = _limit(case, trouble, stretch)
            if limit is not None:
                yield from _refused(case, trouble, stretch, limit)


def _limit(case: Case, trouble: Trouble, stretch: Stretch) -> _Limit | None:
    if stretch.end is None:
        return None
    mtu = nodes.mtu_bytes(case, stretch.end)
    if stretch.place is Place.FORWARD and stretch.end.role is Role.VXLAN:
        learned = _learned(case, trouble, stretch)
        if learned is not None and (mtu is None or learned < mtu):
            text = f"{stretch.start.tap.node} has learned an MTU of {learned} for the way to the receiver"
            return _Limit(mtu_bytes=learned, device=stretch.end, cause="underlay-mtu", text=text)
        text = f"MTU of {place_text(stretch.end)}: {mtu}"
        return None if mtu is None else _Limit(mtu_bytes=mtu, device=stretch.end, cause="pod-mtu", text=text)
    if stretch.place is Place.ENCAPSULATE and mtu is not None:
        overhead = overhead_bytes(trouble.path.outer_destination or "")
        text = f"MTU of {place_text(stretch.end)}: {mtu}, of which VXLAN takes {overhead}"
        return _Limit(mtu_bytes=mtu - overhead, device=stretch.end, cause="underlay-mtu", text=text)
    return None


def _learned(case: Case, trouble: Trouble, stretch: Stretch) -> int | None:
    """The smallest MTU that the node has learned for the packets' inner destination (RFC 1191, 6.2)."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(trouble, stretch.start)
    if table is None:
        return None
    numbers = np.unique(table.conversation[rows])
    wanted = {address_text(table.conversations.destination[number]) for number in numbers[numbers >= 0]}
    wanted |= {trouble.flow.server.address} if trouble.flow.server is not None else set()
    looks = nodes.looks(case, stretch.start.tap.node)
    found = [one.mtu_bytes for facts in looks for one in facts.exceptions if one.destination in wanted and one.mtu_bytes]
    return min(found, default=None)


def _refused(case: Case, trouble: Trouble, stretch: Stretch, limit: _Limit) -> Iterator[Finding]:
    """All lost packets are larger than the limit, and the node counts or says that it refused them."""
    sizes = _sizes(case, trouble, stretch)
    node = stretch.start.tap.node
    counters = [growth for name in _COUNTERS if (growth := nodes.grown(case, node, name)) is not None]
    failed = max(counters, default=None)
    answers = too_big(case, trouble)
    if not len(sizes) or int(sizes.min()) <= limit.mtu_bytes:
        return
    # A frame that is larger than the MTU of the interface it came through is a super-packet: its size says nothing of its segments, but
    # what TCP sends again is one of them.
    own = nodes.mtu_bytes(case, stretch.start)
    if not answers and (own is None or int(sizes.min()) > own):
        return
    counted = failed is not None and failed >= len(sizes)
    if not counted and not answers and (failed is not None or not _may_not_fragment(case, trouble, stretch)):
        return
    confidence = Confidence.CERTAIN if counted else Confidence.LIKELY if answers else Confidence.POSSIBLE
    noun = direction_noun(trouble.path.direction, trouble.packets)
    doubt = "another drop on the same leg: no counter and no ICMP error speaks of the size"
    yield explain(
        case,
        trouble,
        limit.cause,
        confidence,
        f"{trouble.packets} {noun} of {_span(sizes)} bytes do not fit into {place_text(limit.device)}, which takes {limit.mtu_bytes}",
        [
            _config(case, stretch, limit, sizes),
            *_counter(node, failed, len(sizes)),
            *(answer.evidence for answer in answers),
            # Its own word: where a rule drops the ICMP errors, the kernel tells of those drops at the same moments.
            *(word.evidence for word in words(case, trouble, reasons=_WORDS)[:1]),
        ],
        remediation=_remedy(stretch, limit),
        not_ruled_out=() if counted or answers else (doubt,),
    )


def _sizes(case: Case, trouble: Trouble, stretch: Stretch) -> I32:
    """Lengths of the lost IP packets as they were where the stretch begins."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(trouble, stretch.start)
    sizes: I32 = np.zeros(0, np.int32) if table is None else table.wire_bytes[rows] - _ETHERNET_BYTES
    return sizes


def _may_not_fragment(case: Case, trouble: Trouble, stretch: Stretch) -> bool:
    """Whether no lost packet may be fragmented: IPv4 with Don't Fragment, or IPv6 (RFC 8200, 5)."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(trouble, stretch.start)
    if table is None:
        return False
    version6 = ":" in trouble.flow.client.address
    return version6 or bool((table.fragment[rows] & _DONT_FRAGMENT != 0).all())


def _config(case: Case, stretch: Stretch, limit: _Limit, sizes: I32) -> Evidence:
    own = f"MTU of {place_text(stretch.start)}: {nodes.mtu_bytes(case, stretch.start) or 'not read'}"
    return Evidence(kind=EvidenceKind.CONFIG, text=f"{own}; {limit.text}; lost packets have {_span(sizes)} bytes")


def _counter(node: str, failed: int | None, lost: int) -> Iterator[Evidence]:
    if failed:
        text = f"Ip.FragFails (IPv6: Ip6InTooBigErrors) of {node} grew by {failed}; the lost packets came in {lost} frames"
        yield Evidence(kind=EvidenceKind.COUNTER, text=text)


def _remedy(stretch: Stretch, limit: _Limit) -> str:
    node, device = stretch.start.tap.node, limit.device.tap.interface
    if limit.cause == "pod-mtu":
        look = f"Look on {node}: ip link show {device}, and in the pod: ip link show eth0. Set the CNI's MTU to at most {limit.mtu_bytes}, "
        return look + "make the pods anew, and let ICMP type 3 code 4 (IPv6: type 2) reach the pods."
    look = f"Look on {node}: ip link; ip route show cache. Raise the MTU of the NIC and of the way, or set the CNI's MTU to "
    return look + f"{limit.mtu_bytes}, make the pods anew, and let ICMP type 3 code 4 (IPv6: type 2) reach the pods."


def _span(sizes: I32) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low}" if low == high else f"{low} to {high}"
