"""Which cause a dropping rule stands for, now that it is known which packets it took."""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.diagnosis.causes.host.conntrack_invalid import CONNTRACK_INVALID, invalid
from kubectl_vxtrace.diagnosis.causes.host.forwarding import RP_FILTER
from kubectl_vxtrace.diagnosis.causes.host.routes import POD_ROUTE_MISSING
from kubectl_vxtrace.diagnosis.causes.host.rule_backends import in_other_backend
from kubectl_vxtrace.diagnosis.causes.pod.anti_spoofing import WORKLOAD_ANTI_SPOOFING
from kubectl_vxtrace.diagnosis.causes.service.translation import NO_ENDPOINTS, NO_LOCAL_ENDPOINTS
from kubectl_vxtrace.diagnosis.causes.vxlan.port_clash import MASQUERADE_PORT_CLASH
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import address_texts, conversations_at, frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, SegmentKind
from kubectl_vxtrace.diagnosis.rules.purpose import Purpose, RuleVerdict, purpose_of
from kubectl_vxtrace.diagnosis.rules.queues import QUEUEING, queue_numbers, unread_queues
from kubectl_vxtrace.diagnosis.rules.reverse_path import addresses_of
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind

FORWARD_POLICY_DROP = Cause(
    slug="forward-policy-drop",
    remediation="Accept the pod network in FORWARD, or set the policy to ACCEPT (iptables -P FORWARD ACCEPT), and find who sets it.",
    source="flannel-io/flannel issues 609, 699; kubernetes/kubernetes issue 45022",
    admitted=True,
    stage=Stage.FORWARD,
)
NETWORK_POLICY_DROP = Cause(
    slug="network-policy-drop",
    remediation=(
        "List the policies that select the pod (kubectl get networkpolicy -A, calicoctl get globalnetworkpolicy) and allow this traffic."
    ),
    source="projectcalico/calico issue 2314 (the counter method); Linux netfilter rule counters",
    admitted=True,
    stage=Stage.PREROUTING,
)
POLICY_SEES_SNAT = Cause(
    slug="policy-sees-snat",
    remediation=(
        "Look: the source at the server's VXLAN device or NIC against the client pod's address. Fix: keep the pod's source "
        "(natOutgoing, ip-masq-agent nonMasqueradeCIDRs, externalTrafficPolicy: Local), or allow the nodes' addresses with an ipBlock."
    ),
    source="projectcalico/calico issues 741, 3440, 2169",
    admitted=True,
    stage=Stage.PREROUTING,
)
HOST_FIREWALL = Cause(
    slug="host-firewall",
    remediation=(
        "Allow the UDP port of VXLAN between the nodes, and forwarding for the pod addresses: with firewalld add the port to the zone of "
        "the NIC and the pod and Service networks to the trusted zone."
    ),
    source="flannel-io/flannel issue 2055; projectcalico/calico issues 6208, 9969; Linux netfilter rule counters",
    admitted=True,
    stage=Stage.PREROUTING,
)
CALICO_UNKNOWN_VTEP = Cause(
    slug="calico-unknown-vtep",
    remediation=(
        "Compare the outer source with the set (ipset list cali40all-vxlan-net): correct the node's address in Calico "
        "(projectcalico.org/IPv4Address, IP_AUTODETECTION_METHOD), or add the source to externalNodesList."
    ),
    source="projectcalico/calico felix/rules/static.go, issue 6752",
    admitted=True,
    stage=Stage.PREROUTING,
)
CAUSES = (
    CALICO_UNKNOWN_VTEP,
    FORWARD_POLICY_DROP,
    NETWORK_POLICY_DROP,
    POLICY_SEES_SNAT,
    HOST_FIREWALL,
)


_CAUSES = {
    Purpose.FOREIGN_VXLAN: CALICO_UNKNOWN_VTEP,
    Purpose.POD_VXLAN: NETWORK_POLICY_DROP,
    Purpose.NO_ENDPOINTS: NO_ENDPOINTS,
    Purpose.NO_LOCAL_ENDPOINTS: NO_LOCAL_ENDPOINTS,
    Purpose.WORKLOAD_SOURCE: WORKLOAD_ANTI_SPOOFING,
    Purpose.REVERSE_PATH: RP_FILTER,
    Purpose.INVALID: CONNTRACK_INVALID,
    Purpose.FORWARD_POLICY: FORWARD_POLICY_DROP,
    Purpose.NETWORK_POLICY: NETWORK_POLICY_DROP,
    Purpose.QUEUE: UNKNOWN,
    Purpose.PROXY: UNKNOWN,
    Purpose.FIREWALL: HOST_FIREWALL,
}


# felix/rules/endpoints.go, allowVXLANPacketsFromWorkloads in the FelixConfiguration; projectcalico/calico issue 9874.
_POD_VXLAN_REMEDY = (
    "Calico drops UDP to the overlay's own port that comes from a pod, whatever it carries (\"Drop VXLAN encapped packets originating in "
    'workloads"). Look: kubectl get felixconfiguration default -o yaml. Use another UDP port in the pod, or, if pods may speak to VTEPs '
    "here, set allowVXLANPacketsFromWorkloads to true."
)


