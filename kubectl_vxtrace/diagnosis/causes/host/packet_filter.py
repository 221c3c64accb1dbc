"""Which packet filter rule took the packets?"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.rule_verdict import HOST_FIREWALL, verdict_on
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import PROHIBITED, IcmpAnswer, icmp_answers, unanswered_beside
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_word
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind, SegmentKind
from kubectl_vxtrace.diagnosis.rules.droppers import Growth, droppers_on, fit_on, fits_on, met_on
from kubectl_vxtrace.diagnosis.rules.fit import Fit, unread
from kubectl_vxtrace.diagnosis.rules.onward import backwards, behind_translation
from kubectl_vxtrace.diagnosis.rules.purpose import Purpose, is_proxys, purpose_of
from kubectl_vxtrace.diagnosis.rules.queues import QUEUEING
from kubectl_vxtrace.diagnosis.rules.traits import traits
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_SUREST_FIRST = (Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE)
# What Felix knows its own rules by, a hash without a word (felix/iptables/table.go).
_FINGERPRINT = re.compile(r"cali:[\w-]+")
_COMMENT = re.compile(r'(?:-m comment )?--comment (?:"[^"]*"|\S+) ?')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """What a rule is said to have done: how sure that is, what proves it, what else may be.

    packets: how many of the loss's, None for all. summary: in other words than the usual ones.
    """

    rule: Rule
    confidence: Confidence
    proofs: Sequence[Evidence]
    doubts: Sequence[str] = ()
    packets: int | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A rule that may have taken the packets: how its text fits them, and how its counter grew."""

    rule: Rule
    fit: Fit
    growth: Growth


