"""Did something between client and server reset a connection in the name of one of them?"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.answers import resets
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.journeys import Case, JourneyTable, TracedPath
from kubectl_vxtrace.model.packets import I32, PacketTable
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Path
from kubectl_vxtrace.model.protocol import TCP_RST
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

RESET_IN_PATH = Cause(
    slug="reset-in-path",
    remediation=(
        "Look for what rejects with a TCP reset between {start} and {end}: nft list ruleset and iptables-save there (REJECT "
        "--reject-with tcp-reset), a proxy, an intrusion prevention system. Fix its rule."
    ),
    source="RFC 9293, 3.5.2; Linux net/ipv4/netfilter/nf_reject_ipv4.c",
)
CAUSES = (RESET_IN_PATH,)


def check(case: Case, loss: Loss) -> Iterator[Finding]:
    """Findings `reset-in-path` for requests that the server never got and that a reset answered: something before it wrote that, at the
    first hop that saw one."""
    if not _is_answered(loss) or loss.end is None:
        return
    seen = [(hop, rows) for hop in loss.path.hops[: loss.leg.from_] if len(rows := resets(case, loss, hop))]
    if not seen:
        return
    hop, rows = seen[-1]
    text = f"{len(rows)} x TCP RST in the server's name at {place_text(hop)}, with TTL {_ttls(case.tables[hop.tap], rows)}"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, hop.tap, rows))]
    before, behind, server = place_text(loss.start), place_text(loss.end), _end_text(loss.flow.server)
    proofs.append(Evidence(kind=EvidenceKind.ABSENCE, text=f"what they answer was not seen at {behind}, so that the server cannot have"))
    yield replace(
        error_finding(
            case,
            loss,
            RESET_IN_PATH,
            Confidence.LIKELY,
            f"{loss.answered} connections to {server} were reset after {before}, before the server",
            proofs,
            remediation=RESET_IN_PATH.remedy(start=before, end=behind),
            not_ruled_out=("a rule of the node whose counter was not read",),
        ),
        packets=loss.answered,
    )


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `reset-in-path` for resets of open connections, which were not sent at the end whose name they bear."""
    answered = {loss.flow.id for loss in case.losses if _is_answered(loss)}
    for traced in case.paths:
        if traced.flow.protocol == "TCP" and traced.flow.id not in answered:
            yield from _out_of_nowhere(case, traced)


def _is_answered(loss: Loss) -> bool:
    return loss.kind is LossKind.VANISHED and bool(loss.answered) and loss.flow.protocol == "TCP"


def _out_of_nowhere(case: Case, traced: TracedPath) -> Iterator[Finding]:
    """RSTs that are first seen in the middle of their way, while all hops before could testify and saw none of that connection."""
    path = traced.path
    for place in range(1, len(path.hops)):
        hop, table = path.hops[place], case.tables.get(path.hops[place].tap)
        if table is None or not all(_is_witness(traced, earlier.hop) for earlier in path.hops[:place]):
            continue
        rows = _first_seen_there(case, path, traced.journeys, place)
        if not len(rows):
            continue
        yield _appeared(case, path, traced.flow, hop, rows)


def _first_seen_there(case: Case, path: Path, journey: JourneyTable, place: int) -> I32:
    """Rows of the hop's table: RSTs of connections of which no hop before saw any."""
    resetting = np.zeros(len(journey), dtype=np.bool_)
    earlier = np.zeros(len(journey), dtype=np.bool_)
    for number, hop in enumerate(path.hops[: place + 1]):
        table = case.tables.get(hop.tap)
        row = journey.row[:, number]
        if table is None:
            continue
        here = (row >= 0) & ((table.flags[np.maximum(row, 0)] & TCP_RST) != 0) if len(table) else np.zeros(len(journey), dtype=np.bool_)
        if number == place:
            resetting = here
        else:
            earlier |= here
    ports = np.unique(journey.client_port[earlier])
    unseen = (journey.row[:, :place] < 0).all(axis=1)
    rows: I32 = journey.row[resetting & unseen & ~np.isin(journey.client_port, ports), place]
    return rows


def _is_witness(traced: TracedPath, hop: int) -> bool:
    count = traced.hop_count(hop)
    return count is not None and count.witness


def _appeared(case: Case, path: Path, flow: Flow, hop: Hop, rows: I32) -> Finding:
    table = case.tables[hop.tap]
    reply = path.direction is Direction.REPLY
    who, end = ("server", flow.server) if reply else ("client", flow.client)
    others = np.setdiff1d(_of_same_conversations(table, rows), rows)
    text = f"{len(rows)} x TCP RST in the {who}'s name first seen at {place_text(hop)}, with TTL {_ttls(table, rows)}"
    text += f"; its other packets there have TTL {_ttls(table, others)}" if len(others) else ""
    before = ", ".join(place_text(earlier) for earlier in path.hops[: hop.hop - 1])
    nearest = place_text(path.hops[hop.hop - 2])
    return Finding(
        cause=RESET_IN_PATH.slug,
        confidence=Confidence.LIKELY,
        severity=Severity.WARNING,
        packets=len(rows),
        summary=f"{len(rows)} resets of connections in the name of {_end_text(end)} come from between {nearest} and {place_text(hop)}",
        flow=flow.id,
        direction=path.direction,
        evidence=(
            Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, hop.tap, rows)),
            Evidence(kind=EvidenceKind.ABSENCE, text=f"no RST of these connections at {before}, whose captures are complete"),
        ),
        remediation=RESET_IN_PATH.remedy(start=nearest, end=place_text(hop)),
    )


def _of_same_conversations(table: PacketTable, rows: I32) -> I32:
    return np.flatnonzero(np.isin(table.conversation, np.unique(table.conversation[rows]))).astype(np.int32)


def _ttls(table: PacketTable, rows: I32) -> str:
    return ", ".join(str(value) for value in np.unique(table.ttl[rows]).tolist())


def _end_text(end: Endpoint | None) -> str:
    return "the server" if end is None else host_port(end.address, end.port)