def verdict_on(case: LossCase, loss: Loss, segment: AnySegment, rule: Rule) -> RuleVerdict:
    """What `rule` stands for, given the packets of `loss` that it took on `segment`."""
    purpose = purpose_of(rule)
    refined = in_other_backend(case, segment, rule)
    if refined is None and purpose is Purpose.NETWORK_POLICY:
        refined = _sees_translated_source(case, loss, segment)
    if refined is None and purpose in (Purpose.WORKLOAD_SOURCE, Purpose.REVERSE_PATH) and loss.flow.foreign:
        refined = _foreign_address(case, loss, segment, _CAUSES[purpose])
    if refined is None and purpose is Purpose.WORKLOAD_SOURCE:
        refined = _own_address(case, loss, segment)
    if refined is None and purpose is Purpose.POD_VXLAN and segment.kind is SegmentKind.FORWARD:
        refined = _masqueraded(case, loss, segment)
    if refined is None and purpose is Purpose.POD_VXLAN:
        refined = RuleVerdict(cause=NETWORK_POLICY_DROP, note="VXLAN that the pod makes itself", remediation=_POD_VXLAN_REMEDY)
    if refined is None and purpose is Purpose.INVALID:
        refined = invalid(case, loss, segment, rule)
    if refined is None and rule.target in QUEUEING:
        refined = _queued(case, segment, rule, _CAUSES[purpose])
    return refined or RuleVerdict(cause=_CAUSES[purpose])


def _queued(case: Case, segment: AnySegment, rule: Rule, cause: Cause) -> RuleVerdict:
    """A rule that hands packets to a process: which queue nobody reads, and what to do about it."""
    last = node_facts.after(case, segment.start.tap.node)
    unread = unread_queues(last, rule) if last is not None else ()
    numbers = ", ".join(map(str, unread or queue_numbers(rule)))
    said = f"no process reads queue {numbers}" if unread else f"the reader of queue {numbers} did not take all"
    return RuleVerdict(
        cause=cause,
        proofs=(Evidence(kind=EvidenceKind.CONFIG, text=f"/proc/net/netfilter/nfnetlink_queue: {said}"),),
        note=f"{said}, and the kernel drops what comes to it (NFQUEUE)",
        max_confidence=Confidence.LIKELY,
        remediation=(
            "Look: cat /proc/net/netfilter/nfnetlink_queue. Start what reads that queue (an agent of network policies as "
            "kube-network-policies, an intrusion detection as Suricata), or delete this rule if its owner is gone; with --queue-bypass "
            "packets pass while nobody reads."
        ),
    )


def _sees_translated_source(case: Case, loss: Loss, segment: AnySegment) -> RuleVerdict | None:
    """The packets come from another address than the client pod's, so that no policy can know the pod by it."""
    client = loss.flow.client
    seen = address_texts(conversations_at(case, loss, segment.start).source)
    if loss.path.direction is not Direction.REQUEST or client.host_network or not seen or client.address in seen:
        return None
    rows = rows_at(loss, segment.start)
    text = f"at {place_text(segment.start)} they come from {', '.join(seen)}; the client pod's address is {client.address}"
    proof = Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, segment.start.tap, rows))
    return RuleVerdict(cause=POLICY_SEES_SNAT, proofs=(proof,))


def _foreign_address(case: Case, loss: Loss, segment: AnySegment, cause: Cause) -> RuleVerdict:
    """The pod sends from an address that is not its own."""
    client = loss.flow.client
    own = ", ".join(addresses_of(case, client.pod))
    text = f"the API has {own or 'other addresses'} for {client.pod}; at {place_text(segment.start)} it sends from {client.address}"
    proof = Evidence(kind=EvidenceKind.CONFIG, text=text)
    return RuleVerdict(cause=cause, proofs=(proof,), note=f"{client.pod} sends from {client.address}, which is not its address")


def _own_address(case: Case, loss: Loss, segment: AnySegment) -> RuleVerdict | None:
    """The pod sends from its own address: the reverse path check fails because its node has no route to it through its interface."""
    seen, own = address_texts(conversations_at(case, loss, segment.start).source), loss.senders
    if not seen or not set(seen) <= set(own):
        return None
    node, interface = segment.start.tap.node, segment.start.tap.interface
    texts = list(_ways_back(case, node, seen, interface))
    if not texts:
        return None
    return RuleVerdict(cause=POD_ROUTE_MISSING, proofs=tuple(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in texts))


def _ways_back(case: Case, node: str, addresses: tuple[str, ...], interface: str) -> Iterator[str]:
    for address in addresses:
        for facts in node_facts.looks(case, node)[-1:]:
            back = routes.local_lookup(facts, address)
            if back is not None and (routes.is_refused(back) or back.device != interface):
                told = routes.answer_text(back)
                yield f"{address} is the pod's own address, and {node} does not route it to {interface}: {told}"


def _masqueraded(case: Case, loss: Loss, segment: AnySegment) -> RuleVerdict | None:
    """Replies to a VXLAN port at another address than the client's: its node had masqueraded the connection to that port."""
    rows, seen = rows_at(loss, segment.start), conversations_at(case, loss, segment.start)
    if loss.path.direction is not Direction.REPLY or not len(rows):
        return None
    ports = {vtep.port for vtep in case.recording.overlay.vteps if vtep.port is not None}
    ends = sorted(address_texts(seen.destination))
    if not set(seen.destination_port.tolist()) <= ports or loss.flow.client.address in ends:
        return None
    text = (
        f"at {place_text(segment.start)} they go to {', '.join(ends)}, port {', '.join(map(str, sorted(ports)))}, the port of VXLAN itself"
    )
    proof = Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, segment.start.tap, rows))
    return RuleVerdict(cause=MASQUERADE_PORT_CLASH, proofs=(proof,))
