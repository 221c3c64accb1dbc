"""Had the server's socket room for what came?"""

from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.inside_pods import InsidePod, inside_pod
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_drop_evidence
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, minimum_counter_growth
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.judgement import FEW_PACKETS, PLAUSIBLE_FACTOR
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint, Flow, Hop, Tap
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

SOCKET_OVERFLOW = Cause(
    slug="socket-overflow",
    remediation=(
        "Look in the pod's network namespace: nstat -az UdpRcvbufErrors TcpExtListenOverflows, ss -lnt (Recv-Q at Send-Q). Fix: more "
        "replicas or a faster process; a larger backlog and net.core.somaxconn; for UDP a larger SO_RCVBUF and net.core.rmem_max."
    ),
    source="Linux net/ipv4/udp.c (__udp_enqueue_schedule_skb), net/ipv4/tcp_ipv4.c (tcp_v4_syn_recv_sock); listen(2)",
    admitted=True,
    stage=Stage.SOCKET,
    beyond_packets=True,
)
CAUSES = (SOCKET_OVERFLOW,)

# Linux include/net/dropreason-core.h; include/uapi/linux/snmp.h.
_NO_ROOM = ("SOCKET_RCVBUFF", "SOCKET_BACKLOG", "PROTO_MEM")
_OVERFLOWS = {"UDP": "Udp.RcvbufErrors", "TCP": "TcpExt.ListenOverflows"}
# Of a pod: in both families, and requests for connections beside those that wait to be accepted (tcp_conn_request in net/ipv4/tcp_input.c).
POD_OVERFLOWS = {
    "UDP": ("Udp.RcvbufErrors", "Udp6RcvbufErrors"),
    "TCP": ("TcpExt.ListenOverflows", "TcpExt.TCPReqQFullDrop"),
}
# Counts datagrams as they are read by a program (udp_recvmsg in net/ipv4/udp.c).
_READ = ("Udp.InDatagrams", "Udp6InDatagrams")


def overflow(case: Case, loss: Loss, last: Hop) -> Finding | None:
    """Finding `socket-overflow`: the kernel of the server's node took the requests and had no room for them in the server's socket."""
    proofs, sure = list(kernel_drop_evidence(case, loss, last, _NO_ROOM)), False
    own = _of_pod(case, loss, last) or _of_node(case, loss, last)
    if own is not None:
        sure = own[1] or bool(proofs)
        proofs.append(own[0])
    if not proofs:
        return None
    noun, server = direction_noun(loss.path.direction, loss.packets), loss.flow.server
    where = "the server" if server is None else host_port(server.address, server.port)
    return error_finding(
        case,
        loss,
        SOCKET_OVERFLOW,
        Confidence.CERTAIN if sure else Confidence.LIKELY,
        f"the socket of {where} had no room for {loss.packets} {noun}",
        proofs,
        not_ruled_out=() if own is not None else ("the socket of another process that got packets at the same time",),
    )


def _of_node(case: Case, loss: Loss, last: Hop) -> tuple[Evidence, bool] | None:
    """What the node counted for a server in its own network; for all its sockets, and so never sure by itself."""
    node, server, counter = last.tap.node, loss.flow.server, _OVERFLOWS.get(loss.flow.protocol)
    if server is None or not server.host_network or counter is None:
        return None
    growth = node_facts.grown(case, node, counter)
    if growth is None or growth < loss.packets:
        return None
    text = f"{counter} of {node} grew by {growth}; {loss.packets} requests got no answer"
    return Evidence(kind=EvidenceKind.COUNTER, text=text), False


def _of_pod(case: Case, loss: Loss, last: Hop) -> tuple[Evidence, bool] | None:
    """What the server's pod counted for the requests of a loss, and whether that is sure by itself."""
    found = lacked_room(case, last.tap, loss.flow, max(minimum_counter_growth(loss), 1))
    if found is None:
        return None
    text = f"{found.text}; {loss.packets} requests got no answer"
    return Evidence(kind=EvidenceKind.COUNTER, text=text), found.is_sure


