"""Does the server listen, and does it answer, itself?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.kernel_words import kernel_words
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, icmp_answers, place_text, resets
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Kind, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# RFC 792: protocol and port unreachable. RFC 4443, 3.1: port unreachable.
_NO_LISTENER = frozenset({(3, 2), (3, 3), (1, 4)})
# Linux include/net/dropreason-core.h; include/uapi/linux/snmp.h.
_NO_ROOM = ("SOCKET_RCVBUFF", "SOCKET_BACKLOG", "PROTO_MEM")
_OVERFLOWS = {"UDP": "Udp.RcvbufErrors", "TCP": "TcpExt.ListenOverflows"}


def check(case: Case) -> Iterator[Finding]:
    """Findings `nothing-listening` for requests that the server refused; `server-silent` and `socket-overflow` for those that it did not
    answer."""
    for trouble in troubles(case):
        if trouble.kind is Kind.REFUSED:
            yield from _refused(case, trouble)
        elif trouble.kind is Kind.SILENT:
            yield _overflow(case, trouble) or _silent(case, trouble)


def _refused(case: Case, trouble: Trouble) -> Iterator[Finding]:
    proofs = _refusals(case, trouble)
    if proofs:
        yield _nothing_listens(case, trouble, proofs)


def _refusals(case: Case, trouble: Trouble) -> list[Evidence]:
    """RSTs and port-unreachable errors from the server's own address, seen at its last hop."""
    server = trouble.flow.server
    proofs = []
    rows = resets(case, trouble, trouble.start)
    if len(rows):
        text = f"{len(rows)} x TCP RST at {place_text(trouble.start)}"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, trouble.start.tap, rows)))
    for answer in icmp_answers(case, trouble):
        if (answer.type, answer.code) in _NO_LISTENER and server is not None and answer.source in _own_addresses(trouble):
            text = f"{answer.count} x {answer.text} (port unreachable), seen at {place_text(answer.hop)}"
            proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=answer.frames))
    return proofs


def _own_addresses(trouble: Trouble) -> set[str]:
    """The server's address, and the Service's: on the client's node the error's source is translated back."""
    service = trouble.flow.service
    server = trouble.flow.server
    addresses = {server.address if server is not None else None, service.address if service is not None else None}
    return {address for address in addresses if address is not None}


def _nothing_listens(case: Case, trouble: Trouble, proofs: Sequence[Evidence]) -> Finding:
    where = _server_text(trouble)
    noun = direction_noun(trouble.path.direction, trouble.packets)
    summary = f"{where} refused {trouble.packets} {noun}, as a host does on whose port nothing listens"
    return explain(
        case,
        trouble,
        "nothing-listening",
        Confidence.CERTAIN,
        summary,
        proofs,
        not_ruled_out=("a packet filter inside the pod that answers in the server's name",),
    )


def _overflow(case: Case, trouble: Trouble) -> Finding | None:
    """The kernel of the server's node took the requests and had no room for them in the server's socket.

    Counters of a pod's own namespace are not read: there only the kernel's words speak.
    """
    node, server = trouble.start.tap.node, trouble.flow.server
    proofs = list(kernel_words(case, trouble, trouble.start, _NO_ROOM))
    own = server is not None and server.host_network
    counter = _OVERFLOWS.get(trouble.flow.protocol)
    growth = nodes.grown(case, node, counter) if own and counter is not None else None
    counted = growth is not None and growth >= trouble.packets
    if counted:
        text = f"{counter} of {node} grew by {growth}; {trouble.packets} requests got no answer"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    if not proofs:
        return None
    noun = direction_noun(trouble.path.direction, trouble.packets)
    return explain(
        case,
        trouble,
        "socket-overflow",
        Confidence.CERTAIN if counted and len(proofs) > 1 else Confidence.LIKELY,
        f"the socket of {_server_text(trouble)} had no room for {trouble.packets} {noun}",
        proofs,
        not_ruled_out=() if counted else ("the socket of another process that got packets at the same time",),
    )


def _silent(case: Case, trouble: Trouble) -> Finding:
    noun = direction_noun(trouble.path.direction, trouble.packets)
    absence = Evidence(kind=EvidenceKind.ABSENCE, text=f"no reply of {_server_text(trouble)} at {place_text(trouble.start)}")
    return explain(
        case,
        trouble,
        "server-silent",
        Confidence.LIKELY,
        f"{trouble.packets} {noun} reached {_server_text(trouble)}, no reply was seen there",
        [absence],
        not_ruled_out=(
            "a packet filter or a full socket queue inside the pod",
            "no return route in the pod",
            "a protocol that does not answer",
        ),
    )


def _server_text(trouble: Trouble) -> str:
    server = trouble.flow.server
    if server is None:
        return "the server"
    address = f"[{server.address}]" if ":" in server.address else server.address
    return address if server.port is None else f"{address}:{server.port}"
