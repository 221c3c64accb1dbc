"""What became of the datagrams that nodes sent each other to compare ports, checksums, sizes and source ports (--ab), and what decides.

Only what the counts prove is concluded; it is no finding, and changes neither verdict nor cause.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.judgement import FEW_COMPARED, FEW_OF_A_SOURCE_PORT
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, ComparedPair, PortComparison
from kubectl_vxtrace.model.report import BEFORE_TAP, Decides, NodeComparison, SourcePortTally, VariantTally

Bools = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_MANY = 4
"""More pairs of nodes of which nothing is to be said but that all arrives are said together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """What datagrams have in common; None: they differ in it. `checksum`: whether they have one."""

    port: int | None = None
    checksum: bool | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What decides. lost: all of these and no others are lost; or arriving: all of these and no others arrive. Where it is the source port,
    `lost` says of which datagrams, and source_ports: those from which all of them are lost, by port."""

    decides: Decides
    lost: Like = Like()
    arriving: Like | None = None
    source_ports: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Of each datagram of a pair, in their order: what it is, by its place among the pair's variants and source ports."""

    port: Numbers
    checksum: Bools
    size_bytes: Numbers
    variant: Numbers
    source_port: Numbers

    def like(self, asked: Like) -> Bools:
        """Which are so."""
        found = np.ones(len(self.port), np.bool_)
        for wanted, column in ((asked.port, self.port), (asked.checksum, self.checksum), (asked.size_bytes, self.size_bytes)):
            if wanted is not None:
                found &= column == wanted
        return found


def _columns(pair: ComparedPair) -> _Columns:
    variants, ports = pair.variants, len(pair.source_ports)
    number = np.arange(pair.count)
    variant = number // ports % len(variants)
    return _Columns(
        port=np.array([each.port for each in variants], np.int64)[variant],
        checksum=np.array([each.checksum for each in variants], np.bool_)[variant],
        size_bytes=np.array([each.size_bytes for each in variants], np.int64)[variant],
        variant=variant,
        source_port=np.array(pair.source_ports, np.int64)[number % ports],
    )


def conclude(pair: ComparedPair, sent: Bools, arrived: Bools) -> Conclusion:
    """What decides which of a pair's datagrams arrive. sent, arrived: of each datagram, in their order; all that arrived was seen."""
    columns = _columns(pair)
    lost = sent & ~arrived
    if not sent.any():
        return Conclusion(decides=Decides.NOT_SENT)
    if not lost.any():
        return Conclusion(decides=Decides.NOTHING)
    if not (sent & arrived).any():
        return Conclusion(decides=Decides.NOTHING_ARRIVES)
    if min(int(lost.sum()), int((sent & arrived).sum())) >= FEW_COMPARED:
        for like in (each for respects in (1, 2, 3) for each in _likes(pair, respects)):
            chosen = columns.like(like) & sent
            if np.array_equal(chosen, lost):
                return Conclusion(decides=_decider(like), lost=like)
            if _decider(like) is Decides.COMBINATION and np.array_equal(chosen, sent & arrived):
                return Conclusion(decides=Decides.COMBINATION, arriving=like)
    for like in (each for respects in (0, 1, 2) for each in _likes(pair, respects)):
        if (ports := _lost_source_ports(columns, columns.like(like) & sent, lost)) is not None:
            return Conclusion(decides=Decides.SOURCE_PORT, lost=like, source_ports=ports)
    return Conclusion(decides=Decides.IRREGULAR)


def _likes(pair: ComparedPair, respects: int) -> Iterator[Like]:
    """All that datagrams may have in common in so many respects."""
    levels: dict[str, tuple[int | bool, ...]] = {
        "port": (pair.vxlan_port, pair.other_port),
        "checksum": pair.checksums,
        "size_bytes": pair.sizes_bytes,
    }
    for names in combinations([name for name, values in levels.items() if len(values) > 1], respects):
        for values in product(*(levels[name] for name in names)):
            yield _like(dict(zip(names, values, strict=True)))


def _like(values: Mapping[str, int | bool]) -> Like:
    checksum = values.get("checksum")
    return Like(port=values.get("port"), checksum=None if checksum is None else bool(checksum), size_bytes=values.get("size_bytes"))


