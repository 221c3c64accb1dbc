"""What answered the packets of a loss: ICMP errors, TCP resets, ARP; and which requests got no answer of any kind."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind
from kubectl_vxtrace.model.address import packed_address
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.packets import (
    I32,
    U8,
    U16,
    Conversations,
    Kind,
    PacketTable,
    address_text,
    answered,
    answering,
    conversation_keys,
)
from kubectl_vxtrace.model.path import Direction, Hop, Tap
from kubectl_vxtrace.model.protocol import TCP_RST, IpProtocol
from kubectl_vxtrace.model.report import Evidence, EvidenceKind, FrameRef

# RFC 792; RFC 4443, 3.1: destination unreachable.
_ICMP_UNREACHABLE: dict[int, int] = {IpProtocol.ICMP: 3, IpProtocol.ICMPV6: 1}
# RFC 4443, 3.2.
_PACKET_TOO_BIG = 2
# RFC 792; RFC 4443, 3.3: time exceeded. Code 0: in transit, 1: while fragments were put together.
_TIME_EXCEEDED: dict[int, int] = {IpProtocol.ICMP: 11, IpProtocol.ICMPV6: 3}
_IN_TRANSIT = 0
# RFC 826.
_ARP_REQUEST, _ARP_REPLY = 1, 2
# RFC 1812, 4.3.2.8; Linux Documentation/networking/ip-sysctl.rst: one a second to each host after a few, by default.
_RATE_SETTINGS = {4: "net.ipv4.icmp_ratelimit", 6: "net.ipv6.icmp.ratelimit"}

PORT_UNREACHABLE = frozenset({(3, 3), (1, 4)})
"""Type and code in ICMP (RFC 792) and ICMPv6 (RFC 4443, 3.1)."""
HOST_UNREACHABLE = frozenset({(3, 1), (1, 3)})
"""The same; what ICMPv6 calls address unreachable."""
PROHIBITED = frozenset({(3, 9), (3, 10), (3, 13), (1, 1)})
"""Network, host and communication administratively prohibited (RFC 1812, 5.2.7.1; RFC 4443, 3.1): a firewall refused."""
TOO_BIG = frozenset({(3, 4), (2, 0)})
"""Fragmentation needed (RFC 792, RFC 1191), packet too big (RFC 4443, 3.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpAnswer:
    """ICMP errors of one kind that quote packets of a loss; `source` is who sent them, `hop` where they were seen."""

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

    def is_one_of(self, kinds: Collection[tuple[int, int]]) -> bool:
        """Whether type and code are among `kinds`."""
        return (self.type, self.code) in kinds

    def evidence(self, meaning: str | None = None) -> Evidence:
        """The errors as a proof; `meaning` says in words what type and code say."""
        said = self.text if meaning is None else f"{self.text} ({meaning})"
        text = f"{self.count} x {said}, seen at {place_text(self.hop)}"
        return Evidence(kind=EvidenceKind.PACKETS, text=text, frames=self.frames)


def icmp_answers(case: Case, loss: Loss) -> tuple[IcmpAnswer, ...]:
    """Destination-unreachable errors that quote packets of the loss, seen at the hops that they had passed; nearest to the leg first.

    The same error is seen at several hops on its way back: the hop where most were seen stands for it.
    """
    return _icmp_errors(case, loss, _ICMP_UNREACHABLE, _quoting)


def too_big_answers(case: Case, loss: Loss) -> tuple[IcmpAnswer, ...]:
    """The errors that speak of the packets' size: in ICMP a code of destination unreachable, in ICMPv6 a type of its own."""
    errors = _icmp_errors(case, loss, _ICMP_UNREACHABLE | {IpProtocol.ICMPV6: _PACKET_TOO_BIG}, _quoting)
    return tuple(error for error in errors if error.is_one_of(TOO_BIG))


def expired_outer_answers(case: Case, loss: Loss, losses: Iterable[Loss] = ()) -> tuple[IcmpAnswer, ...]:
    """Errors of routers in which the time to live of the loss's outer packets ended.

    Routers send them at a limited rate (RFC 1812, 4.3.2.8): where none of its packets arrived, errors about other `losses` between the
    same two interfaces speak for it as well.
    """
    ends = loss.start.tap, loss.end.tap if loss.end is not None else None
    alike = [other for other in losses if not loss.arrived and (other.start.tap, other.end.tap if other.end is not None else None) == ends]
    for one in (loss, *alike):
        errors = _icmp_errors(case, one, _TIME_EXCEEDED, _quoting_outer)
        if found := tuple(error for error in errors if error.code == _IN_TRANSIT):
            return found
    return ()


Quoting = Callable[[PacketTable, I32], NDArray[np.bool_]]


def _quoting(table: PacketTable, rows: I32) -> NDArray[np.bool_]:
    """Which of the table's errors quote a packet of the conversations in which `rows` are, bare or encapsulated."""
    conversations, quotes = np.unique(table.conversation[rows]), table.icmp_quotes
    return np.isin(quotes.conversation, conversations) | np.isin(quotes.inner_conversation, conversations)


def _quoting_outer(table: PacketTable, rows: I32) -> NDArray[np.bool_]:
    """Which quote an encapsulation of `rows`: by the packet in it, or by its outer header alone (a router need not quote more, RFC 792)."""
    numbers = np.unique(table.tunnel[rows])
    tunnels, numbers = table.tunnels, numbers[numbers >= 0]
    outer = Conversations(
        protocol=np.full(len(numbers), IpProtocol.UDP, dtype=np.uint8),
        source=tunnels.source[numbers],
        destination=tunnels.destination[numbers],
        source_port=tunnels.source_port[numbers],
        destination_port=tunnels.port[numbers],
    )
    same = np.flatnonzero(np.isin(conversation_keys(table.conversations), conversation_keys(outer)))
    quotes = table.icmp_quotes
    return np.isin(quotes.inner_conversation, np.unique(table.conversation[rows])) | np.isin(quotes.conversation, same)


def _icmp_errors(case: Case, loss: Loss, types: Mapping[int, int], quoting: Quoting) -> tuple[IcmpAnswer, ...]:
    """The errors of those `types`, by IP protocol, that quote packets of the loss."""
    answers: dict[tuple[str, int, int], IcmpAnswer] = {}
    for hop in reversed(loss.path.hops[: loss.leg.from_]):
        for answer in _icmp_at(case, loss, hop, types, quoting):
            key = (answer.source, answer.type, answer.code)
            if key not in answers or answers[key].count < answer.count:
                answers[key] = answer
    return tuple(answers.values())


def _icmp_at(case: Case, loss: Loss, hop: Hop, types: Mapping[int, int], quoting: Quoting) -> tuple[IcmpAnswer, ...]:
    table = case.tables.get(hop.tap)
    if table is None or not len(table.icmp_quotes):
        return ()
    rows = table.icmp_quotes.row[quoting(table, rows_at(loss, hop))]
    kinds = np.unique(np.stack([table.conversation[rows], table.flags[rows].astype(np.int32)], axis=1), axis=0)
    answers = []
    for conversation, flags in kinds.tolist():
        protocol = int(table.conversations.protocol[conversation]) if conversation >= 0 else -1
        if types.get(protocol) != flags >> 8:
            continue
        same = rows[(table.conversation[rows] == conversation) & (table.flags[rows] == flags)]
        source = address_text(table.conversations.source[conversation])
        frames = frame_refs(case, hop.tap, same)
        answers.append(IcmpAnswer(source=source, type=flags >> 8, code=flags & 0xFF, count=len(same), hop=hop, frames=frames))
    return tuple(answers)


def resets(case: Case, loss: Loss, hop: Hop) -> I32:
    """Rows of TCP RSTs at `hop` that answer the loss's packets: the same conversation, turned round."""
    table = case.tables.get(hop.tap)
    if table is None:
        return np.zeros(0, dtype=np.int32)
    answers = answering(table, rows_at(loss, hop))
    is_tcp = np.zeros(len(table), dtype=bool)
    known = table.conversation >= 0
    is_tcp[known] = table.conversations.protocol[table.conversation[known]] == IpProtocol.TCP
    return np.flatnonzero(is_tcp & np.isin(table.conversation, answers) & ((table.flags & TCP_RST) != 0)).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherAnswers:
    """Datagrams to the sockets that asked, seen at the server's last hop, that come from elsewhere than what was asked.

    ports, addresses: where they come from, other than asked; one of the two is empty. answered, asked: client's sockets. refused: ICMP port
    unreachable with which the client refused them. taken: the client went on with one of these senders.
    """

    ports: tuple[int, ...]
    addresses: tuple[str, ...]
    rows: I32
    answered: int
    asked: int
    refused: I32
    taken: bool


def answers_from_elsewhere(case: Case, loss: Loss) -> OtherAnswers | None:
    """Datagrams of the server to the very address and port that asked, from another port; or from another address and the asked port. None
    if there are none, and for other protocols than UDP, in which a socket gets only what comes from where it is connected to."""
    table, server = case.tables.get(loss.start.tap), loss.flow.server
    if table is None or server is None or loss.flow.protocol != "UDP" or loss.kind is not LossKind.SILENT:
        return None
    asked = np.unique(table.conversation[rows_at(loss, loss.start)])
    asked, all_ = asked[asked >= 0], table.conversations
    seen = np.unique(table.conversation[table.conversation >= 0])
    to_client = {_end(all_.source, all_.source_port, number): number for number in asked}
    found = [
        number
        for number in seen[all_.protocol[seen] == IpProtocol.UDP]
        if (question := to_client.get(_end(all_.destination, all_.destination_port, number))) is not None
        and (all_.source[number] == all_.destination[question]).all() != (all_.source_port[number] == all_.destination_port[question])
    ]
    rows = np.flatnonzero(np.isin(table.conversation, found)).astype(np.int32)
    first_ns = table.time_ns[rows_at(loss, loss.start)].min(initial=np.iinfo(np.int64).max)
    rows = rows[table.time_ns[rows] >= first_ns]
    if not len(rows):
        return None
    numbers = np.unique(table.conversation[rows])
    by_port = numbers[~np.isin(all_.source_port[numbers], all_.destination_port[asked])]
    by_address = np.setdiff1d(numbers, by_port)
    quotes = table.icmp_quotes
    return OtherAnswers(
        ports=tuple(np.unique(all_.source_port[by_port]).tolist()),
        addresses=() if len(by_port) else tuple(address_text(raw) for raw in np.unique(all_.source[by_address], axis=0)),
        rows=rows,
        answered=len({_end(all_.destination, all_.destination_port, number) for number in numbers}),
        asked=len(to_client),
        refused=np.unique(quotes.row[np.isin(quotes.conversation, numbers)]).astype(np.int32),
        taken=bool(np.isin(answering(table, rows), seen).any()),
    )


def _end(addresses: U8, ports: U16, number: int) -> tuple[bytes, int]:
    return addresses[number].tobytes(), int(ports[number])


def all_reset(case: Case, loss: Loss) -> bool:
    """Whether a TCP RST answered each of the loss's packets: what takes packets away in silence did not."""
    if loss.answered < loss.packets:
        return False
    return any(len(resets(case, loss, hop)) for hop in loss.path.hops[: loss.leg.from_])


def arp_questions(case: Case, tap: Tap, address: str) -> tuple[I32, bool]:
    """Rows of ARP requests for `address` at a tap, and whether they were answered there. Text that is no address was never asked for."""
    table, packed = case.tables.get(tap), packed_address(address)
    if table is None or packed is None:
        return np.zeros(0, dtype=np.int32), False
    raw = np.frombuffer(packed, dtype=np.uint8)
    arp = np.flatnonzero((table.kind == Kind.ARP) & (table.conversation >= 0))
    conversation, opcode = table.conversation[arp], table.flags[arp]
    asked = (opcode == _ARP_REQUEST) & (table.conversations.destination[conversation] == raw).all(axis=1)
    told = (opcode == _ARP_REPLY) & (table.conversations.source[conversation] == raw).all(axis=1)
    return arp[asked].astype(np.int32), bool(told.any())


def unresolved(case: Case, hop: Hop, address: str) -> tuple[Evidence, ...]:
    """A proof where `hop` saw ARP requests for `address` that were not answered there."""
    rows, told = arp_questions(case, hop.tap, address)
    if not len(rows) or told:
        return ()
    text = f"{len(rows)} x ARP who-has {address} at {place_text(hop)}, never answered"
    return (Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, hop.tap, rows)),)