@dataclass(frozen=True, slots=True, kw_only=True)
class LackedRoom:
    """What a server's socket had no room for, in words. is_sure: it accounts for just these packets, and nothing was taken meanwhile."""

    text: str
    is_sure: bool


def lacked_room(case: Case, tap: Tap, flow: Flow, least: int) -> LackedRoom | None:
    """What the server's pod counted behind its tap: its own socket, else (for no few packets) all its sockets together.

    None where that is less than `least` packets, or was not read.
    """
    server, protocol = flow.server, flow.protocol
    inside = None if server is None or server.host_network else inside_pod(case, tap.node, server.address)
    if server is None or inside is None:
        return None
    where, drops = host_port(server.address, server.port), inside.socket_drops(protocol, server)
    if drops is not None:
        kind = "listening TCP" if protocol == "TCP" else protocol
        text = f"the {kind} socket of {where} had no room for {drops} packets{_queue_text(inside, protocol, server)}"
        most = node_facts.most_growth(case, tap, least) or PLAUSIBLE_FACTOR * least
        sure = drops <= most and _takes_nothing(inside, protocol, server)
        return LackedRoom(text=text, is_sure=sure) if drops >= least else None
    if least < FEW_PACKETS:
        return None
    counters = POD_OVERFLOWS.get(protocol, ())
    growth = inside.grown_together(counters)
    names = " and ".join(counter for counter in counters if inside.grown(counter))
    return LackedRoom(text=f"{names} inside the pod of {where} on {tap.node} grew by {growth}", is_sure=False) if growth >= least else None


def _takes_nothing(inside: InsidePod, protocol: str, server: Endpoint) -> bool:
    """Whether no program of the pod read a datagram meanwhile, or more connections than may wait were waiting at both looks."""
    if protocol == "UDP":
        return all(inside.grown(counter) in (0, None) for counter in _READ) and inside.grown(_READ[0]) == 0
    looks = inside.listeners(server)
    return looks is not None and all(each.limit is not None and each.waiting > each.limit for look in looks for each in look)


def unread_text(inside: InsidePod, protocol: str, server: Endpoint) -> str:
    """That something waits in a socket's queue at both looks, so that the process does not keep up; empty where nothing does."""
    where = host_port(server.address, server.port)
    if protocol == "UDP":
        sockets = inside.udp_sockets(server)
        waiting = [sum(each.receive_queue_bytes for each in look) for look in sockets] if sockets is not None else [0]
        return f"the UDP socket of {where} held {waiting[0]} and {waiting[1]} unread bytes before and after" if all(waiting) else ""
    listeners = inside.listeners(server)
    waiting = [sum(each.waiting for each in look) for look in listeners] if listeners is not None else [0]
    return f"{waiting[0]} and {waiting[1]} connections to {where} waited to be accepted before and after" if all(waiting) else ""


def full_text(inside: InsidePod, protocol: str, server: Endpoint) -> str:
    """How much a socket had no room for; empty where that is nothing, or not known."""
    drops = inside.socket_drops(protocol, server)
    return f"the {protocol} socket of {host_port(server.address, server.port)} had no room for {drops} packets meanwhile" if drops else ""


def _queue_text(inside: InsidePod, protocol: str, server: Endpoint) -> str:
    """How full it was at the last look."""
    if protocol == "UDP":
        sockets = inside.udp_sockets(server)
        waiting_bytes = sum(each.receive_queue_bytes for each in sockets[1]) if sockets is not None else 0
        return f" ({waiting_bytes} bytes waited to be read)" if waiting_bytes else ""
    listeners = inside.listeners(server)
    full = next((each for each in listeners[1] if each.waiting), None) if listeners is not None else None
    return f" ({full.waiting} connections waited to be accepted, its backlog is {full.limit})" if full is not None else ""