def check(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings for every segment on which a dropping rule's counter grew by the lost packets, or whose text names them.

    A rule whose counter cannot account for the packets is named only if it names an address or port of theirs, or if the kernel says of
    each that the packet filter dropped it, and they meet no other rule there that takes them all.
    """
    # From the interface of the client's pod, a path's first hop, the node itself takes them.
    if segment.kind is SegmentKind.DELIVER and segment.start.hop > 1 and not loss.path.ends_in_node(loss.flow):
        return  # what drops packets inside a pod is that pod's (causes/pod/firewall.py)
    suspects = list(_suspects(case, loss, segment))
    counting = [suspect for suspect in suspects if suspect.growth.packets is not None]
    full = [suspect for suspect in counting if (suspect.growth.packets or 0) >= minimum_counter_growth(loss)]
    partial = [suspect for suspect in counting if suspect.growth.packets and suspect.fit is Fit.NAMES]
    silent = [suspect for suspect in suspects if suspect.growth.packets is None and suspect.fit is Fit.NAMES]
    if full:
        yield _counted(case, loss, segment, full)
    elif partial:
        yield _parts(case, loss, segment, sorted(partial, key=lambda suspect: -(suspect.growth.packets or 0)))
    elif silent:
        yield _uncounted(case, loss, segment, silent[0])
    elif not counting and (only := _only_met(case, loss, segment)) is not None:
        yield only
    elif segment.kind is SegmentKind.DECAPSULATE and (refusals := _refusals(case, loss)):
        yield _refused(case, loss, segment, refusals)


def _suspects(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[_Suspect]:
    wanted = traits(case, loss, segment)
    known = droppers_on(segment, case.droppers[segment.start.tap.node])
    for dropper, fit in fits_on(segment, known, lambda dropper: behind_translation(loss, wanted, dropper.hooks)):
        # kube-proxy's checks match whole Service ranges and count nothing: that one fits says nothing of what it did.
        if fit is not Fit.EXCLUDES and not (is_proxys(dropper.rule) and dropper.growth.packets is None):
            yield _Suspect(dropper.rule, fit, dropper.growth)


def _counted(case: LossCase, loss: Loss, segment: AnySegment, full: list[_Suspect]) -> Finding:
    taken = minimum_counter_growth(loss)

    def rank(suspect: _Suspect) -> tuple[int, bool, int]:
        return suspect.fit, suspect.growth.exact, -abs((suspect.growth.packets or 0) - taken)

    best = max(full, key=rank)
    rivals = [suspect for suspect in full if suspect is not best and suspect.fit is best.fit]
    growth = best.growth.packets or 0
    doubts = [f"{describe(rival.rule)}, whose counter grew by {rival.growth.packets}" for rival in rivals]
    rivalling = [other for other in case.losses if _may_claim(case, other, segment, best.rule)]
    claimed = sum(other.packets for other in rivalling)
    if sum(minimum_counter_growth(other) for other in rivalling) > growth:
        doubts.append(f"the counter grew by {growth} and {claimed} packets were lost at this place by all flows together")
    beside = unanswered_beside(case, loss)
    plausible = node_facts.most_growth(case, loss.start.tap, max(claimed, loss.packets) + beside)
    if best.fit is not Fit.NAMES and plausible is not None and growth > plausible:
        doubts.append(f"the counter grew by {growth}: most of that is other traffic")
    doubts += _answers_doubt(case, loss, segment, best.rule)
    if best.fit is not Fit.NAMES and purpose_of(best.rule) is Purpose.FIREWALL and (more := unread(best.rule.text)):
        doubts.append(f"other traffic: the rule asks for more than the captures show ({', '.join(more)})")
    certain = best.growth.exact and not doubts
    text = _count_text(loss, segment, best, claimed=claimed, taken=taken, beside=beside)
    account = _Account(
        rule=best.rule,
        confidence=Confidence.CERTAIN if certain else Confidence.LIKELY,
        proofs=[Evidence(kind=EvidenceKind.COUNTER, text=text)],
        doubts=doubts,
        packets=loss.packets + beside if growth >= taken + beside else loss.packets,
    )
    return _finding(case, loss, segment, account)


def _answers_doubt(case: Case, loss: Loss, segment: AnySegment, rule: Rule) -> list[str]:
    """Where a node sends requests on, their answers come back through the same chain: whether the rule may have taken these instead."""
    if loss.onward is None or loss.kind is not LossKind.SILENT:
        return []
    back = backwards(behind_translation(loss, traits(case, loss, segment), ()))
    if fit_on(segment, rule, back) is Fit.EXCLUDES:
        return []
    return [f"answers that came back to {segment.start.tap.node} and were dropped there in place of the requests"]


def _count_text(loss: Loss, segment: AnySegment, suspect: _Suspect, *, claimed: int, taken: int, beside: int) -> str:
    """What the counter says beside what the captures do. `beside`: see `unanswered_beside`."""
    growth, rule = suspect.growth, suspect.rule
    text = f"the counter of {describe(rule)} on {segment.start.tap.node} grew by {growth.packets} between the two looks at the node"
    if beside:
        text += f"; in the counted part of the capture errors told of {max(claimed, loss.packets)} packets, and of {beside} more none did"
    else:
        text += f"; {max(claimed, loss.packets)} packets were lost there in the counted part of the capture"
    if taken < loss.packets:
        text += f" ({loss.packets} of them in {taken} frames: the counter counts a super-packet once)"
    if not growth.exact:
        text += " (the rule was made or reset between the two looks: it counts from then)"
    return text


def _parts(case: LossCase, loss: Loss, segment: AnySegment, partial: Sequence[_Suspect]) -> Finding:
    """Rules that each took some of the packets, the one that took most first."""
    best, node, taken = partial[0], segment.start.tap.node, minimum_counter_growth(loss)
    total = sum(suspect.growth.packets or 0 for suspect in partial)
    texts = [
        f"the counter of {describe(suspect.rule)} on {node} grew by {suspect.growth.packets}, less than {taken}" for suspect in partial
    ]
    proofs = [Evidence(kind=EvidenceKind.COUNTER, text=text) for text in texts]
    if total >= taken:
        noun = direction_noun(loss.path.direction, loss.packets)
        names = " and ".join(describe(suspect.rule) for suspect in partial)
        summary = f"{names} on {node} together account for {loss.packets} {noun} after {place_text(segment.start)}"
        return _finding(case, loss, segment, _Account(rule=best.rule, confidence=Confidence.LIKELY, proofs=proofs, summary=summary))
    doubts = [f"another cause for {taken - total} of the packets"]
    account = _Account(rule=best.rule, confidence=Confidence.POSSIBLE, proofs=proofs, doubts=doubts, packets=total)
    return _finding(case, loss, segment, account)


def _uncounted(case: LossCase, loss: Loss, segment: AnySegment, suspect: _Suspect) -> Finding:
    where = f"{describe(suspect.rule)} on {segment.start.tap.node}"
    text = f"{where} matches these packets; no growth of a counter of it is known: {suspect.rule.text}"
    account = _Account(
        rule=suspect.rule,
        confidence=Confidence.LIKELY,
        proofs=[Evidence(kind=EvidenceKind.CONFIG, text=text)],
        doubts=["a drop that another rule or the kernel makes before this rule"],
    )
    return _finding(case, loss, segment, account)


def _only_met(case: LossCase, loss: Loss, segment: AnySegment) -> Finding | None:
    """The one rule without counter that takes all such packets, where the kernel says that the packet filter of this node dropped each.

    What may have taken some of them before it must stand for the same cause. None where there are several, or none.
    """
    node, word = segment.start.tap.node, kernel_word(case, loss)
    if word is None or word.reason != "NETFILTER_DROP" or word.node != node or word.packets < word.lost:
        return None
    known = list(droppers_on(segment, case.droppers[node]))
    wanted = behind_translation(loss, traits(case, loss, segment), ())
    found = met_on(segment, (one for one in known if not is_proxys(one.rule)), wanted)
    if len(found) != 1:
        return None
    *before, last = (one.rule for one in found[0])
    # A datagram is INVALID only if it is damaged (net/netfilter/nf_conntrack_proto_udp.c).
    others = [rule for rule in before if purpose_of(rule) is not Purpose.INVALID or loss.flow.protocol != "UDP"]
    if any(purpose_of(rule) is not purpose_of(last) for rule in others):
        return None
    text = f"of the rules on {node} that these packets meet there, {describe(last)} is the one that takes all of them: {last.text}"
    account = _Account(
        rule=last,
        confidence=Confidence.LIKELY,
        proofs=[Evidence(kind=EvidenceKind.CONFIG, text=text), word.evidence],
        doubts=[f"{describe(rule)}, which stands before it" for rule in others],
    )
    return _finding(case, loss, segment, account)


def _refused(case: LossCase, loss: Loss, segment: AnySegment, refusals: Sequence[IcmpAnswer]) -> Finding:
    node = segment.start.tap.node
    summary = f"{node} answered {loss.packets} encapsulated {direction_noun(loss.path.direction, loss.packets)} with {refusals[0].text}"
    return error_finding(case, loss, HOST_FIREWALL, Confidence.LIKELY, summary, [answer.evidence() for answer in refusals])


def _finding(case: LossCase, loss: Loss, segment: AnySegment, account: _Account) -> Finding:
    rule, verdict = account.rule, verdict_on(case, loss, segment, account.rule)
    cause, node = verdict.cause, segment.start.tap.node
    verb = "rejected" if rule.target == "REJECT" else "queued" if rule.target in QUEUEING else "dropped"
    noun = direction_noun(loss.path.direction, loss.packets)
    usual = f"{describe(rule)} on {node} {verb} {account.packets or loss.packets} {noun} after {place_text(segment.start)}"
    summary = account.summary or usual
    look = f"On {node} look at {rule.backend} table {rule.table}, chain {rule.chain}. "
    return replace(
        error_finding(
            case,
            loss,
            cause,
            max(account.confidence, verdict.max_confidence, key=_SUREST_FIRST.index),
            summary if verdict.note is None else f"{summary}: {verdict.note}",
            [*_sent_on(loss), *account.proofs, *verdict.proofs, *(answer.evidence() for answer in _refusals(case, loss))],
            remediation=look + (verdict.remediation or _what_to_allow(case, loss, segment, rule, cause)),
            not_ruled_out=[*account.doubts, *verdict.alternatives],
        ),
        packets=account.packets or loss.packets,
    )


def _sent_on(loss: Loss) -> list[Evidence]:
    """That the node at which the requests end sends them on."""
    return [] if loss.onward is None else [Evidence(kind=EvidenceKind.CONFIG, text=loss.onward.text)]


def _what_to_allow(case: LossCase, loss: Loss, segment: AnySegment, rule: Rule, cause: Cause) -> str:
    """What a firewall is to let through: the packets of the loss as they come to this rule; VXLAN itself only beside the NIC."""
    if cause != HOST_FIREWALL:
        return cause.remedy()
    wanted = behind_translation(loss, traits(case, loss, segment), ())
    is_outer = segment.kind in (SegmentKind.ENCAPSULATE, SegmentKind.DECAPSULATE)
    from_server = loss.path.direction is Direction.REPLY and not is_outer
    ports, sources, targets = (
        ", ".join(sorted(str(value) for value in values))
        for values in (wanted.source_ports if from_server else wanted.destination_ports, wanted.sources, wanted.destinations)
    )
    what = f"{wanted.protocol.upper()}{' from port' if from_server and ports else ''} {ports or ('of VXLAN' if is_outer else '')}".rstrip()
    allowed = f"Allow {what} from {sources or 'the other nodes'} to {targets or 'this node'}"
    # What firewalld does not know of its own table is gone with its next reload (firewalld(1)).
    return (
        f"{allowed}. {cause.remedy()}"
        if is_outer or rule.table.endswith(" firewalld")
        else f"{allowed}, before {describe(rule)} or in its place."
    )


def describe(rule: Rule) -> str:
    """A rule in a few words: its comment if that says something, else its text, and its chain."""
    if rule.text == "policy":
        return f"the policy {rule.target} of chain {rule.chain}"
    says = None if rule.comment is None or _FINGERPRINT.fullmatch(rule.comment) else rule.comment
    return f'the rule "{says or _COMMENT.sub("", rule.text)}" in chain {rule.chain}'


def _refusals(case: LossCase, loss: Loss) -> list[IcmpAnswer]:
    return [answer for answer in icmp_answers(case, loss) if answer.is_one_of(PROHIBITED)]


def _may_claim(case: Case, other: Loss, segment: AnySegment, rule: Rule) -> bool:
    """Whether the counter of `rule` may hold the packets of `other` as well."""
    return any(
        there.kind is segment.kind
        and there.start.tap.node == segment.start.tap.node
        and fit_on(there, rule, traits(case, other, there)) is not Fit.EXCLUDES
        for there in other.segments
    )
