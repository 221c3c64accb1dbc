"""Does the server listen, and does it answer, itself?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.diagnosis.causes.server.full_sockets import full_text, overflow, unread_text
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence.answers import answers_from_elsewhere, icmp_answers, resets
from kubectl_vxtrace.diagnosis.evidence.inside_pods import InsidePod, inside_pod
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_word
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

NOTHING_LISTENING = Cause(
    slug="nothing-listening",
    remediation=(
        "Check that the process in the pod runs and listens on that port and address (ss -lntu in the pod), and the Service's targetPort."
    ),
    source="RFC 9293, 3.10.7.1; RFC 1122, 4.1.3.1",
)
SERVER_SILENT = Cause(
    slug="server-silent",
    remediation="Look into the server's pod: process, log, socket queues (ss -lntu), its routes (ip route) and its own firewall.",
    source="absence of replies at the server's last hop",
    gives_reason=False,
    # What the kernel dropped before never came to the server.
    stage=Stage.SOCKET,
)
CAUSES = (NOTHING_LISTENING, SERVER_SILENT)


# RFC 792: protocol and port unreachable. RFC 4443, 3.1: port unreachable.
_NO_LISTENER = frozenset({(3, 2), (3, 3), (1, 4)})
_MOST_SHOWN = 3
# RFC 1035, 4.2.
_DNS = 53
# What to do where it is not known whether there is anything to be done.
_ONE_WAY = (
    "If the protocol does not answer (StatsD, syslog, NetFlow), nothing is wrong here: what the server counts tells whether it takes the "
    "packets. Else: {else_}"
)
# What to do where a server answers from elsewhere than where it was asked.
_OTHER_PORT = (
    "Let the server answer from the socket that it was asked at, or the client take answers from any port (a UDP socket that is not "
    "connected). Of a protocol that changes ports by design (TFTP) conntrack has to know: modprobe nf_nat_tftp on the nodes."
)
_OTHER_ADDRESS = (
    "Let the server answer from the address that it was asked at: bind its socket to it, or take it from the request (IP_PKTINFO). "
    "Look in its pod: ss -lnu; ip addr; ip route get CLIENT."
)
_GOES_ON = "Nothing has to be done if the protocol changes ports by design (TFTP): trace {place} of the server as well."
_FILTER_ANSWERS = ("a packet filter inside the pod that answers in the server's name",)
_REFUSES_ALL_THE_SAME = (*_FILTER_ANSWERS, "a full backlog, where net.ipv4.tcp_abort_on_overflow is set in the pod")
_FILTERED = frozenset({"NETFILTER_DROP"})
_NO_SOCKET = ("Udp.NoPorts", "Udp6NoPorts")


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `nothing-listening` for requests that the server refused; `server-silent`, `socket-overflow` or `nothing-listening` for
    those that it did not answer."""
    if loss.kind is LossKind.SILENT:
        found = overflow(case, loss, segment.start)
        if found is None and not _is_taken_before(case, loss):
            found = _from_elsewhere(case, loss) or _unheard(case, loss) or _silent(case, loss)
        if found is not None:
            yield found
    elif loss.path.direction is Direction.REQUEST and (proofs := _refusals(case, loss)):
        yield _nothing_listens(case, loss, proofs)


def _is_taken_before(case: Case, loss: Loss) -> bool:
    """Whether requests to a node's own address never came to a socket there, or may not have: the node sends such on, or its packet filter
    dropped a packet for each of them. In a pod's network namespace that may have been the answers."""
    if loss.onward is not None:
        return True
    word = kernel_word(case, loss) if loss.path.ends_in_node(loss.flow) else None
    return word is not None and word.reason in _FILTERED and word.packets == word.lost


def _refusals(case: Case, loss: Loss) -> list[Evidence]:
    """RSTs and port-unreachable errors from the server's own address, seen at its last hop."""
    server = loss.flow.server
    proofs = []
    rows = resets(case, loss, loss.start)
    if len(rows):
        text = f"{len(rows)} x TCP RST at {place_text(loss.start)}"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, loss.start.tap, rows)))
    for answer in icmp_answers(case, loss):
        if answer.is_one_of(_NO_LISTENER) and server is not None and answer.source in _own_addresses(loss):
            proofs.append(answer.evidence("port unreachable"))
    return proofs


