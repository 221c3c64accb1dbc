"""Does a node itself refuse packets for their size?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.wire.mtu import UNDERLAY_MTU
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import too_big_answers
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import match_kernel_drops
from kubectl_vxtrace.diagnosis.evidence.lost_packets import address_texts, conversations_at, direction_noun, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment, SegmentKind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.protocol import ETHERNET_BYTES, overhead_bytes
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

POD_MTU = Cause(
    slug="pod-mtu",
    remediation=(
        "Look on {node}: ip link show {device}, and in the pod: ip link show eth0. Set the CNI's MTU to at most {limit}, make the pods "
        "anew, and let ICMP type 3 code 4 (IPv6: type 2) reach the pods."
    ),
    source="RFC 1191; RFC 8201; Linux net/ipv4/ip_forward.c (ip_exceeds_mtu); projectcalico/calico issue 4439",
    admitted=True,
    stage=Stage.FORWARD,
)
CAUSES = (POD_MTU,)


# What to do where the node knows that packets are too large for the way to the other node.
_BETWEEN_NODES = (
    "Look on {node}: ip link; ip route show cache. Raise the MTU of the NIC and of the way, or set the CNI's MTU to {limit}, make the "
    "pods anew, and let ICMP type 3 code 4 (IPv6: type 2) reach the pods."
)
# net/ipv4/ip_forward.c and ip_output.c (IPSTATS_MIB_FRAGFAILS), net/ipv6/ip6_output.c (IPSTATS_MIB_INTOOBIGERRORS, FRAGFAILS).
_COUNTERS = ("Ip.FragFails", "Ip6InTooBigErrors", "Ip6FragFails")
# include/net/dropreason-core.h.
_REASONS = ("PKT_TOO_BIG",)
# RFC 791, 3.1.
_DONT_FRAGMENT = 0x4000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """The largest packet that `device` takes, and why: `cause` if it is that. `text`: as a reader finds it on the node."""

    mtu_bytes: int
    device: Hop
    cause: Cause
    text: str


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `pod-mtu` (packets do not fit into the VXLAN device), and `underlay-mtu` where the node knows already that they do not
    fit between the nodes: from its own NIC, whose outer packets it may not fragment, or from what routers told it."""
    limit = _limit(case, loss, segment)
    if limit is not None:
        yield from _refused(case, loss, segment, limit)


def _limit(case: Case, loss: Loss, segment: Segment) -> _Limit | None:
    mtu = node_facts.mtu_bytes(case, segment.end)
    if segment.kind is SegmentKind.FORWARD and segment.end.role is Role.VXLAN:
        learned = _learned(case, loss, segment)
        if learned is not None and (mtu is None or learned < mtu):
            text = f"{segment.start.tap.node} has learned an MTU of {learned} for the way to the receiver"
            return _Limit(mtu_bytes=learned, device=segment.end, cause=UNDERLAY_MTU, text=text)
        text = f"MTU of {place_text(segment.end)}: {mtu}"
        return None if mtu is None else _Limit(mtu_bytes=mtu, device=segment.end, cause=POD_MTU, text=text)
    if segment.kind is SegmentKind.ENCAPSULATE and mtu is not None:
        overhead = overhead_bytes(loss.path.outer_destination or "")
        text = f"MTU of {place_text(segment.end)}: {mtu}, of which VXLAN takes {overhead}"
        return _Limit(mtu_bytes=mtu - overhead, device=segment.end, cause=UNDERLAY_MTU, text=text)
    return None


def _learned(case: Case, loss: Loss, segment: Segment) -> int | None:
    """The smallest MTU that the node has learned for the packets' inner destination (RFC 1191, 6.2)."""
    wanted = set(address_texts(conversations_at(case, loss, segment.start).destination))
    wanted |= {loss.flow.server.address} if loss.flow.server is not None else set()
    looks = node_facts.looks(case, segment.start.tap.node)
    learned = [entry.mtu_bytes for facts in looks for entry in facts.exceptions if entry.destination in wanted and entry.mtu_bytes]
    return min(learned, default=None)


