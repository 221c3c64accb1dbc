"""Does the client's node translate the Service's address, and to a backend that is there?"""

from collections.abc import Iterator, Sequence

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.rule_backends import NFT_LEGACY_MIX
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import PORT_UNREACHABLE, IcmpAnswer, icmp_answers
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import bare_frames, frames_between, sent_back
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind
from kubectl_vxtrace.diagnosis.rules import proxy
from kubectl_vxtrace.diagnosis.rules.proxy import Portal
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.cluster import Backend, Service
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, ServiceRef
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Leg, Severity

NO_ENDPOINTS = Cause(
    slug="no-endpoints",
    remediation=(
        "Compare the Service's selector with the pods' labels, and see why the pods are not ready (kubectl get endpointslices, kubectl "
        "get pods)."
    ),
    source="kube-proxy, iptables mode, rules commented 'has no endpoints'",
    admitted=True,
    stage=Stage.PREROUTING,
)
NO_LOCAL_ENDPOINTS = Cause(
    slug="no-local-endpoints",
    remediation=(
        "Look: kubectl get service NAME -o yaml (internalTrafficPolicy, externalTrafficPolicy), kubectl get endpointslices -o wide. "
        "Fix: a backend on every node that asks (DaemonSet), or policy Cluster."
    ),
    source="Kubernetes documentation, Service Internal Traffic Policy; kube-proxy rules commented 'has no local endpoints'",
    admitted=True,
    stage=Stage.PREROUTING,
)
KUBE_PROXY_RULE_MISSING = Cause(
    slug="kube-proxy-rule-missing",
    remediation=(
        "Look on {node}: iptables-save -t nat | grep {address} (ipvsadm -Ln in IPVS mode); kubectl -n kube-system logs of its "
        "kube-proxy. Fix: restart kube-proxy on {node}; if something else flushes the rules, find it first."
    ),
    source="kubernetes/kubernetes issues 71305, 112477, 109811",
)
STALE_ENDPOINT = Cause(
    slug="stale-endpoint",
    remediation=(
        "Look: kubectl get endpointslices; on {node}: iptables-save -t nat | grep {address}; conntrack -L --orig-dst {service}. Fix: "
        "conntrack -D --orig-dst {service} on {node}; restart kube-proxy there, and see in its log why it does not hear from the API."
    ),
    source="kubernetes/kubernetes issues 125467, 48370, 126130",
)
CAUSES = (
    NO_ENDPOINTS,
    NO_LOCAL_ENDPOINTS,
    KUBE_PROXY_RULE_MISSING,
    STALE_ENDPOINT,
)


