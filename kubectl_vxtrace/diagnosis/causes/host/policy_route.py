"""Do the node's own rules and routes take packets past the tunnel, or past the peer that is on the same link?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.answers import expired_outer_answers, icmp_answers
from kubectl_vxtrace.diagnosis.evidence.diversions import Diversion, diversion, outer_detour, outer_diversion, refusal
from kubectl_vxtrace.diagnosis.evidence.frame_macs import destination_macs, peer_macs
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_word
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import vanished_astray
from kubectl_vxtrace.diagnosis.evidence.segment_packets import passing_destinations
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, Segment, is_routed
from kubectl_vxtrace.model.journeys import Case, TracedPath
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, HopCount, Leg, Severity

POLICY_ROUTE = Cause(
    slug="policy-route",
    remediation=(
        "Look on {node}: ip route get {target} from {source}; ip rule; ip route show table {table}. Fix: {fix}. Then find what made it "
        "(cloud agent, VPN client, container runtime, a network plug-in of before), or it comes back."
    ),
    source="projectcalico/calico issue 4662; lf-edge/eve issue 4370; kontena/pharos-cluster issue 1330; ip-rule(8)",
    admitted=True,
    stage=Stage.ROUTE_INPUT,
)
CAUSES = (POLICY_ROUTE,)

# What the kernel says of packets that a route or rule refuses: Linux net/ipv4/route.c; net/ipv6/route.c.
_REFUSERS, _NO_ROUTE = frozenset({"ip_error", "ip6_pkt_prohibit", "ip6_pkt_discard"}), "IP_INNOROUTES"
# RFC 792 and RFC 4443, 3.1: no route, host unreachable (`unreachable`), prohibited (`prohibit`).
_NO_WAY = frozenset({(3, 0), (3, 1), (3, 13), (1, 0), (1, 1), (1, 3)})


def check(case: LossCase, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `policy-route`: encapsulated packets for a peer on the same link that the sender hands to a gateway.

    None where a router behind it says what it dropped them for.
    """
    diverted = diverted_outer(case, loss, segment)
    if diverted is None or expired_outer_answers(case, loss, case.losses):
        return
    node, answer = segment.start.tap.node, diverted.answer
    sent, own = destination_macs(case, loss, segment.start), peer_macs(case, segment.start.tap, answer.destination)
    texts = [f"{node} on the way to {answer.destination}, which is on its own link: {routes.answer_text(answer)}", *diverted.texts]
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text) for text in texts]
    if sent:
        theirs = f"; frames of {answer.destination} come from {', '.join(sorted(own))}" if own else ""
        text = f"at {place_text(segment.start)} the frames are for the MAC address {', '.join(sorted(sent))}{theirs}"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text))
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        POLICY_ROUTE,
        Confidence.CERTAIN if sent and own and sent.isdisjoint(own) else Confidence.LIKELY,
        f"{node} sends {loss.packets} encapsulated {noun} for {answer.destination}, a peer on its own link, to the gateway "
        f"{answer.gateway}: {diverted.reason}",
        proofs,
        remediation=remedy(diverted, answer.destination, answer.source or "NODE"),
        not_ruled_out=(f"a loss behind the gateway {answer.gateway}, which may hand the packets on",),
    )