def _own_addresses(loss: Loss) -> set[str]:
    """The server's address, and the Service's: on the client's node the error's source is translated back."""
    service = loss.flow.service
    server = loss.flow.server
    addresses = {server.address if server is not None else None, service.address if service is not None else None}
    return {address for address in addresses if address is not None}


def _nothing_listens(case: Case, loss: Loss, proofs: Sequence[Evidence]) -> Finding:
    """By the answers alone; or, where the pod's sockets were read, by these: a listener at both looks leaves little of it."""
    where = _server_text(loss)
    noun = direction_noun(loss.path.direction, loss.packets)
    summary = f"{where} refused {loss.packets} {noun}, as a host does on whose port nothing listens"
    sockets = _sockets(case, loss)
    listens = loss.flow.protocol == "TCP" and sockets is not None and not sockets.is_none
    return error_finding(
        case,
        loss,
        NOTHING_LISTENING,
        Confidence.POSSIBLE if listens else Confidence.CERTAIN,
        summary + (f"; and yet {sockets.text}" if listens and sockets is not None else ""),
        [*proofs, *(sockets.evidence if sockets is not None and (sockets.is_none or listens) else ())],
        not_ruled_out=_REFUSES_ALL_THE_SAME if listens else () if sockets is not None and sockets.is_none else _FILTER_ANSWERS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sockets:
    """What the looks into the server's pod found of sockets for its address and port: whether none at either, and that in words."""

    is_none: bool
    text: str

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return (Evidence(kind=EvidenceKind.ABSENCE if self.is_none else EvidenceKind.COUNTER, text=self.text),)


def _sockets(case: Case, loss: Loss) -> _Sockets | None:
    """None where the pod's sockets were not read, or not the same at both looks."""
    inside, server, protocol = _inside(case, loss), loss.flow.server, loss.flow.protocol
    none = inside.nobody_listens(protocol, server) if inside is not None and server is not None else None
    if inside is None or server is None or none is None:
        return None
    what = f"{protocol} socket of its pod {'takes' if protocol == 'UDP' else 'listens for'} what comes to {_server_text(loss)}"
    if none:
        others = inside.elsewhere(protocol, server)
        there = f"; there are such at {', '.join(others[:_MOST_SHOWN])}" if others else ""
        return _Sockets(is_none=True, text=f"no {what}{there}")
    looks = inside.udp_sockets(server) if protocol == "UDP" else inside.listeners(server)
    return _Sockets(is_none=False, text=f"a {what}") if looks is not None and all(looks) else None


def _inside(case: Case, loss: Loss) -> InsidePod | None:
    """What was seen inside the server's pod."""
    server = loss.flow.server
    return None if server is None or server.host_network else inside_pod(case, loss.start.tap.node, server.address)


def _unheard(case: Case, loss: Loss) -> Finding | None:
    """No socket has the port, the pod's kernel counted so, and yet its refusals did not come out of the pod."""
    inside, sockets = _inside(case, loss), _sockets(case, loss)
    least = minimum_counter_growth(loss)
    if inside is None or sockets is None or not sockets.is_none or loss.flow.protocol != "UDP":
        return None
    growth = inside.grown_together(_NO_SOCKET)
    if growth < max(least, judgement.FEW_PACKETS):
        return None
    counted = f"{_NO_SOCKET[0]} inside the pod grew by {growth}; {loss.packets} requests got no answer"
    noun = direction_noun(loss.path.direction, loss.packets)
    return error_finding(
        case,
        loss,
        NOTHING_LISTENING,
        Confidence.LIKELY,
        f"nothing listens at {_server_text(loss)}, which {loss.packets} {noun} reached, and no refusal came out of the pod",
        [*sockets.evidence, Evidence(kind=EvidenceKind.COUNTER, text=counted)],
    )


def _from_elsewhere(case: Case, loss: Loss) -> Finding | None:
    """The server answers, from a port or an address that the client did not ask."""
    answers = answers_from_elsewhere(case, loss)
    if answers is None:
        return None
    ports, where = answers.ports, _server_text(loss)
    places = [str(each) for each in ports or answers.addresses]
    what = f"port{'s' if len(ports) > 1 else ''} " if ports else "address "
    shown = what + ", ".join(places[:_MOST_SHOWN]) + (f" and {len(places) - _MOST_SHOWN} more" if len(places) > _MOST_SHOWN else "")
    text = f"{len(answers.rows)} x UDP from {shown} to {answers.answered} of {answers.asked} sockets that asked {where}"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, loss.start.tap, answers.rows))]
    if len(answers.refused):
        frames = frame_refs(case, loss.start.tap, answers.refused)
        text = f"{len(answers.refused)} x ICMP port unreachable, with which the client refuses these answers"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frames))
    noun = direction_noun(loss.path.direction, loss.packets)
    goes_on = "with which the client goes on" if answers.taken else "which a client that is connected to what it asked does not take"
    return error_finding(
        case,
        loss,
        UNKNOWN,
        Confidence.LIKELY if answers.answered == answers.asked and not answers.taken else Confidence.POSSIBLE,
        f"{loss.packets} {noun} reached {where}, which answers from {shown}, {goes_on}",
        proofs,
        remediation=_GOES_ON.format(place=shown) if answers.taken else _OTHER_PORT if ports else _OTHER_ADDRESS,
    )