def check(case: Case, loss: Loss) -> Iterator[Finding]:
    """Findings about requests to a Service that vanished on the client's own node while nothing named their backend.

    `no-endpoints`: the node refuses them. `no-local-endpoints`: the Service's policy asks for a backend on that node. `stale-endpoint`:
    the node translates to an address that is no backend, or, of packets that the pod refused or left unanswered, to a port that is none.
    `kube-proxy-rule-missing`: it does not translate, or does not masquerade what it sends back to the pod that asked. `nft-legacy-mix`:
    one of its two sets of rules does one of these, the other does not.
    """
    if loss.path.direction is Direction.REQUEST and loss.flow.server is not None and loss.flow.service is not None:
        yield from _sent_back(case, loss, loss.flow.server, loss.flow.service)
        yield from _other_port(case, loss, loss.flow.server, loss.flow.service)
    is_request = loss.kind is LossKind.VANISHED and loss.path.direction is Direction.REQUEST
    if not is_request or loss.flow.server is not None or loss.flow.service is None:
        return
    refusals = [answer for answer in icmp_answers(case, loss) if answer.is_one_of(PORT_UNREACHABLE)]
    service = _service(case, loss.flow)
    ready = None if service is None else [backend for backend in service.backends if backend.ready]
    if refusals and not ready:
        yield _no_endpoints(case, loss, refusals[0], known=ready is not None)
    elif service is not None and ready:
        named = list(_no_local(case, loss, service, ready)) or list(_stale(case, loss, loss.flow.service, service))
        yield from named or _untranslated(case, loss, loss.flow.service)


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `no-endpoints`: requests to a Service without ready endpoints that nothing refused, and nothing answered.

    Where another rule accepts them before kube-proxy's, they go on to wherever the node's routes lead.
    """
    losing = {loss.flow.id for loss in case.losses}
    for traced in case.paths:
        flow, replies = traced.flow, case.traced(traced.flow.id, Direction.REPLY)
        is_asked = traced.path.direction is Direction.REQUEST and flow.service is not None and flow.server is None
        if not is_asked or flow.id in losing or not len(traced.journeys) or (replies is not None and len(replies.journeys)):
            continue
        service, last = _service(case, flow), traced.path.hops[-1]
        if service is None or any(backend.ready for backend in service.backends):
            continue
        packets = int(traced.journeys.weight_packets.sum())
        rows = traced.journeys.row[:, -1]
        yield Finding(
            cause=NO_ENDPOINTS.slug,
            confidence=Confidence.LIKELY,
            severity=Severity.WARNING,
            packets=packets,
            summary=f"{_name(flow.service)} has no endpoints, and {last.tap.node} does not refuse its packets: "
            f"{packets} {direction_noun(Direction.REQUEST, packets)} were seen at {place_text(last)}, and no answer",
            flow=flow.id,
            direction=Direction.REQUEST,
            leg=Leg(from_=last.hop, to=None),
            evidence=(
                Evidence(
                    kind=EvidenceKind.PACKETS,
                    text=f"{packets} requests at {place_text(last)}",
                    frames=frame_refs(case, last.tap, rows[rows >= 0].astype(np.int32)),
                ),
                Evidence(kind=EvidenceKind.CONFIG, text=f"the API names no ready endpoint of {_name(flow.service)}"),
            ),
            remediation=NO_ENDPOINTS.remediation,
        )


def _service(case: Case, flow: Flow) -> Service | None:
    snapshot, reference = case.recording.snapshot, flow.service
    if snapshot is None or reference is None:
        return None
    return next(
        (
            service
            for service in snapshot.services
            if service.full_name == reference.name or (reference.address is not None and reference.address in service.addresses)
        ),
        None,
    )


def _name(service: ServiceRef | None) -> str:
    return (service.name or service.address if service is not None else None) or "the Service"


def _no_endpoints(case: Case, loss: Loss, answer: IcmpAnswer, *, known: bool) -> Finding:
    name = _name(loss.flow.service)
    proofs = [answer.evidence("port unreachable")]
    if known:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=f"the API names no ready endpoint of {name}"))
    confidence = Confidence.CERTAIN if known else Confidence.LIKELY
    return error_finding(
        case, loss, NO_ENDPOINTS, confidence, f"{name} has no endpoints: {loss.start.tap.node} refuses its packets", proofs
    )


def _no_local(case: Case, loss: Loss, service: Service, ready: Sequence[Backend]) -> Iterator[Finding]:
    node = loss.start.tap.node
    if service.internal_traffic_policy != "Local" or any(backend.node == node for backend in ready):
        return
    others = sorted({backend.node for backend in ready if backend.node is not None})
    where = ", ".join(others) or "no known node"
    text = f"{service.full_name} has internalTrafficPolicy Local; ready endpoints are on {where}, none on {node}"
    yield error_finding(
        case,
        loss,
        NO_LOCAL_ENDPOINTS,
        Confidence.LIKELY,
        f"{service.full_name} asks for an endpoint on {node}, and there is none",
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        not_ruled_out=(f"another drop on {node}: no counter of a rule speaks of it",),
    )


def _stale(case: Case, loss: Loss, reference: ServiceRef, service: Service) -> Iterator[Finding]:
    """The node's rules or connections lead to addresses that are no backend of the Service."""
    node, known = loss.start.tap.node, {backend.address for backend in service.backends}
    last = node_facts.looks(case, node)[-1:]
    ruled = {target: portal for facts in last for portal in _portals(facts, loss, reference) for target in portal.targets}
    tracked = {address for facts in last for address in _tracked(facts, loss, reference)}
    wrong = sorted(address for address in {*ruled, *tracked} if address not in known)
    if not wrong:
        return
    seen = list(frames_between(case, node, (loss.flow.client.address,), wrong))
    listed = f"the API has {', '.join(sorted(known)) or 'none'} behind {service.full_name}"
    where = [f"{ruled[address].backend} {ruled[address].chain} of {node} translates to {address}" for address in wrong if address in ruled]
    where += [f"a connection on {node} leads to {address}" for address in wrong if address in tracked]
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{'; '.join(where)}; {listed}"), *(frames.evidence() for frames in seen)]
    full = max((frames.count for frames in seen), default=0) >= minimum_counter_growth(loss)
    backends = {portal.backend for facts in last for portal in _portals(facts, loss, reference)}
    remedy = STALE_ENDPOINT.remedy(node=node, address=wrong[0], service=reference.address or "CLUSTERIP")
    mixed = len(backends) > 1 and any(address in ruled for address in wrong)
    yield error_finding(
        case,
        loss,
        NFT_LEGACY_MIX if mixed else STALE_ENDPOINT,
        Confidence.CERTAIN if full else Confidence.LIKELY if seen or tracked & set(wrong) else Confidence.POSSIBLE,
        f"{node} translates {_name(reference)} to {', '.join(wrong)}, which is no endpoint of it",
        proofs,
        remediation=None if mixed else remedy,
        not_ruled_out=() if full else (f"a drop on {node} of packets to another endpoint",),
    )