def _decider(like: Like) -> Decides:
    if [like.port, like.checksum, like.size_bytes].count(None) < 2:
        return Decides.COMBINATION
    if like.port is not None:
        return Decides.PORT
    return Decides.CHECKSUM if like.checksum is not None else Decides.SIZE


def _lost_source_ports(columns: _Columns, chosen: Bools, lost: Bools) -> tuple[tuple[int, tuple[int, ...]], ...] | None:
    """The source ports, by port, from which all of the `chosen` are lost, where from all others none is, and nothing else is lost.

    None where it is not so. Networks choose a path by addresses and both ports (RFC 2992; IEEE 802.1AX, 6.2.4), so that a source port may
    take one path to one port, and another to the other.
    """
    if (lost & ~chosen).any():
        return None
    of, number = np.unique(np.stack([columns.port[chosen], columns.source_port[chosen]], axis=1), axis=0, return_inverse=True)
    all_, gone = (np.bincount(number.reshape(-1), weights=weights, minlength=len(of)) for weights in (None, lost[chosen]))
    whole = gone == all_
    if not (whole | (gone == 0)).all() or whole.all() or int(lost.sum()) < FEW_COMPARED or all_[whole].min() < FEW_OF_A_SOURCE_PORT:
        return None
    ports = dict.fromkeys(of[whole][:, 0].tolist())
    return tuple((port, tuple(of[whole & (of[:, 0] == port)][:, 1].tolist())) for port in ports)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Which datagrams of a pair were seen at a node's NICs. blind: why there may be more of them; None where there are not."""

    datagrams: Bools
    blind: str | None


def _seen_leaving(pair: ComparedPair, ab: PortComparison, tables: Mapping[Tap, PacketTable]) -> _Seen:
    here = [capture for capture in ab.captures if capture.task.tap.node == pair.sender]
    found, blind = np.zeros(pair.count, np.bool_), None if here else f"no NIC of {pair.sender} was captured"
    for capture in here:
        table = tables.get(capture.task.tap)
        found |= _in(pair, table, ())
        blind = _blindness(capture, table) or blind
    return _Seen(found, blind)


def _seen_arriving(pair: ComparedPair, ab: PortComparison, tables: Mapping[Tap, PacketTable], facts: NodeFacts | None) -> _Seen:
    """facts: what the receiver said of itself. Its own NICs' addresses tell what arrives from what is flooded past it, and where a program
    is at XDP it may take what arrives before it is seen."""
    here = [capture for capture in ab.captures if capture.task.tap.node == pair.receiver]
    links = facts.links if facts is not None else ()
    macs = tuple(int(link.mac.replace(":", ""), 16) for link in links if link.mac is not None and _MAC.fullmatch(link.mac))
    found, blind = np.zeros(pair.count, np.bool_), None if here else f"no NIC of {pair.receiver} was captured"
    for capture in here:
        tap, table = capture.task.tap, tables.get(capture.task.tap)
        found |= _in(pair, table, macs)
        blind = _blindness(capture, table) or blind
        if any(link.xdp for link in links if tap.interface in (link.name, link.master) or link.name == _lower(links, tap.interface)):
            blind = f"{tap.node}/{tap.interface}: an XDP program {BEFORE_TAP}"
    return _Seen(found, blind)


def _lower(links: Sequence[Link], name: str) -> str | None:
    return next((link.lower for link in links if link.name == name), None)


def _in(pair: ComparedPair, table: PacketTable | None, macs: Sequence[int]) -> Bools:
    """Which datagrams a capture holds; where `macs` are known, only in frames to one of them."""
    found = np.zeros(pair.count, np.bool_)
    if table is None:
        return found
    rows = np.flatnonzero(table.tunnel >= 0)
    if macs and len(table.ethernets):
        destination = table.ethernets.destination[np.maximum(table.ethernet[rows], 0)]
        rows = rows[(table.ethernet[rows] < 0) | np.isin(destination, np.array(macs, np.uint64))]
    number = table.tunnels.vni[table.tunnel[rows]].astype(np.int64) - pair.first_vni
    found[number[(number >= 0) & (number < pair.count)]] = True
    return found