def _refused(case: Case, loss: Loss, segment: Segment, limit: _Limit) -> Iterator[Finding]:
    """All lost packets are larger than the limit, and the node counts or says that it refused them."""
    sizes = _sizes(case, loss, segment)
    node = segment.start.tap.node
    counters = [growth for name in _COUNTERS if (growth := node_facts.grown(case, node, name)) is not None]
    failed = max(counters, default=None)
    answers = too_big_answers(case, loss)
    if not len(sizes) or int(sizes.min()) <= limit.mtu_bytes:
        return
    # A frame that is larger than the MTU of the interface it came through is a super-packet: its size says nothing of its segments, but
    # what TCP sends again is one of them.
    own = node_facts.mtu_bytes(case, segment.start)
    if not answers and (own is None or int(sizes.min()) > own):
        return
    counted = failed is not None and failed >= len(sizes)
    if not counted and not answers and (failed is not None or not _may_not_fragment(case, loss, segment)):
        return
    confidence = Confidence.CERTAIN if counted else Confidence.LIKELY if answers else Confidence.POSSIBLE
    noun = direction_noun(loss.path.direction, loss.packets)
    doubt = "another drop on the same leg: no counter and no ICMP error speaks of the size"
    yield error_finding(
        case,
        loss,
        limit.cause,
        confidence,
        f"{loss.packets} {noun} of {_span(sizes)} bytes do not fit into {place_text(limit.device)}, which takes {limit.mtu_bytes}",
        [
            _config(case, segment, limit, sizes),
            *_counter(node, failed, len(sizes)),
            *(answer.evidence("too big") for answer in answers),
            # Its own word: where a rule drops the ICMP errors, the kernel tells of those drops at the same moments.
            *(match.evidence for match in match_kernel_drops(case, loss, reasons=_REASONS)[:1]),
        ],
        remediation=_remedy(segment, limit),
        not_ruled_out=() if counted or answers else (doubt,),
    )


def _sizes(case: Case, loss: Loss, segment: Segment) -> I32:
    """Lengths of the lost IP packets as they were where the segment begins."""
    table, rows = case.tables.get(segment.start.tap), rows_at(loss, segment.start)
    sizes: I32 = np.zeros(0, np.int32) if table is None else table.wire_bytes[rows] - ETHERNET_BYTES
    return sizes


def _may_not_fragment(case: Case, loss: Loss, segment: Segment) -> bool:
    """Whether no lost packet may be fragmented: IPv4 with Don't Fragment, or IPv6 (RFC 8200, 5)."""
    table, rows = case.tables.get(segment.start.tap), rows_at(loss, segment.start)
    if table is None:
        return False
    version6 = ":" in loss.flow.client.address
    return version6 or bool((table.fragment[rows] & _DONT_FRAGMENT != 0).all())


def _config(case: Case, segment: Segment, limit: _Limit, sizes: I32) -> Evidence:
    own = f"MTU of {place_text(segment.start)}: {node_facts.mtu_bytes(case, segment.start) or 'not read'}"
    return Evidence(kind=EvidenceKind.CONFIG, text=f"{own}; {limit.text}; lost packets have {_span(sizes)} bytes")


def _counter(node: str, failed: int | None, lost: int) -> Iterator[Evidence]:
    if failed:
        text = f"Ip.FragFails (IPv6: Ip6InTooBigErrors) of {node} grew by {failed}; the lost packets came in {lost} frames"
        yield Evidence(kind=EvidenceKind.COUNTER, text=text)


def _remedy(segment: Segment, limit: _Limit) -> str:
    node, device, mtu = segment.start.tap.node, limit.device.tap.interface, str(limit.mtu_bytes)
    if limit.cause is POD_MTU:
        return POD_MTU.remedy(node=node, device=device, limit=mtu)
    return _BETWEEN_NODES.format(node=node, limit=mtu)


def _span(sizes: I32) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low}" if low == high else f"{low} to {high}"