def unanswered_beside(case: Case, loss: Loss) -> int:
    """How many requests, besides the refused ones of `loss`, came as far as these and no further, and got no answer of any kind.

    Refusals are seen of a few, for a kernel sends only so many. At the server that is what it received; after a hop where nothing names the
    next one, what was seen there last. Elsewhere the captures tell what became of a packet, and there are none.
    """
    journey, table = loss.traced.journeys, case.tables.get(loss.start.tap)
    if loss.path.direction is not Direction.REQUEST or not loss.answered or loss.leg.to is not None or table is None:
        return 0
    outcome = OutcomeCode.DELIVERED if loss.kind is LossKind.REFUSED else OutcomeCode.UNDETERMINED
    last = journey.row.shape[1] - np.argmax(journey.row[:, ::-1] >= 0, axis=1)
    as_far = np.flatnonzero((journey.outcome == outcome) & (last == loss.leg.from_))
    silent = as_far[~answered(table, journey.row[as_far, loss.leg.from_ - 1])]
    return int(journey.weight_packets[silent].sum())


def unanswered_text(case: Case, loss: Loss) -> str | None:
    """Those in words; None if there are none."""
    count = unanswered_beside(case, loss)
    if not count:
        return None
    text = f"{count} more {direction_noun(Direction.REQUEST, count)} got no answer at all"
    if not icmp_answers(case, loss):
        return text
    setting = _RATE_SETTINGS[6 if ":" in loss.flow.client.address else 4]
    return f"{text}: a kernel sends ICMP errors at a limited rate ({setting})"
