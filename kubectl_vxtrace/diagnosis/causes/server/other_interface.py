"""Does the server's pod answer by another interface than it was asked at?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.causes.host.asymmetric import ASYMMETRIC_RETURN
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.evidence.owners import pod_interfaces
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.datapath import PodInterface
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `asymmetric-return` for requests that a pod got and left unanswered, while another interface of it sent as much."""
    server = loss.flow.server
    if loss.kind is not LossKind.SILENT or server is None or server.host_network:
        return
    node = segment.start.tap.node
    first, last = (look(case, node) for look in (node_facts.before, node_facts.after))
    if first is None or last is None:
        return
    growths = list(_sent(pod_interfaces(first, server.address), pod_interfaces(last, server.address)))
    own = next((sent for interface, sent in growths if interface.has(server.address)), None)
    taken = minimum_counter_growth(loss)
    others = [(interface, sent) for interface, sent in growths if not interface.has(server.address) and sent >= taken]
    if own is None or own >= taken or not others:
        return
    other, sent = max(others, key=lambda pair: pair[1])
    addresses = f" ({', '.join(other.prefixes)})" if other.prefixes else ""
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        ASYMMETRIC_RETURN,
        Confidence.LIKELY,
        f"the pod of {host_port(server.address, server.port)} sends by another interface, {other.name}{addresses}: of {loss.packets} "
        f"{noun} none was answered at {place_text(segment.start)}",
        [
            Evidence(
                kind=EvidenceKind.COUNTER,
                text=f"{other.name} in the pod sent {sent} packets meanwhile, {_name(growths, server.address)} {own}",
            )
        ],
        remediation=(
            f"Look in the pod: ip route; ip rule; ip route get {loss.flow.client.address}. Its default route leads to {other.name}, or a "
            "route there covers the client. Fix: let the default route lead by the interface of the cluster network (Multus: take "
            '"gateway" and "default-route" out of the second network), or give the second one routes to its own networks alone.'
        ),
        not_ruled_out=(f"server-silent: other traffic by {other.name}, and a server that does not answer",),
    )


def _sent(first: tuple[PodInterface, ...], last: tuple[PodInterface, ...]) -> Iterator[tuple[PodInterface, int]]:
    """The interfaces that both looks have, with the packets that they sent in between."""
    before = {(each.name, each.index): each for each in first}
    for each in last:
        earlier = before.get((each.name, each.index))
        if earlier is not None and "tx.packets" in each.counters and "tx.packets" in earlier.counters:
            yield each, each.counters["tx.packets"] - earlier.counters["tx.packets"]


def _name(growths: list[tuple[PodInterface, int]], address: str) -> str:
    return next(interface.name for interface, _ in growths if interface.has(address))