def check_exit(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `policy-route`: encapsulated packets that a rule leads past the NIC behind the VXLAN device, or takes away."""
    node, nic, outer = segment.start.tap.node, segment.end.tap.interface, loss.path.outer_destination
    diverted = outer_detour(case, node, nic, outer) if outer is not None else None
    if diverted is None or outer is None:
        return
    texts = [f"{node} on the way to {outer}: {routes.answer_text(diverted.answer)}, not dev {nic}", *diverted.texts]
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        POLICY_ROUTE,
        Confidence.LIKELY,
        f"{node} does not send {loss.packets} encapsulated {noun} for {outer} by {nic}: {diverted.reason}",
        [Evidence(kind=EvidenceKind.CONFIG, text=text) for text in texts],
        remediation=remedy(diverted, outer, diverted.answer.source or "NODE"),
    )


def check_refusal(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `policy-route`: packets that a rule of the node refuses (`prohibit`, `blackhole`, `unreachable`), or leads to a table whose
    line does. The kernel may say so too; where it says another thing, they met something else.

    What it refuses whoever sends it is a missing route's check.
    """
    word = kernel_word(case, loss)
    refuses = word is not None and (word.location.partition(".")[0] in _REFUSERS or word.reason == _NO_ROUTE)
    if not is_routed(segment) or (word is not None and not refuses):
        return
    node = segment.start.tap.node
    for target in loss.receivers:
        diverted = refusal(case, loss, segment, target)
        asked = routes.forwarded_lookup(node_facts.looks(case, node)[-1], target, loss.senders) if diverted is not None else None
        if diverted is None or (asked is not None and not routes.is_refused(asked)):
            continue
        answer = f"{node} on the way to {target} from {loss.senders[0]}: {routes.answer_text(asked)}" if asked is not None else None
        texts = [*((answer,) if answer is not None else ()), *diverted.texts]
        errors = [error.evidence() for error in icmp_answers(case, loss) if error.is_one_of(_NO_WAY)]
        shown = asked is not None, word is not None or bool(errors)
        noun = direction_noun(loss.path.direction, loss.packets)
        yield error_finding(
            case,
            loss,
            POLICY_ROUTE,
            Confidence.CERTAIN if all(shown) else Confidence.LIKELY if any(shown) else Confidence.POSSIBLE,
            f"{node} refuses {loss.packets} {noun} from {loss.senders[0]} to {target}: {diverted.reason}",
            [
                *(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in texts),
                *errors,
                *((word.evidence,) if word is not None else ()),
            ],
            remediation=remedy(diverted, target, loss.senders[0]),
            not_ruled_out=() if any(shown) else (f"an earlier drop on {node}: nothing but the rule speaks of it",),
        )


def diverted_outer(case: Case, loss: Loss, segment: Segment) -> Diversion | None:
    """What takes the loss's encapsulated packets to a gateway although the peer is on the sender's link.

    None where the frames are for the MAC address that the peer's own frames come from, or where others of that way arrive.
    """
    headers = encapsulations(case, loss, segment.start)
    passing = passing_destinations(case, segment)
    for outer in dict.fromkeys(header.destination for header in headers if header.destination not in passing):
        sent, own = destination_macs(case, loss, segment.start), peer_macs(case, segment.start.tap, outer)
        diverted = outer_diversion(case, segment.start.tap.node, outer)
        if diverted is not None and not (sent and sent <= own):
            return diverted
    return None


def remedy(diverted: Diversion, target: str, source: str, fix: str | None = None) -> str:
    """How to look at a diversion, and what mends it: `fix`, else what takes exactly it away."""
    table = diverted.answer.table or "main"
    return POLICY_ROUTE.remedy(node=diverted.node, target=target, source=source, table=table, fix=fix or diverted.fix(target))


def check_case(case: LossCase) -> Iterator[Finding]:
    """Findings `policy-route` about clients in a node's own network whose packets leave bare by a rule, past the VXLAN device: errors where
    it is known that these never came to the server."""
    for traced in case.paths:
        bare = _bare_sighting(traced)
        if bare is not None:
            yield from _bypass(case, traced, bare)


def _bare_sighting(traced: TracedPath) -> HopCount | None:
    """Where a client's own NIC saw its requests bare, while none of them was seen at any expected place or on any other node."""
    client = traced.flow.client
    if traced.path.direction is not Direction.REQUEST or not client.host_network or len(traced.journeys) or not traced.path.hops:
        return None
    unexpected = [count for count in traced.hops if not count.expected and (count.packets or count.frames)]
    if len(unexpected) != 1 or unexpected[0].role is not Role.UNDERLAY or unexpected[0].node != client.node:
        return None
    return unexpected[0]


def _bypass(case: LossCase, traced: TracedPath, bare: HopCount) -> Iterator[Finding]:
    source, server = traced.flow.client.address, traced.flow.server
    start = next((hop for hop in traced.path.hops if (hop.tap.node, hop.tap.interface) == (bare.node, bare.interface)), None)
    looks = node_facts.looks(case, bare.node)
    if server is None or start is None or not looks:
        return
    asked = (*looks[-1].tuple_lookups, *looks[-1].lookups)
    answers = [lookup for lookup in asked if (lookup.destination, lookup.source) == (server.address, source) and lookup.input is None]
    found = [diverted for answer in answers if (diverted := diversion(case, answer, bare.node, (source,))) is not None]
    if not found:
        return
    packets, diverted = bare.packets or bare.frames, found[0]
    texts = [f"{bare.node} on the way to {server.address} from {source}: {routes.answer_text(diverted.answer)}", *diverted.texts]
    sighting = f"{packets} requests at {bare.node}/{bare.interface}, without encapsulation, and none at its VXLAN device"
    yield Finding(
        cause=POLICY_ROUTE.slug,
        confidence=Confidence.LIKELY,
        severity=Severity.ERROR if vanished_astray(case, traced.flow) else Severity.WARNING,
        packets=packets,
        summary=f"{packets} requests of {source} leave {bare.node} bare, past its VXLAN device: {diverted.reason}",
        flow=traced.flow.id,
        direction=Direction.REQUEST,
        leg=Leg(from_=start.hop, to=None),
        evidence=(
            Evidence(kind=EvidenceKind.PACKETS, text=sighting),
            *(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in texts),
        ),
        remediation=remedy(diverted, server.address, source),
    )
