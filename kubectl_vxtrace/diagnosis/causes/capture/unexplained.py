"""What is said of packets of which nothing that was read says why they were lost, and of frames that could not be followed."""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import PROHIBITED, icmp_answers
from kubectl_vxtrace.diagnosis.evidence.asked_ends import frames_of_ends
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import KernelDropMatch, kernel_word
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.off_path import strayed
from kubectl_vxtrace.diagnosis.evidence.places_to_look import look_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind, Onward
from kubectl_vxtrace.model.address import host_port, mac_text
from kubectl_vxtrace.model.facts import Neighbour
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Flow
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

UNKNOWN = Cause(
    slug="unknown",
    remediation="Attach the bundle to a ticket: it holds the captures of both ends of the leg and what both nodes' kernels said.",
    source="none",
    gives_reason=False,
    explains=False,
)
CAUSES = (UNKNOWN,)

# Counters that a reader of an unexplained loss wants to know of, each an admission of some drop.
_TELLING = (
    "Ip.InHdrErrors",
    "Ip.InAddrErrors",
    "Ip.InDiscards",
    "Ip.OutNoRoutes",
    "Ip.OutDiscards",
    "Ip.ReasmFails",
    "Ip.FragFails",
    "Udp.NoPorts",
    "Udp.InErrors",
    "Udp.InCsumErrors",
    "Udp.RcvbufErrors",
    "IpExt.InNoRoutes",
    "TcpExt.IPReversePathFilter",
    "TcpExt.ListenOverflows",
    "softnet.dropped",
    "conntrack.insert_failed",
    "conntrack.drop",
    "conntrack.invalid",
)
# Twice what lies between the last packet that is counted and the end (journeys/judgement.py, WINDOW_MARGIN_NS).
_BRIEF_NS = 2_000_000_000
# What holds the rules that most often drop packets; not read with --profile netraw.
_RULE_QUESTIONS = ("iptables", "nft")


def unexplained(case: Case, loss: Loss) -> Finding:
    """An error that says where the packets vanished, in the kernel's own words where it has any, and which counters grew meanwhile."""
    noun = direction_noun(loss.path.direction, loss.packets)
    if loss.end is not None:
        where = f"vanished between {place_text(loss.start)} and {place_text(loss.end)}"
    else:
        where = f"vanished after {place_text(loss.start)}"
    if loss.kind is LossKind.SILENT:
        where = f"came to {place_text(loss.start)}, and no reply was seen there"
    doubts = [f"a drop at the blind hop {place_text(segment.start)}" for segment in loss.segments[1:]]
    word, neighbours = kernel_word(case, loss), list(_unresolved_neighbours(case, loss))
    why, look = "nothing that was read explains it", None
    if word is not None:
        why, look = f"the kernel of {word.node} dropped {_of(word)}, {word.text}", look_text(case, loss, word)
    elif neighbours:
        node, entry = neighbours[0]
        why = f"{node} has no MAC address of {entry.address} on {entry.device} (its neighbour entry is {', '.join(entry.states)})"
        look = f"Look on {node}: ip -s neigh show dev {entry.device}; the requests for {entry.address} in a capture of ARP or ICMPv6."
    if loss.onward is not None:
        where, sent_on = _sent_on(loss, loss.onward)
        look = f"{look} {sent_on}" if look is not None else sent_on
    proofs = [*([Evidence(kind=EvidenceKind.CONFIG, text=loss.onward.text)] if loss.onward is not None else [])]
    proofs += [*([word.evidence] if word is not None else []), *_foreign_macs(case, loss, word)]
    proofs += [answer.evidence("administratively prohibited") for answer in icmp_answers(case, loss) if answer.is_one_of(PROHIBITED)]
    proofs += [
        Evidence(
            kind=EvidenceKind.CONFIG, text=f"the neighbour entry of {entry.address} on {node}/{entry.device} is {', '.join(entry.states)}"
        )
        for node, entry in neighbours
    ]
    remedy = f"{look} {UNKNOWN.remediation}" if look is not None else None
    return error_finding(
        case,
        loss,
        UNKNOWN,
        Confidence.POSSIBLE,
        f"{loss.packets} {noun} {where}; {why}",
        [*proofs, *_telling(case, loss)],
        remediation=remedy,
        not_ruled_out=doubts,
    )


def _sent_on(loss: Loss, onward: Onward) -> tuple[str, str]:
    """What became of requests that a node hands on, as far as it is known, and what to do about it."""
    node, server = loss.start.tap.node, loss.flow.server
    asked = host_port(server.address, server.port) if server is not None else node
    named = f", the node port of {onward.service}," if onward.service is not None else ""
    targets = ", ".join(host_port(address, port) for address, port in onward.targets[:3])
    to = f"them on to {targets}" if targets else "them to a backend"
    where = f"reached {asked}{named} and {node} hands {to}, which was not followed; no reply came back from there"
    trace = f"Trace the Service itself (--to svc/{onward.service})" if onward.service is not None else "Trace what they are handed to"
    remedy = (
        f"{trace}{f' (--to {targets})' if onward.service is None and len(onward.targets) == 1 else ''}, and compare. Look on {node} at "
        "what its FORWARD chain drops (iptables-save -c; nft list ruleset). Answers must go back through that node"
    )
    if onward.service is None:
        return where, f"{remedy}."
    return where, (
        f"{remedy}: look at its externalTrafficPolicy, and at what takes the masquerading away (iptables-save -t nat | grep -e "
        "KUBE-MARK-MASQ -e KUBE-EXT)."
    )


