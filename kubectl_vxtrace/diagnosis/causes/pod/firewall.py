"""Did a packet filter inside a pod's own network namespace take what came to it?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.packet_filter import describe
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import match_kernel_drops
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, last_seen, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.evidence.node_facts import most_growth
from kubectl_vxtrace.diagnosis.evidence.places_to_look import is_inside_pod
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.judgement import PLAUSIBLE_FACTOR
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind, delivered_to_pod
from kubectl_vxtrace.diagnosis.rules.droppers import droppers_on, fits_on, pod_droppers
from kubectl_vxtrace.diagnosis.rules.fit import Fit, unread
from kubectl_vxtrace.diagnosis.rules.traits import traits
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

POD_FIREWALL = Cause(
    slug="pod-firewall",
    remediation=(
        "Look in the network namespace of {pod} on {node} (nsenter --net=/proc/PID/ns/net, or kubectl debug with --profile=netadmin): "
        "iptables-save -c; nft list ruleset. Fix what writes those rules: a sidecar or init container (Istio, Linkerd, a VPN client as "
        "Tailscale), a firewall in the image. Rules of the node and policies have no say there."
    ),
    source="tailscale/tailscale issue 19876; Linux net/netfilter/core.c (nf_hook_slow)",
    admitted=True,
    beyond_packets=True,
)
CAUSES = (POD_FIREWALL,)

_REASONS = ("NETFILTER_DROP",)


def check(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Finding `pod-firewall`: requests came to the server's last hop and nothing answered, or the client's TCP never acknowledged what came
    to its own; and a rule inside that pod, which can match them, counted as many; or for each the node's kernel dropped a packet by a
    packet filter right behind that. The tap of a pod's interface is the last of the node's own places: what drops there is the pod's.
    """
    if loss.kind is LossKind.REFUSED or not is_inside_pod(loss):
        return
    found = counting_rule(case, loss, segment)
    if found is not None:
        yield _counted(case, loss, segment, found)
    yield from _said_by_kernel(case, loss, segment)


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `pod-firewall`: datagrams that came to the client's interface, while a rule inside its pod that names them counted as many
    as came to that pod for all flows together. TCP tells of itself what it got.
    """
    arrived = [loss for traced in case.paths if (loss := delivered_to_pod(case, traced)) is not None]
    for loss in arrived:
        there = [other for other in arrived if other.start.tap == loss.start.tap]
        found = counting_rule(case, loss, loss.segments[0], least=sum(minimum_counter_growth(other) for other in there))
        if found is not None and found.is_named:
            yield _delivered(case, loss, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingRule:
    """A rule inside the receiver's pod that may have taken packets: what it is in words, how its counter grew (packets), whether it names
    an address or port of theirs and asks for nothing that the captures do not show, and other rules that may have taken them as well."""

    text: str
    growth: int
    is_exact: bool
    is_named: bool
    rivals: tuple[str, ...]


def counting_rule(case: LossCase, loss: Loss, segment: AnySegment, *, least: int | None = None) -> CountingRule | None:
    """The rule inside the receiver's pod that fits best of those whose counters grew by `least` (all packets of the loss) at least."""
    receiver = loss.path.receiver(loss.flow)
    if receiver is None or receiver.host_network:
        return None
    least = max(minimum_counter_growth(loss) if least is None else least, 1)
    known = droppers_on(segment, pod_droppers(case, segment.start.tap.node, receiver.address))
    # The pod's own devices have other names than the node's.
    wanted = replace(traits(case, loss, segment), inputs=frozenset(), outputs=frozenset())
    fitting = [(dropper, fit) for dropper, fit in fits_on(segment, known, lambda _: wanted) if fit is not Fit.EXCLUDES]
    full = [(dropper, fit) for dropper, fit in fitting if (dropper.growth.packets or 0) >= least]
    if not full:
        return None
    best, fit = max(full, key=lambda pair: (pair[1], pair[0].growth.exact, -(pair[0].growth.packets or 0)))
    return CountingRule(
        text=describe(best.rule),
        growth=best.growth.packets or 0,
        is_exact=best.growth.exact,
        is_named=fit is Fit.NAMES and not unread(best.rule.text),
        rivals=tuple(describe(dropper.rule) for dropper, _ in full if dropper is not best),
    )


def _counted(case: LossCase, loss: Loss, segment: AnySegment, found: CountingRule) -> Finding:
    """Certain only of a rule that names the packets and counted hardly more than these."""
    receiver = loss.path.receiver(loss.flow)
    node, pod = segment.start.tap.node, receiver.pod if receiver is not None else None
    packets = minimum_counter_growth(loss)
    is_all = found.growth <= (most_growth(case, segment.start.tap, packets) or PLAUSIBLE_FACTOR * packets)
    sure = found.is_named and found.is_exact and is_all and not found.rivals
    others = () if is_all else (f"other traffic of the pod: the counter grew by {found.growth}",)
    noun, where = (
        direction_noun(loss.path.direction, loss.packets),
        f"inside the pod's own network namespace behind {place_text(segment.start)}",
    )
    remedy = POD_FIREWALL.remedy(pod=pod or "the pod", node=node)
    said = f"{found.text}, {where}, dropped {loss.packets} {noun}"
    confidence, doubts = Confidence.CERTAIN if sure else Confidence.LIKELY, (*found.rivals, *others)
    return error_finding(case, loss, POD_FIREWALL, confidence, said, [_proof(found)], remediation=remedy, not_ruled_out=doubts)


def _delivered(case: LossCase, loss: Loss, found: CountingRule) -> Finding:
    hop, client = loss.start, loss.flow.client
    came = f"{loss.packets} {direction_noun(loss.path.direction, loss.packets)} came to the interface of {client.pod or client.address}"
    return Finding(
        severity=Severity.WARNING,
        confidence=Confidence.LIKELY,
        cause=POD_FIREWALL.slug,
        summary=f"{came}; {found.text} inside the pod counted as many",
        evidence=(last_seen(case, loss), _proof(found)),
        remediation=POD_FIREWALL.remedy(pod=client.pod or "the pod", node=hop.tap.node),
        not_ruled_out=found.rivals,
        packets=loss.packets,
        direction=loss.path.direction,
        flow=loss.flow.id,
    )


def _proof(found: CountingRule) -> Evidence:
    text = f"the counter of {found.text} inside the pod grew by {found.growth} between the two looks at it"
    return Evidence(kind=EvidenceKind.COUNTER, text=text + ("" if found.is_exact else " (the rule was made or reset in between)"))


def _said_by_kernel(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    receiver = loss.path.receiver(loss.flow)
    node, pod = segment.start.tap.node, receiver.pod if receiver is not None else None
    match = next((match for match in match_kernel_drops(case, loss, reasons=_REASONS) if match.node == node), None)
    if match is None:
        return
    counted = sum(dropper.growth.packets or 0 for dropper in case.droppers.get(node, ()))
    doubts = [f"drops of other packets: rules of {node} itself counted {counted}"] if counted >= match.packets else []
    noun = direction_noun(loss.path.direction, loss.packets)
    or_answers = " or the answers to them" if loss.kind is LossKind.SILENT else ""
    yield error_finding(
        case,
        loss,
        POD_FIREWALL,
        Confidence.LIKELY,
        f"a packet filter inside the pod's own network namespace, behind {place_text(segment.start)}, dropped {loss.packets} {noun}"
        f"{or_answers}",
        [match.evidence],
        remediation=POD_FIREWALL.remedy(pod=pod or "the pod", node=node),
        not_ruled_out=doubts,
    )
