"""Proofs out of the captures: frames of lost packets, absence at a witness, ICMP errors and resets that answer them."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np

from kubectl_vxtrace.diagnosis.evidence.outer_headers import Encapsulation, outer_headers
from kubectl_vxtrace.diagnosis.losses import Trouble
from kubectl_vxtrace.diagnosis.reverse_flow import answering
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, Kind, address_text
from kubectl_vxtrace.model.path import Direction, Hop, Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, FrameRef

_MOST_FRAMES = 5
# RFC 792; RFC 4443, 3.1: destination unreachable.
_ICMP_UNREACHABLE: dict[int, int] = {IpProtocol.ICMP: 3, IpProtocol.ICMPV6: 1}
# RFC 4443, 3.2.
_PACKET_TOO_BIG = 2
# RFC 9293, 3.1; RFC 826.
_TCP_RST = 0x04
_ARP_REQUEST, _ARP_REPLY = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpAnswer:
    """ICMP errors of one kind that quote packets of a trouble; `source` is who sent them, `hop` where they were seen."""

    source: str
    type: int
    code: int
    count: int
    hop: Hop
    frames: tuple[FrameRef, ...]

    @property
    def text(self) -> str:
        """`ICMP 3/1 from 10.128.0.72`, as the RFCs number types and codes."""
        return f"ICMP {self.type}/{self.code} from {self.source}"


def place_text(hop: Hop) -> str:
    """`node/interface` of a hop; its role where only a file's name is known."""
    return f"{hop.tap.node}/{hop.tap.interface or hop.role}"


def direction_noun(direction: Direction, packets: int) -> str:
    """`request`, `requests`, `reply` or `replies`."""
    if packets == 1:
        return direction.value
    return "requests" if direction is Direction.REQUEST else "replies"


def rows_at(trouble: Trouble, hop: Hop) -> I32:
    """Rows of the hop's PacketTable that are sightings of the trouble's packets there."""
    rows = trouble.traced.journeys.row[trouble.rows, hop.hop - 1]
    return np.unique(rows[rows >= 0]).astype(np.int32)


def frame_refs(case: Case, tap: Tap, rows: I32) -> tuple[FrameRef, ...]:
    """The first few of `rows` as somebody would open them in Wireshark."""
    capture = next((capture.task.id for capture in case.recording.captures if capture.task.tap == tap), None)
    table = case.tables.get(tap)
    if capture is None or table is None:
        return ()
    return tuple(FrameRef(capture=capture, frame=int(table.frame[row])) for row in rows[:_MOST_FRAMES])


def last_seen(case: Case, trouble: Trouble) -> Evidence:
    """Where the packets were seen last, with their frames."""
    noun = direction_noun(trouble.path.direction, trouble.packets)
    return Evidence(
        kind=EvidenceKind.PACKETS,
        text=f"{trouble.packets} {noun} last seen at hop {trouble.start.hop}, {place_text(trouble.start)}",
        frames=frame_refs(case, trouble.start.tap, rows_at(trouble, trouble.start)),
    )


def not_seen(trouble: Trouble) -> tuple[Evidence, ...]:
    """What the next witness says, if there is one."""
    if trouble.end is None:
        return ()
    count = trouble.traced.hop_count(trouble.end.hop)
    if count is None:
        return ()
    text = f"none of them at hop {trouble.end.hop}, {place_text(trouble.end)}"
    if count.reason is not None:
        text += f" ({count.reason})"
    elif trouble.presumed:
        text += " (its file has no closing numbers and is presumed complete)"
    else:
        text += f"; its capture is complete and holds {count.control} other packets"
    return (Evidence(kind=EvidenceKind.ABSENCE, text=text),)


def bounded(confidence: Confidence, trouble: Trouble) -> Confidence:
    """At most `likely` where a file's completeness is presumed, or where blind hops make the leg longer than one stretch."""
    if confidence is Confidence.CERTAIN and (trouble.presumed or len(trouble.stretches) > 1):
        return Confidence.LIKELY
    return confidence


def encapsulations(case: Case, trouble: Trouble, hop: Hop) -> tuple[Encapsulation, ...]:
    """The outer headers of the trouble's packets as `hop` saw them, the most frequent first."""
    table = case.tables.get(hop.tap)
    return () if table is None else outer_headers(table, rows_at(trouble, hop))