def _sent_back(case: Case, loss: Loss, server: Endpoint, reference: ServiceRef) -> Iterator[Finding]:
    """The pod asks itself by the Service, and its packets come back to it from its own address, which a host refuses.

    kube-proxy masquerades such packets by a rule of the endpoint's chain (pkg/proxy/iptables/proxier.go, KUBE-MARK-MASQ); Linux takes none
    from an address of its own (net/ipv4/fib_frontend.c, fib_validate_source; RFC 1812, 5.3.7).
    """
    client, node = loss.flow.client, loss.start.tap.node
    if server.address != client.address or loss.kind is not LossKind.SILENT or loss.start.hop != 1:
        return
    looks = [facts for facts in node_facts.looks(case, node) if _tells(facts) and facts.proxy_mode != "ipvs"]
    chains = proxy.unmasqueraded(looks[-1], server.address, server.port) if looks else ()
    seen = sent_back(case, loss.start.tap, client.address)
    if not chains or seen is None or seen.count < minimum_counter_growth(loss):
        return
    text = f"{node}: chain {', '.join(chains)} translates to {server.address} and has no rule -s {server.address}/32 -j KUBE-MARK-MASQ"
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        KUBE_PROXY_RULE_MISSING,
        Confidence.LIKELY,
        f"{node} sends {loss.packets} {noun} of the pod to {_name(reference)} back to the pod itself without masquerading them: they come "
        f"from its own address, {client.address}, and no host takes such packets",
        [Evidence(kind=EvidenceKind.CONFIG, text=text), seen.evidence()],
        remediation=(
            f"Look on {node}: iptables-save -t nat | grep -e {server.address} -e KUBE-MARK-MASQ; kubectl -n kube-system logs of its "
            f"kube-proxy. Fix: restart kube-proxy on {node}, which writes the rule anew; if something else takes rules away, find it first."
        ),
    )


def _other_port(case: Case, loss: Loss, server: Endpoint, reference: ServiceRef) -> Iterator[Finding]:
    """The packets came to the backend's pod, on a port that is none of the Service's, and nobody answered there."""
    service, node = _service(case, loss.flow), loss.path.hops[0].tap.node
    if service is None or loss.kind is LossKind.VANISHED:
        return
    ports = {backend.port for backend in service.backends if backend.address == server.address and backend.protocol == loss.flow.protocol}
    if not ports or server.port in ports:
        return
    known = ", ".join(f"{server.address}:{port}" for port in sorted(ports))
    asked = host_port(server.address, server.port)
    text = f"packets to {reference.address} were seen at {place_text(loss.start)} as packets to {asked}; the API has {known} behind it"
    yield error_finding(
        case,
        loss,
        STALE_ENDPOINT,
        Confidence.CERTAIN if loss.kind is LossKind.REFUSED else Confidence.LIKELY,
        f"{node} translates {_name(reference)} to {asked}, which is no endpoint of it",
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        remediation=STALE_ENDPOINT.remedy(node=node, address=server.address, service=reference.address or "CLUSTERIP"),
    )


