"""The interface of a pod on its node: whether there is one that hangs where the node leads packets to."""

from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, Segment, leads_to_pod
from kubectl_vxtrace.model.facts import PAIR_KINDS, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint, Tap


def missing_devices(case: Case, loss: Loss, segment: AnySegment) -> tuple[str | None, ...]:
    """What is not there on the way to the receiving pod, for each look at its node that could tell; None where all is.

    Empty for other segments than those that lead to the receiver's own interface, and for receivers that are no pods.
    """
    pod, node = loss.path.receiver(loss.flow), segment.start.tap.node
    if pod is None or pod.pod is None or pod.host_network or node != pod.node:
        return ()
    if not isinstance(segment, Segment) or not leads_to_pod(segment):
        return ()
    looks = (facts for facts in node_facts.looks(case, node) if node_facts.answered(facts, "links"))
    return tuple(_missing_device(case, facts, segment, pod) for facts in looks)


def lacks_device(case: Case, loss: Loss, segment: AnySegment) -> bool:
    """Whether all looks found that nothing leads to the pod: what else fails there fails because of that."""
    looks = missing_devices(case, loss, segment)
    return bool(looks) and None not in looks


def _missing_device(case: Case, facts: NodeFacts, segment: Segment, pod: Endpoint) -> str | None:
    """What is not there by one look at the node; None where the pod's interface hangs as it should, or nothing names it."""
    veth = facts.host_end(pod.address)
    cni = next((each for each in case.recording.cnis if each.backend == case.recording.overlay.backend), None)
    bridge = cni.bridge if cni is not None else None
    if bridge is not None and facts.link(bridge) is None:
        what = f"{veth.name} of {pod.pod}" if veth is not None else pod.pod
        return f"the bridge {bridge} of {facts.node} is gone: {what} hangs on no bridge"
    answer = routes.local_lookup(facts, pod.address)
    routed = facts.link(answer.device) if answer is not None and answer.device is not None else None
    if veth is not None and routed is not None and routed.kind == "bridge" and veth.master != routed.name:
        return f"{veth.name}, the interface of {pod.pod}, is no port of {routed.name}, to which {facts.node} sends what is for the pod"
    if veth is None and segment.end.tap == Tap(node=facts.node, interface="", place=pod.address):
        return f"{facts.node} has no interface that leads to {pod.pod}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignInterface:
    """A route to the pod with `address` that leads to an interface which is not its own.

    taken, own: names of both on the node. others: addresses that the node leads to `taken` as well. always: all looks say so.
    """

    address: str
    taken: str
    own: str
    others: tuple[str, ...]
    always: bool


def foreign_interface(case: Case, loss: Loss, segment: AnySegment) -> ForeignInterface | None:
    """Whether the route to the receiving pod leads to another interface than the one whose other end has the pod's address.

    None where the pod's own namespace does not name it, and where either is no end of a pair: of others (macvlan, a bridge, a VRF) several
    belong together.
    """
    pod, node = loss.path.receiver(loss.flow), segment.start.tap.node
    if pod is None or pod.host_network or node != pod.node or not isinstance(segment, Segment) or not leads_to_pod(segment):
        return None
    told = [facts for facts in node_facts.looks(case, node) if node_facts.answered(facts, "links")]
    found = [pair for facts in told if (pair := _taken_and_own(facts, pod.address)) is not None]
    if not found or segment.end.tap.interface != found[-1][0]:
        return None
    taken, own = found[-1]
    hosts = (route for route in told[-1].routes if route.device == taken and route.gateway is None and route.type == "unicast")
    others = (route.destination.removesuffix("/32") for route in hosts)
    return ForeignInterface(
        address=pod.address,
        taken=taken,
        own=own,
        others=tuple(other for other in others if other != pod.address and "/" not in other),
        always=len(found) == len(told),
    )


def _taken_and_own(facts: NodeFacts, address: str) -> tuple[str, str] | None:
    """The interfaces of one node that the route to a pod leads to, and that is the pod's; None where they are one, or not known."""
    own, answer = facts.host_end(address), routes.local_lookup(facts, address)
    taken = facts.link(answer.device) if answer is not None and answer.device is not None and not routes.is_refused(answer) else None
    if own is None or taken is None or own.name == taken.name or own.master == taken.name:
        return None
    return (taken.name, own.name) if own.kind in PAIR_KINDS and taken.kind in PAIR_KINDS else None
