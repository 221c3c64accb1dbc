"""The interface of a pod on its node: whether there is one that hangs where the node leads packets to."""

from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, Segment, leads_to_pod
from kubectl_vxtrace.model.facts import NodeFacts
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