def _portals(facts: NodeFacts, loss: Loss, reference: ServiceRef) -> tuple[Portal, ...]:
    return () if reference.address is None else proxy.portals(facts, reference.address, reference.port, loss.flow.protocol)


def _tracked(facts: NodeFacts, loss: Loss, reference: ServiceRef) -> Iterator[str]:
    """To whom connection tracking sends the lost packets, by the client's ports: entries of others may be left from before."""
    ports = set(loss.traced.journeys.client_port[loss.rows].tolist())
    for entry in facts.conntrack:
        of_client = (entry.original_source, entry.original_destination) == (loss.flow.client.address, reference.address)
        if of_client and entry.original_source_port in ports and entry.unreplied and entry.reply_source != reference.address:
            yield entry.reply_source


def _untranslated(case: Case, loss: Loss, reference: ServiceRef) -> Iterator[Finding]:
    """The node has no rule, or a broken one, for the Service's port."""
    node = loss.start.tap.node
    looks = [facts for facts in node_facts.looks(case, node) if _tells(facts)]
    gaps = [_gaps(facts, loss, reference) for facts in looks]
    if not gaps or not gaps[-1] or reference.address is None:
        return
    compared = list(_elsewhere(case, loss, reference))
    if looks[-1].proxy_mode != "ipvs" and not proxy.has_portals(looks[-1]) and not compared:
        return
    # What leaves the cluster's networks is masqueraded, and a ClusterIP is in none of them.
    sources = (loss.flow.client.address, *sorted(node_facts.underlay_addresses(case, node)))
    bare = list(bare_frames(case, node, sources, (reference.address,)))
    config = [f"{node}: {'; '.join(gaps[-1])}", *compared]
    full = sum(frames.count for frames in bare) >= minimum_counter_growth(loss)
    always = all(gaps)
    yield error_finding(
        case,
        loss,
        KUBE_PROXY_RULE_MISSING,
        Confidence.CERTAIN if full and always else Confidence.LIKELY,
        f"{node} does not translate {_name(reference)} ({reference.address}): {gaps[-1][0]}",
        [*(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in config), *(frames.evidence() for frames in bare)],
        remediation=KUBE_PROXY_RULE_MISSING.remedy(node=node, address=reference.address),
        not_ruled_out=() if full else (f"an earlier drop on {node}: the packets were not seen with the ClusterIP behind it",),
    )


def _tells(facts: NodeFacts) -> bool:
    """Whether the look can say what kube-proxy has made: not where its rules are nft's own (their maps are not read), nor without any."""
    return facts.proxy_mode == "ipvs" or (facts.proxy_mode != "nftables" and node_facts.answered(facts, "iptables"))


def _gaps(facts: NodeFacts, loss: Loss, reference: ServiceRef) -> tuple[str, ...]:
    """What is missing between the Service's port and its endpoints, in words."""
    if facts.proxy_mode == "ipvs":
        wanted = (loss.flow.protocol, reference.address)
        servers = [server for server in facts.ipvs if (server.protocol, server.address) == wanted and reference.port in (None, server.port)]
        return () if any(server.backends for server in servers) else (f"IPVS has no server behind {reference.address}:{reference.port}",)
    known_portals = _portals(facts, loss, reference)
    if not known_portals:
        return (f"no rule of kube-proxy names {reference.address} port {reference.port}",)
    # The first backend of iptables that translates does so for good: a gap in one of two is none where the other is whole.
    if any(not portal.faults for portal in known_portals):
        return ()
    return tuple(fault for portal in known_portals for fault in portal.faults)


def _elsewhere(case: Case, loss: Loss, reference: ServiceRef) -> Iterator[str]:
    """What the other nodes of the trace have for the same Service."""
    for facts in case.recording.after:
        if facts.node == loss.start.tap.node:
            continue
        for portal in _portals(facts, loss, reference):
            if portal.targets and not portal.faults:
                yield f"{facts.node}: {portal.chain} translates it to {', '.join(portal.targets)}"