def _blindness(capture: CaptureResult, table: PacketTable | None) -> str | None:
    """Why a capture may lack packets that passed, with its place."""
    why = _why_blind(capture, table)
    return None if why is None else f"{capture.task.tap.node}/{capture.task.tap.interface}: {why}"


def _why_blind(capture: CaptureResult, table: PacketTable | None) -> str | None:
    if capture.status is CaptureStatus.ZERO:
        return None
    if capture.status is not CaptureStatus.COMPLETE:
        return capture.reason or f"its capture is {capture.status.value}"
    if table is None:
        return "its capture cannot be read to its end"
    if capture.dropped_by_kernel != 0:
        return "the kernel dropped packets, or does not say whether it did, before they were captured"
    return None


def compared(ab: PortComparison | None, tables: Mapping[Tap, PacketTable], facts: Sequence[NodeFacts]) -> tuple[NodeComparison, ...]:
    """What became of the datagrams of each pair of nodes. tables: of the captures of these, by their taps. facts: what nodes said."""
    told = {each.node: each for each in facts}
    return tuple(_of_pair(pair, ab, tables, told.get(pair.receiver)) for pair in ab.pairs) if ab is not None else ()


def _of_pair(pair: ComparedPair, ab: PortComparison, tables: Mapping[Tap, PacketTable], facts: NodeFacts | None) -> NodeComparison:
    columns = _columns(pair)
    sent = np.zeros(pair.count, np.bool_)
    sent[list(pair.sent)] = True
    leaving, arriving = _seen_leaving(pair, ab, tables), _seen_arriving(pair, ab, tables, facts)
    left = _known(leaving, sent)
    arrived = _known(arriving, sent)
    conclusion = conclude(pair, sent, arrived) if arrived is not None else Conclusion(decides=Decides.UNKNOWN)
    return NodeComparison(
        from_=pair.sender,
        to=pair.receiver,
        source=pair.source,
        destination=pair.destination,
        vxlan_port=pair.vxlan_port,
        other_port=pair.other_port,
        decides=conclusion.decides,
        summary=_summary(pair, sent, left, arrived, conclusion, arriving.blind),
        variants=tuple(
            VariantTally(
                port=each.port,
                checksum=each.checksum,
                bytes=each.size_bytes,
                sent=_count(sent, columns.variant == number) or 0,
                left=_count(left, columns.variant == number),
                arrived=_count(arrived, columns.variant == number),
            )
            for number, each in enumerate(pair.variants)
        ),
        source_ports=tuple(
            SourcePortTally(
                source_port=source_port,
                port=port,
                sent=_count(sent, chosen) or 0,
                left=_count(left, chosen),
                arrived=_count(arrived, chosen),
            )
            for port in (pair.vxlan_port, pair.other_port)
            for source_port in pair.source_ports
            for chosen in ((columns.port == port) & (columns.source_port == source_port),)
        ),
    )


def _known(seen: _Seen, sent: Bools) -> Bools | None:
    """Which of those that were sent were seen; None where it is not known of all that were not."""
    there: Bools = seen.datagrams & sent
    return there if seen.blind is None or np.array_equal(there, sent) else None


def _count(which: Bools | None, chosen: Bools) -> int | None:
    return None if which is None else int((which & chosen).sum())


def _summary(pair: ComparedPair, sent: Bools, left: Bools | None, arrived: Bools | None, conclusion: Conclusion, blind: str | None) -> str:
    """What decides, as a sentence."""
    who = f"{pair.sender} to {pair.receiver}"
    if arrived is None:
        return f"{who}: which of {int(sent.sum())} datagrams arrive is not known: {blind}"
    return f"{who}: {_decided(pair, sent, arrived, conclusion)}{_where(pair, sent & ~arrived, left)}"


