"""Which packet filter rule took the packets?"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.causes.host.rule_causes import meaning
from kubectl_vxtrace.diagnosis.entries import CAUSES
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import IcmpAnswer, direction_noun, icmp_answers, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.unanswered import unanswered_beside
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.diagnosis.rules import droppers as rule_tables
from kubectl_vxtrace.diagnosis.rules.droppers import Dropper, Growth
from kubectl_vxtrace.diagnosis.rules.fit import Fit, unread
from kubectl_vxtrace.diagnosis.rules.traits import traits
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_SUREST_FIRST = (Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE)
# RFC 792 and RFC 1812, 5.2.7.1: network, host and communication administratively prohibited.
_PROHIBITED = frozenset({9, 10, 13})
# What Felix knows its own rules by, a hash without a word (felix/iptables/table.go).
_FINGERPRINT = re.compile(r"cali:[\w-]+")
_COMMENT = re.compile(r'(?:-m comment )?--comment (?:"[^"]*"|\S+) ?')
# A counter may grow before and after the window as well; more than this many times the window's rate is somebody else's traffic.
_PLAUSIBLE_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A rule that may have taken the packets: how its text fits them, and how its counter grew."""

    rule: Rule
    fit: Fit
    growth: Growth


def check(case: Case) -> Iterator[Finding]:
    """Findings for every stretch of every trouble on which a dropping rule's counter grew by the lost packets, or whose text names them.

    A rule whose counter cannot account for the packets is named only if it names an address or port of theirs.
    """
    found = list(troubles(case))
    touched = {stretch.start.tap.node for trouble in found for stretch in trouble.stretches}
    droppers = {node: rule_tables.all_droppers(case, node) for node in touched}
    for trouble in found:
        for stretch in trouble.stretches:
            if stretch.place is Place.WIRE or (stretch.place is Place.DELIVER and stretch.start.role in (Role.POD, Role.BRIDGE)):
                continue
            met = rule_tables.droppers(droppers[stretch.start.tap.node], stretch)
            yield from _at(case, trouble, stretch, found, list(_suspects(case, trouble, stretch, met)))


def _at(case: Case, trouble: Trouble, stretch: Stretch, others: Sequence[Trouble], suspects: Sequence[_Suspect]) -> Iterator[Finding]:
    counting = [suspect for suspect in suspects if suspect.growth.packets is not None]
    full = [suspect for suspect in counting if (suspect.growth.packets or 0) >= _taken(trouble)]
    partial = [suspect for suspect in counting if suspect.growth.packets and suspect.fit is Fit.NAMES]
    silent = [suspect for suspect in suspects if suspect.growth.packets is None and suspect.fit is Fit.NAMES]
    if full:
        yield _counted(case, trouble, stretch, full, others)
    elif partial:
        yield _parts(case, trouble, stretch, sorted(partial, key=lambda suspect: -(suspect.growth.packets or 0)))
    elif silent:
        yield _uncounted(case, trouble, stretch, silent[0])
    elif stretch.place is Place.DECAPSULATE and (refusals := _refusals(case, trouble)):
        yield _refused(case, trouble, stretch, refusals)


def _taken(trouble: Trouble) -> int:
    """The least that a counter must have grown: a super-packet of several segments (GSO, GRO) is one packet to the packet filter."""
    frames = len(rows_at(trouble, trouble.start))
    return min(trouble.packets, frames) if frames else trouble.packets


def _suspects(case: Case, trouble: Trouble, stretch: Stretch, met: Iterable[Dropper]) -> Iterator[_Suspect]:
    wanted = traits(case, trouble, stretch)
    for dropper in met:
        fit = rule_tables.fit(dropper.rule, wanted, stretch)
        if fit is not Fit.EXCLUDES:
            yield _Suspect(dropper.rule, fit, dropper.growth)


