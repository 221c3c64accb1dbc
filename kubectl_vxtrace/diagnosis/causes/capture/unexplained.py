"""What is said of packets of which nothing that was read says why they were lost."""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

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
# What holds the rules that most often drop packets; not read with --profile netraw.
_RULE_QUESTIONS = ("iptables", "nft")


def unexplained(case: Case, loss: Loss) -> Finding:
    """An error that says where the packets vanished, and which counters grew meanwhile."""
    noun = direction_noun(loss.path.direction, loss.packets)
    if loss.end is not None:
        where = f"vanished between {place_text(loss.start)} and {place_text(loss.end)}"
    else:
        where = f"vanished after {place_text(loss.start)}"
    doubts = [f"a drop at the blind hop {place_text(segment.start)}" for segment in loss.segments[1:]]
    summary = f"{loss.packets} {noun} {where}; nothing that was read explains it"
    return error_finding(case, loss, UNKNOWN, Confidence.POSSIBLE, summary, list(_telling(case, loss)), not_ruled_out=doubts)


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