def _decided(pair: ComparedPair, sent: Bools, arrived: Bools, conclusion: Conclusion) -> str:
    columns = _columns(pair)
    count, lost = int(sent.sum()), int((sent & ~arrived).sum())
    chosen = int((columns.like(conclusion.lost) & sent).sum())
    divided = f"all {chosen} datagrams {_words(conclusion.lost)} are lost, and all {count - chosen} others arrive"
    match conclusion.decides:
        case Decides.NOT_SENT:
            return "no datagram was sent, and nothing is known"
        case Decides.NOTHING:
            return f"all {count} datagrams arrive, {_whatever(pair, columns, sent)}"
        case Decides.NOTHING_ARRIVES:
            return f"none of {count} datagrams arrives, {_whatever(pair, columns, sent)}"
        case Decides.PORT if conclusion.lost.port == pair.other_port:
            return f"{divided}: VXLAN's port ({pair.vxlan_port}) passes, and one that nothing uses does not"
        case Decides.PORT:
            return f"{divided}: the port decides, as where something filters VXLAN's"
        case Decides.CHECKSUM if conclusion.lost.checksum:
            return f"{divided}: the checksum decides, as where something computes or verifies it wrongly"
        case Decides.CHECKSUM:
            return f"{divided}: the checksum decides, as where something drops what has none"
        case Decides.SIZE if conclusion.lost.size_bytes == max(pair.sizes_bytes):
            return f"{divided}: the size decides, as where something on the way has a smaller MTU"
        case Decides.SIZE:
            return f"{divided}: the size decides"
        case Decides.COMBINATION if conclusion.arriving is not None:
            passing = count - lost
            return f"all {passing} datagrams {_words(conclusion.arriving)} arrive, and all {lost} others are lost"
        case Decides.COMBINATION:
            return divided
        case Decides.SOURCE_PORT:
            return _by_source_port(pair, conclusion)
        case _:
            return f"{lost} of {count} datagrams are lost, and neither port, checksum, size nor source port tells which"


def _whatever(pair: ComparedPair, columns: _Columns, sent: Bools) -> str:
    """What was tried, of all that was sent."""
    tried = (
        ("port", (pair.vxlan_port, pair.other_port), columns.port),
        ("bytes", pair.sizes_bytes, columns.size_bytes),
    )
    said = {name: " or ".join(str(value) for value in values if (sent & (column == value)).any()) for name, values, column in tried}
    checks = [word for word, on in (("with", True), ("without", False)) if (sent & (columns.checksum == on)).any()]
    ports = len(np.unique(columns.source_port[sent]))
    many = f"{ports} source ports" if ports > 1 else "one source port"
    return f"to port {said['port']}, of {said['bytes']} bytes, {' or '.join(checks)} an outer checksum, from {many}"


def _words(like: Like) -> str:
    """What datagrams have in common, as it stands behind them."""
    parts = (
        f"of {like.size_bytes} bytes" if like.size_bytes is not None else "",
        f"to port {like.port}" if like.port is not None else "",
        "" if like.checksum is None else f"{'with' if like.checksum else 'without'} an outer checksum",
    )
    return " ".join(filter(None, parts))


def _by_source_port(pair: ComparedPair, conclusion: Conclusion) -> str:
    of = len(pair.source_ports)
    kind = f" {_words(conclusion.lost)}" if conclusion.lost != Like() else ""
    named = "; ".join(f"to port {port} from {', '.join(map(str, ports))} ({len(ports)} of {of})" for port, ports in conclusion.source_ports)
    return (
        f"all datagrams{kind} from some outer source ports are lost, none from the others: {named}: as where one of several paths (ECMP, "
        "LAG), or a filter, takes them"
    )


def _where(pair: ComparedPair, lost: Bools, left: Bools | None) -> str:
    """Whether what is lost was seen at the sender's NIC; empty where it is not known, or some was."""
    if left is None or not lost.any():
        return ""
    if not (left & lost).any():
        return f"; what is lost does not leave {pair.sender}'s NIC"
    return f"; what is lost leaves {pair.sender}'s NIC and does not come to {pair.receiver}'s" if (left | ~lost).all() else ""


def comparison_notes(ab: PortComparison | None, found: Sequence[NodeComparison]) -> tuple[str, ...]:
    """A sentence for each two nodes and direction, and why something was not sent; nothing unless it was asked for."""
    if ab is None:
        return ()
    passing = [each for each in found if each.decides is Decides.NOTHING]
    together = passing if len(passing) > _MANY else []
    said = [f"{each.summary}" for each in found if each not in together]
    if together:
        count = sum(tally.sent for each in together for tally in each.variants)
        said.append(f"on {len(together)} of {len(found)} ways between nodes all {count} datagrams arrive, whatever port, checksum and size")
    return (*(f"--ab: {text}" for text in said), *(f"--ab: {why}" for why in ab.missing))