def _counted(case: Case, trouble: Trouble, stretch: Stretch, full: list[_Suspect], others: Sequence[Trouble]) -> Finding:
    taken = _taken(trouble)

    def rank(suspect: _Suspect) -> tuple[int, bool, int]:
        return suspect.fit, suspect.growth.exact, -abs((suspect.growth.packets or 0) - taken)

    best = max(full, key=rank)
    rivals = [suspect for suspect in full if suspect is not best and suspect.fit is best.fit]
    growth = best.growth.packets or 0
    doubts = [f"{describe(rival.rule)}, whose counter grew by {rival.growth.packets}" for rival in rivals]
    rivalling = [other for other in others if _may_claim(case, other, stretch, best.rule)]
    claimed = sum(other.packets for other in rivalling)
    if sum(_taken(other) for other in rivalling) > growth:
        doubts.append(f"the counter grew by {growth} and {claimed} packets were lost at this place by all flows together")
    beside = unanswered_beside(case, trouble)
    plausible = _plausible(case, trouble, max(claimed, trouble.packets) + beside)
    if best.fit is not Fit.NAMES and plausible is not None and growth > plausible:
        doubts.append(f"the counter grew by {growth}: most of that is other traffic")
    if best.fit is not Fit.NAMES and rule_tables.cause(best.rule) == "host-firewall" and (more := unread(best.rule.text)):
        doubts.append(f"other traffic: the rule asks for more than the captures show ({', '.join(more)})")
    certain = best.growth.exact and not doubts
    text = _count_text(trouble, stretch, best, claimed=claimed, taken=taken, beside=beside)
    return _finding(
        case,
        trouble,
        stretch,
        best.rule,
        Confidence.CERTAIN if certain else Confidence.LIKELY,
        [Evidence(kind=EvidenceKind.COUNTER, text=text)],
        doubts=doubts,
        packets=trouble.packets + beside if growth >= taken + beside else trouble.packets,
    )


def _count_text(trouble: Trouble, stretch: Stretch, suspect: _Suspect, *, claimed: int, taken: int, beside: int) -> str:
    """What the counter says beside what the captures do. `beside`: see `unanswered_beside`."""
    growth, rule = suspect.growth, suspect.rule
    text = f"the counter of {describe(rule)} on {stretch.start.tap.node} grew by {growth.packets} between the two looks at the node"
    if beside:
        text += (
            f"; in the counted part of the capture errors told of {max(claimed, trouble.packets)} packets, and of {beside} more none did"
        )
    else:
        text += f"; {max(claimed, trouble.packets)} packets were lost there in the counted part of the capture"
    if taken < trouble.packets:
        text += f" ({trouble.packets} of them in {taken} frames: the counter counts a super-packet once)"
    if not growth.exact:
        text += " (the rule was made or reset between the two looks: it counts from then)"
    return text


def _parts(case: Case, trouble: Trouble, stretch: Stretch, partial: Sequence[_Suspect]) -> Finding:
    """Rules that each took some of the packets, the one that took most first."""
    best, node, taken = partial[0], stretch.start.tap.node, _taken(trouble)
    total = sum(suspect.growth.packets or 0 for suspect in partial)
    texts = [f"the counter of {describe(one.rule)} on {node} grew by {one.growth.packets}, less than {taken}" for one in partial]
    proofs = [Evidence(kind=EvidenceKind.COUNTER, text=text) for text in texts]
    if total >= taken:
        noun = direction_noun(trouble.path.direction, trouble.packets)
        names = " and ".join(describe(one.rule) for one in partial)
        summary = f"{names} on {node} together account for {trouble.packets} {noun} behind {place_text(stretch.start)}"
        return _finding(case, trouble, stretch, best.rule, Confidence.LIKELY, proofs, doubts=[], summary=summary)
    doubt = f"another cause for {taken - total} of the packets"
    return _finding(case, trouble, stretch, best.rule, Confidence.POSSIBLE, proofs, doubts=[doubt], packets=total)


def _uncounted(case: Case, trouble: Trouble, stretch: Stretch, suspect: _Suspect) -> Finding:
    where = f"{describe(suspect.rule)} on {stretch.start.tap.node}"
    text = f"{where} matches these packets; no growth of a counter of it is known: {suspect.rule.text}"
    return _finding(
        case,
        trouble,
        stretch,
        suspect.rule,
        Confidence.LIKELY,
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        doubts=["a drop that another rule or the kernel makes before this rule"],
    )


def _refused(case: Case, trouble: Trouble, stretch: Stretch, refusals: Sequence[IcmpAnswer]) -> Finding:
    node = stretch.start.tap.node
    summary = (
        f"{node} answered {trouble.packets} encapsulated {direction_noun(trouble.path.direction, trouble.packets)} with {refusals[0].text}"
    )
    return explain(case, trouble, "host-firewall", Confidence.LIKELY, summary, _icmp_evidence(refusals))


