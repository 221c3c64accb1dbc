"""Where to look for why the kernel dropped packets: the commands of the table of reasons, with the names of the loss."""

import re

from kubectl_vxtrace.diagnosis.drop_reasons import DropReason, Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import KernelDropMatch
from kubectl_vxtrace.diagnosis.losses import Loss, SegmentKind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role


def is_inside_pod(loss: Loss) -> bool:
    """Whether what comes next behind the last hop is the receiver's pod itself: the tap of its interface is the node's last place.

    Behind the first hop, the sender's own interface, it is the node.
    """
    receiver = loss.path.receiver(loss.flow)
    own_network = receiver is None or not receiver.host_network
    is_delivery = any(segment.kind is SegmentKind.DELIVER for segment in loss.segments)
    return is_delivery and loss.start.role is Role.POD and loss.start.hop > 1 and own_network


def look_text(case: Case, loss: Loss, match: KernelDropMatch) -> str | None:
    """`Look on NODE: COMMANDS.` for a drop of the loss's packets, None where nothing is known of the reason."""
    reason = match.meaning
    if reason is None:
        return None
    names = {"SOURCE": loss.senders[0] if loss.senders else None, "DESTINATION": loss.receivers[0] if loss.receivers else None}
    names["DEVICE"] = _device(case, loss, reason)
    names["OUTER_DESTINATION"] = loss.path.outer_destination
    names["OUTER_SOURCE"] = next(iter(sorted(_underlay(case, match.node))), None)
    commands = re.sub(r"\b[A-Z_]{6,}\b", lambda word: names.get(word[0]) or word[0], reason.look)
    where = f"on {match.node}"
    if is_inside_pod(loss):
        pod = loss.flow.server.pod if loss.flow.server is not None else None
        where = f"in the network namespace of {pod or 'the pod'} {where} (nsenter --net=/proc/PID/ns/net)"
    return f"Look {where}: {commands}."


def _device(case: Case, loss: Loss, reason: DropReason) -> str | None:
    """The device that the packets came in by, or are to leave by, as the stage of the reason has it."""
    if is_inside_pod(loss):
        return _pods_device(case, loss)
    segment = loss.segments[0]
    if reason.last <= Stage.FORWARD or segment.end is None:
        return segment.start.tap.interface or None
    return segment.end.tap.interface or None


def _pods_device(case: Case, loss: Loss) -> str | None:
    """The pod's own end of the interface at the last hop."""
    for facts in reversed(node_facts.looks(case, loss.start.tap.node)):
        link = facts.link(loss.start.tap.interface)
        for namespace in facts.pod_namespaces if link is not None else ():
            for interface in namespace.interfaces:
                if link is not None and interface.host_index == link.index:
                    return interface.name
    return None


def _underlay(case: Case, node: str) -> frozenset[str]:
    end = node_facts.vtep(case, node)
    return frozenset({end.underlay_address}) if end is not None and end.underlay_address is not None else frozenset()