def unexplained_away_from_path(case: Case, flow: Flow) -> Finding:
    """An error that says where requests were seen, away from their path, which never came to the server."""
    counts = strayed(case, flow)
    places = ", ".join(f"{count.packets} at {count.node}/{count.interface or count.role}" for count in counts)
    packets = max(count.packets for count in counts)
    return Finding(
        cause=UNKNOWN.slug,
        confidence=Confidence.POSSIBLE,
        severity=Severity.ERROR,
        packets=packets,
        summary=(
            f"{packets} requests were seen away from their path alone, and none of them at the server; nothing that was read explains it"
        ),
        flow=flow.id,
        direction=Direction.REQUEST,
        evidence=(Evidence(kind=EvidenceKind.PACKETS, text=f"seen where the path does not lead: {places}"),),
        remediation=UNKNOWN.remediation,
    )


def check_case(case: LossCase) -> Iterator[Finding]:
    """A note of the frames between the ends where no flow was seen: in a form that nobody planned, or outside the common window."""
    frames = () if case.paths else tuple(frames_of_ends(case))
    if frames:
        yield Finding(
            cause=UNKNOWN.slug,
            confidence=Confidence.CERTAIN,
            severity=Severity.INFO,
            packets=max(one.count for one in frames),
            summary="frames between the ends were seen in a form, or at a time, in which they cannot be followed over the hops",
            evidence=tuple(one.evidence() for one in frames),
            remediation=_longer(case),
        )


def _longer(case: Case) -> str | None:
    """What to do where the captures ran too briefly for packets to be counted; None where that is not why."""
    ran = [(one.started_ns, one.stopped_ns) for one in case.recording.captures if one.started_ns is not None and one.stopped_ns is not None]
    lasted_ns = min((stopped_ns - started_ns for started_ns, stopped_ns in ran), default=_BRIEF_NS)
    if lasted_ns >= _BRIEF_NS:
        return None
    return (
        f"A capture ran for {lasted_ns / 1e9:.1f} s; packets of its last second may have been under way and are not counted. Trace longer "
        "(--duration 5s)."
    )


def _of(word: KernelDropMatch) -> str:
    return "each of them" if word.packets == word.lost else f"{word.packets} of {word.lost} of them"


def _foreign_macs(case: Case, loss: Loss, word: KernelDropMatch | None) -> Iterator[Evidence]:
    """Where the kernel took the frames for somebody else's: which MAC address they are for, and which the device has."""
    table, links = case.tables.get(loss.start.tap), node_facts.links_of(case, loss.start)
    if word is None or word.reason != "OTHERHOST" or table is None:
        return
    rows = rows_at(loss, loss.start)
    pairs = np.unique(table.ethernet[rows])
    sent = sorted({mac_text(int(mac)) for mac in table.ethernets.destination[pairs[pairs >= 0]]})
    own = sorted({link.mac.lower() for link in links if link.mac})
    if sent and own:
        text = f"the frames are for the MAC address {', '.join(sent)}; {place_text(loss.start)} has {', '.join(own)}"
        yield Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, loss.start.tap, rows))


def _unresolved_neighbours(case: Case, loss: Loss) -> Iterator[tuple[str, Neighbour]]:
    """Entries without a MAC address, in the last look at the leg's first node, of what the packets go to next there."""
    node = loss.start.tap.node
    wanted = {*loss.receivers, *((loss.path.outer_destination,) if loss.path.outer_destination is not None else ())}
    for facts in node_facts.looks(case, node)[-1:]:
        asked = [lookup for lookup in (*facts.lookups, *facts.outer_lookups) if lookup.destination in wanted]
        hops = {(lookup.gateway or lookup.destination, lookup.device) for lookup in asked}
        for entry in facts.neighbours:
            if (entry.address, entry.device) in hops and {"FAILED", "INCOMPLETE"} & set(entry.states):
                yield node, entry


def _telling(case: Case, loss: Loss) -> Iterator[Evidence]:
    """Counters of the leg's nodes that grew, for whoever reads on; they prove nothing here."""
    hops = [loss.start] + ([loss.end] if loss.end is not None else [])
    for node in dict.fromkeys(hop.tap.node for hop in hops):
        grown = [f"{name} by {growth}" for name in _TELLING if (growth := node_facts.grown(case, node, name))]
        if grown:
            yield Evidence(kind=EvidenceKind.COUNTER, text=f"grown on {node}: {', '.join(grown)}")
        unread = [f"{question} ({reason})" for question in _RULE_QUESTIONS if (reason := _unread(case, node, question)) is not None]
        if unread:
            yield Evidence(kind=EvidenceKind.ABSENCE, text=f"not read on {node}: {'; '.join(unread)}")


def _unread(case: Case, node: str, question: str) -> str | None:
    """Why no look at a node answered a question, None if one did or there was none."""
    looks = node_facts.looks(case, node)
    if not looks or any(node_facts.answered(facts, question) for facts in looks):
        return None
    return looks[-1].absent[question]