def _finding(
    case: Case,
    trouble: Trouble,
    stretch: Stretch,
    rule: Rule,
    confidence: Confidence,
    proofs: Sequence[Evidence],
    *,
    doubts: Sequence[str],
    packets: int | None = None,
    summary: str | None = None,
) -> Finding:
    stands_for = meaning(case, trouble, stretch, rule)
    cause = stands_for.cause
    node = stretch.start.tap.node
    verb = "rejected" if rule.target == "REJECT" else "dropped"
    noun = direction_noun(trouble.path.direction, trouble.packets)
    summary = summary or f"{describe(rule)} on {node} {verb} {packets or trouble.packets} {noun} behind {place_text(stretch.start)}"
    look = f"On {node} look at {rule.backend} table {rule.table}, chain {rule.chain}. "
    return explain(
        case,
        trouble,
        cause,
        max(confidence, stands_for.most, key=_SUREST_FIRST.index),
        summary if stands_for.says is None else f"{summary}: {stands_for.says}",
        [*proofs, *stands_for.proofs, *_icmp_evidence(_refusals(case, trouble))],
        remediation=look + (stands_for.remediation or _what_to_allow(case, trouble, stretch, cause)),
        packets=packets,
        not_ruled_out=[*doubts, *stands_for.doubts],
    )


def _what_to_allow(case: Case, trouble: Trouble, stretch: Stretch, cause: str) -> str:
    if cause != "host-firewall" or stretch.place not in (Place.ENCAPSULATE, Place.DECAPSULATE):
        return CAUSES[cause].remediation
    wanted = traits(case, trouble, stretch)
    ports, sources, targets = (
        ", ".join(sorted(str(value) for value in values)) for values in (wanted.destination_ports, wanted.sources, wanted.destinations)
    )
    return f"Allow UDP {ports or 'of VXLAN'} from {sources or 'the other nodes'} to {targets or 'this node'}. {CAUSES[cause].remediation}"


def describe(rule: Rule) -> str:
    """A rule in a few words: its comment if that says something, else its text, and its chain."""
    if rule.text == "policy":
        return f"the policy {rule.target} of chain {rule.chain}"
    says = None if rule.comment is None or _FINGERPRINT.fullmatch(rule.comment) else rule.comment
    return f'the rule "{says or _COMMENT.sub("", rule.text)}" in chain {rule.chain}'


def _refusals(case: Case, trouble: Trouble) -> list[IcmpAnswer]:
    return [answer for answer in icmp_answers(case, trouble) if answer.code in _PROHIBITED]


def _icmp_evidence(answers: Sequence[IcmpAnswer]) -> list[Evidence]:
    return [
        Evidence(kind=EvidenceKind.PACKETS, text=f"{answer.count} x {answer.text}, seen at {place_text(answer.hop)}", frames=answer.frames)
        for answer in answers
    ]


def _may_claim(case: Case, other: Trouble, stretch: Stretch, rule: Rule) -> bool:
    """Whether the counter of `rule` may hold the packets of `other` as well."""
    return any(
        mine.place is stretch.place
        and mine.start.tap.node == stretch.start.tap.node
        and rule_tables.fit(rule, traits(case, other, mine), mine) is not Fit.EXCLUDES
        for mine in other.stretches
    )


def _plausible(case: Case, trouble: Trouble, packets: int) -> float | None:
    """The most that a counter between the two looks can have grown by a loss of `packets` alone, if it went on at its rate."""
    node = trouble.start.tap.node
    first, last = nodes.before(case, node), nodes.after(case, node)
    times = [
        (capture.started_ns, capture.stopped_ns)
        for capture in case.recording.captures
        if capture.task.tap == trouble.start.tap and capture.started_ns is not None and capture.stopped_ns is not None
    ]
    if first is None or last is None or not times or not first.taken_ns or not last.taken_ns:
        return None
    window_ns = max((times[0][1] or 0) - (times[0][0] or 0), 1)
    return packets * _PLAUSIBLE_FACTOR * max((last.taken_ns - first.taken_ns) / window_ns, 1.0) + 2
