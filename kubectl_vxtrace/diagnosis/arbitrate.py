"""From what all checks found to one explanation for each loss."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from kubectl_vxtrace.diagnosis.entries import CAUSES
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Trouble
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Leg, Severity

Place = tuple[int | None, Direction | None, Leg | None]

_CONFIDENCE = {Confidence.CERTAIN: 0, Confidence.LIKELY: 1, Confidence.POSSIBLE: 2}
_SEVERITY = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
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


def place_of(finding: Finding) -> Place:
    """The flow, direction and leg that a finding speaks of."""
    return finding.flow, finding.direction, finding.leg


def rank(finding: Finding) -> tuple[int, int, bool, int, int]:
    """Sort key: severity, confidence, explained before unexplained, most packets, then the flow."""
    unknown = finding.cause == "unknown"
    return _SEVERITY[finding.severity], _CONFIDENCE[finding.confidence], unknown, -finding.packets, finding.flow or 0


def is_admitted(finding: Finding) -> bool:
    """Whether a counter or the kernel's own word accounts for all packets of an error finding on a leg between two hops.

    That makes its packets `dropped`. A counter proves this only for causes whose drop the kernel counts (`Cause.admitted`): that
    UDP took the packets, for one, is no admission that anybody dropped them.
    """
    if finding.severity is not Severity.ERROR or finding.leg is None or finding.leg.to is None or finding.confidence is Confidence.POSSIBLE:
        return False
    kinds = {proof.kind for proof in finding.evidence}
    return EvidenceKind.KERNEL in kinds or (EvidenceKind.COUNTER in kinds and CAUSES[finding.cause].admitted)


# Causes that say that packets were lost and not why: beside a reason they are no doubt.
_NO_REASON = ("underlay-loss", "unknown")
# Causes whose configuration (a program at XDP, a driver, a feature, an MTU) is no mistake as long as nothing shows that it did harm.
_CIRCUMSTANCES = ("xdp-drop", "vmware-vxlan-clash", "nic-tunnel-offload", "tunnel-gso-bug", "vxlan-tx-checksum", "underlay-mtu")
# What holds the rules that most often drop packets; not read with --profile netraw.
_RULE_QUESTIONS = ("iptables", "nft")


def settle_findings(case: Case, found: Iterable[Finding], troubles: Iterable[Trouble]) -> tuple[Finding, ...]:
    """One error finding for each trouble, `unknown` where no check explained it; warnings and infos as they are; sorted, best first.

    Among explanations of the same loss the one that a counter admits stands, then the surest. A weaker one that rests on configuration
    stays as a warning (it will hurt once the first is healed), any other becomes something that is not ruled out, unless the first
    is surer than `possible` and the other is not.
    """
    errors: dict[Place, list[Finding]] = defaultdict(list)
    others = []
    for finding in found:
        if finding.severity is Severity.ERROR:
            errors[place_of(finding)].append(finding)
        else:
            others.append(finding)
    for trouble in troubles:
        place = (trouble.flow.id, trouble.path.direction, trouble.leg)
        if place not in errors:
            errors[place].append(_unexplained(case, trouble))
    settled = [finding for rivals in errors.values() for finding in _best(rivals)]
    return tuple(sorted([*settled, *others], key=rank))


def _best(rivals: list[Finding]) -> Iterator[Finding]:
    ordered = sorted(rivals, key=lambda finding: (not is_admitted(finding), *rank(finding)))
    best, rest = ordered[0], ordered[1:]
    evidence, doubts = list(best.evidence), list(best.not_ruled_out)
    for finding in rest:
        if finding.cause == best.cause:
            evidence += [proof for proof in finding.evidence if proof not in evidence]
        elif _is_mistake(finding):
            yield replace(finding, severity=Severity.WARNING)
        elif finding.cause in _NO_REASON:
            continue
        elif finding.confidence is not Confidence.POSSIBLE or best.confidence is Confidence.POSSIBLE:
            doubts.append(f"{finding.cause}: {finding.summary}")
    yield replace(best, evidence=tuple(evidence), not_ruled_out=tuple(doubts))


def _is_mistake(finding: Finding) -> bool:
    """Whether a finding rests on configuration that is wrong whatever else is, and not on one that many healthy nodes have."""
    if finding.confidence is Confidence.POSSIBLE and finding.cause in _CIRCUMSTANCES:
        return False
    return any(proof.kind is EvidenceKind.CONFIG for proof in finding.evidence)


def _unexplained(case: Case, trouble: Trouble) -> Finding:
    noun = direction_noun(trouble.path.direction, trouble.packets)
    if trouble.end is not None:
        where = f"vanished between {place_text(trouble.start)} and {place_text(trouble.end)}"
    else:
        where = f"vanished behind {place_text(trouble.start)}"
    doubts = [f"a drop at the blind hop {place_text(stretch.start)}" for stretch in trouble.stretches[1:]]
    summary = f"{trouble.packets} {noun} {where}; nothing that was read explains it"
    return explain(case, trouble, "unknown", Confidence.POSSIBLE, summary, list(_telling(case, trouble)), not_ruled_out=doubts)


def _telling(case: Case, trouble: Trouble) -> Iterator[Evidence]:
    """Counters of the leg's nodes that grew, for whoever reads on; they prove nothing here."""
    hops = [trouble.start] + ([trouble.end] if trouble.end is not None else [])
    for node in dict.fromkeys(hop.tap.node for hop in hops):
        grown = [f"{name} by {growth}" for name in _TELLING if (growth := nodes.grown(case, node, name))]
        if grown:
            yield Evidence(kind=EvidenceKind.COUNTER, text=f"grown on {node}: {', '.join(grown)}")
        unread = [f"{question} ({reason})" for question in _RULE_QUESTIONS if (reason := _unread(case, node, question)) is not None]
        if unread:
            yield Evidence(kind=EvidenceKind.ABSENCE, text=f"not read on {node}: {'; '.join(unread)}")


def _unread(case: Case, node: str, question: str) -> str | None:
    """Why no look at a node answered a question, None if one did or there was none."""
    looks = nodes.looks(case, node)
    if not looks or any(nodes.answered(facts, question) for facts in looks):
        return None
    return looks[-1].absent[question]