def _silent(case: Case, loss: Loss) -> Finding:
    noun = direction_noun(loss.path.direction, loss.packets)
    proofs = [Evidence(kind=EvidenceKind.ABSENCE, text=f"no reply of {_server_text(loss)} at {place_text(loss.start)}")]
    one_way = _waits_for_nothing(loss) and kernel_word(case, loss) is None
    if one_way:
        text = "the client sends on from the same socket without a pause in which it could have waited for an answer"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text))
    counted, doubts = _counted_inside(case, loss)
    why = f"; {counted[0].text}" if counted else ""
    return error_finding(
        case,
        loss,
        SERVER_SILENT,
        Confidence.POSSIBLE if one_way else Confidence.LIKELY,
        f"{loss.packets} {noun} reached {_server_text(loss)}, no reply was seen there{why}"
        + (", and the client waits for none: the server is silent if the protocol answers at all" if one_way else ""),
        [*proofs, *counted],
        remediation=_ONE_WAY.format(else_=SERVER_SILENT.remediation) if one_way else None,
        not_ruled_out=doubts,
    )


def _counted_inside(case: Case, loss: Loss) -> tuple[list[Evidence], tuple[str, ...]]:
    """Counters of the server's pod that account for the requests, or for answers, and what stays open beside them."""
    inside, server = _inside(case, loss), loss.flow.server
    if inside is None or server is None:
        return [], (
            "a packet filter or a full socket queue inside the pod",
            "no return route in the pod",
            "a protocol that does not answer",
        )
    grown = inside.reasons(loss.flow.protocol, max(minimum_counter_growth(loss), judgement.FEW_PACKETS))
    counted = [
        Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} inside its pod grew by {growth}: {meaning}")
        for counter, growth, meaning in grown
    ]
    said = (unread_text(inside, loss.flow.protocol, server), full_text(inside, loss.flow.protocol, server))
    counted += [Evidence(kind=EvidenceKind.COUNTER, text=text) for text in said if text]
    return counted[:_MOST_SHOWN], ("a packet filter inside the pod", "a protocol that does not answer")


def _waits_for_nothing(loss: Loss) -> bool:
    """Whether each socket of the client sends datagram after datagram, never with a pause as long as clients wait for an answer.

    Questions for a name are always answered (RFC 1035, 4.1), however fast they come.
    """
    server, journeys = loss.flow.server, loss.traced.journeys
    if loss.flow.protocol != "UDP" or server is None or server.port == _DNS:
        return False
    ports, times_ns = journeys.client_port[loss.rows], journeys.time_ns[loss.rows]
    gaps_ns = [np.diff(np.sort(times_ns[ports == port])) for port in np.unique(ports)]
    return all(len(gaps) >= judgement.FEW_PACKETS and gaps.max() < judgement.SOONEST_GIVEN_UP_NS for gaps in gaps_ns)


def _server_text(loss: Loss) -> str:
    server = loss.flow.server
    return "the server" if server is None else host_port(server.address, server.port)