def icmp_answers(case: Case, trouble: Trouble, *, too_big: bool = False) -> tuple[IcmpAnswer, ...]:
    """Destination-unreachable errors that quote packets of the trouble, seen at the hops that they had passed; nearest to the leg first.

    The same error is seen at several hops on its way back: the hop where most were seen stands for it. `too_big`: of ICMPv6 those
    that speak of the size, which in ICMP are a code of destination unreachable.
    """
    wanted = _ICMP_UNREACHABLE | ({IpProtocol.ICMPV6: _PACKET_TOO_BIG} if too_big else {})
    found: dict[tuple[str, int, int], IcmpAnswer] = {}
    for hop in reversed(trouble.path.hops[: trouble.leg.from_]):
        for answer in _icmp_at(case, trouble, hop, wanted):
            key = (answer.source, answer.type, answer.code)
            if key not in found or found[key].count < answer.count:
                found[key] = answer
    return tuple(found.values())


def _icmp_at(case: Case, trouble: Trouble, hop: Hop, wanted: Mapping[int, int]) -> tuple[IcmpAnswer, ...]:
    table = case.tables.get(hop.tap)
    if table is None or not len(table.icmp_quotes):
        return ()
    lost = np.unique(table.conversation[rows_at(trouble, hop)])
    quotes = table.icmp_quotes
    rows = quotes.row[np.isin(quotes.conversation, lost) | np.isin(quotes.inner_conversation, lost)]
    kinds = np.unique(np.stack([table.conversation[rows], table.flags[rows].astype(np.int32)], axis=1), axis=0)
    answers = []
    for conversation, flags in kinds.tolist():
        protocol = int(table.conversations.protocol[conversation]) if conversation >= 0 else -1
        if wanted.get(protocol) != flags >> 8:
            continue
        same = rows[(table.conversation[rows] == conversation) & (table.flags[rows] == flags)]
        source = address_text(table.conversations.source[conversation])
        frames = frame_refs(case, hop.tap, same)
        answers.append(IcmpAnswer(source=source, type=flags >> 8, code=flags & 0xFF, count=len(same), hop=hop, frames=frames))
    return tuple(answers)


def resets(case: Case, trouble: Trouble, hop: Hop) -> I32:
    """Rows of TCP RSTs at `hop` that answer the trouble's packets: the same conversation, turned round."""
    table = case.tables.get(hop.tap)
    if table is None:
        return np.zeros(0, dtype=np.int32)
    answers = answering(table, rows_at(trouble, hop))
    is_tcp = np.zeros(len(table), dtype=bool)
    known = table.conversation >= 0
    is_tcp[known] = table.conversations.protocol[table.conversation[known]] == IpProtocol.TCP
    return np.flatnonzero(is_tcp & np.isin(table.conversation, answers) & ((table.flags & _TCP_RST) != 0)).astype(np.int32)


def all_reset(case: Case, trouble: Trouble) -> bool:
    """Whether a TCP RST answered each of the trouble's packets: what takes packets away in silence did not."""
    if trouble.answered < trouble.packets:
        return False
    return any(len(resets(case, trouble, hop)) for hop in trouble.path.hops[: trouble.leg.from_])


def arp_questions(case: Case, tap: Tap, address: str) -> tuple[I32, bool]:
    """Rows of ARP requests for `address` at a tap, and whether anybody answered there. Text that is no address was never asked for."""
    table, packed = case.tables.get(tap), _packed(address)
    if table is None or packed is None:
        return np.zeros(0, dtype=np.int32), False
    raw = np.frombuffer(packed, dtype=np.uint8)
    arp = np.flatnonzero((table.kind == Kind.ARP) & (table.conversation >= 0))
    talk, opcode = table.conversation[arp], table.flags[arp]
    asked = (opcode == _ARP_REQUEST) & (table.conversations.destination[talk] == raw).all(axis=1)
    told = (opcode == _ARP_REPLY) & (table.conversations.source[talk] == raw).all(axis=1)
    return arp[asked].astype(np.int32), bool(told.any())


def _packed(address: str) -> bytes | None:
    """The 16 bytes under which a PacketTable holds an address (RFC 4291, 2.5.5.2)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
