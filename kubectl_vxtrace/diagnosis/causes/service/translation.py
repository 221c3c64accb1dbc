"""Does the client's node translate the Service's address, and to a backend that is there?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.ends import frames_taken
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import IcmpAnswer, icmp_answers, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import Astray, bare_frames, frames_between
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Kind, Trouble, troubles
from kubectl_vxtrace.diagnosis.rules import proxy as proxy_rules
from kubectl_vxtrace.diagnosis.rules.proxy import Portal
from kubectl_vxtrace.model.cluster import Backend, Service
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, ServiceRef
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# RFC 792: port unreachable, kube-proxy's REJECT. RFC 4443, 3.1: the same in ICMPv6.
_PORT_UNREACHABLE = frozenset({(3, 3), (1, 4)})


def check(case: Case) -> Iterator[Finding]:
    """Findings about requests to a Service that vanished on the client's own node while nothing named their backend.

    `no-endpoints`: the node refuses them. `no-local-endpoints`: the Service's policy asks for a backend on that node. `stale-endpoint`:
    the node translates to an address that is no backend. `kube-proxy-rule-missing`: it does not translate. `nft-legacy-mix`: one of its
    two sets of rules does one of these, the other does not.
    """
    for trouble in troubles(case):
        first = trouble.kind is Kind.VANISHED and trouble.path.direction is Direction.REQUEST
        if not first or trouble.flow.server is not None or trouble.flow.service is None:
            continue
        refusals = [answer for answer in icmp_answers(case, trouble) if (answer.type, answer.code) in _PORT_UNREACHABLE]
        service = _service(case, trouble)
        ready = None if service is None else [backend for backend in service.backends if backend.ready]
        if refusals and not ready:
            yield _no_endpoints(case, trouble, refusals[0], known=ready is not None)
        elif service is not None and ready:
            yield from _no_local(case, trouble, service, ready)
            stale = list(_stale(case, trouble, trouble.flow.service, service))
            yield from stale
            if not stale:
                yield from _untranslated(case, trouble, trouble.flow.service)


def _service(case: Case, trouble: Trouble) -> Service | None:
    snapshot, reference = case.recording.snapshot, trouble.flow.service
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


def _no_endpoints(case: Case, trouble: Trouble, answer: IcmpAnswer, *, known: bool) -> Finding:
    name = _name(trouble.flow.service)
    text = f"{answer.count} x {answer.text} (port unreachable), seen at {place_text(answer.hop)}"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=answer.frames)]
    if known:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=f"the API names no ready endpoint of {name}"))
    confidence = Confidence.CERTAIN if known else Confidence.LIKELY
    return explain(
        case, trouble, "no-endpoints", confidence, f"{name} has no endpoints: {trouble.start.tap.node} refuses its packets", proofs
    )


def _no_local(case: Case, trouble: Trouble, service: Service, ready: Sequence[Backend]) -> Iterator[Finding]:
    node = trouble.start.tap.node
    if service.internal_traffic_policy != "Local" or any(backend.node == node for backend in ready):
        return
    others = sorted({backend.node for backend in ready if backend.node is not None})
    where = ", ".join(others) or "no known node"
    text = f"{service.full_name} has internalTrafficPolicy Local; ready endpoints are on {where}, none on {node}"
    yield explain(
        case,
        trouble,
        "no-local-endpoints",
        Confidence.LIKELY,
        f"{service.full_name} asks for an endpoint on {node}, and there is none",
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        not_ruled_out=(f"another drop on {node}: no counter of a rule speaks of it",),
    )


def _stale(case: Case, trouble: Trouble, reference: ServiceRef, service: Service) -> Iterator[Finding]:
    """The node's rules or connections lead to addresses that are no backend of the Service."""
    node, known = trouble.start.tap.node, {backend.address for backend in service.backends}
    facts = nodes.looks(case, node)[-1:]
    ruled = {target: portal for one in facts for portal in _portals(one, trouble, reference) for target in portal.targets}
    tracked = {address for one in facts for address in _tracked(one, trouble, reference)}
    wrong = sorted(address for address in {*ruled, *tracked} if address not in known)
    if not wrong:
        return
    seen = list(frames_between(case, node, (trouble.flow.client.address,), wrong))
    listed = f"the API has {', '.join(sorted(known)) or 'none'} behind {service.full_name}"
    where = [f"{ruled[address].backend} {ruled[address].chain} of {node} translates to {address}" for address in wrong if address in ruled]
    where += [f"a connection on {node} leads to {address}" for address in wrong if address in tracked]
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{'; '.join(where)}; {listed}"), *map(_sighting, seen)]
    full = max((one.count for one in seen), default=0) >= frames_taken(trouble)
    backends = {portal.backend for one in facts for portal in _portals(one, trouble, reference)}
    mixed = len(backends) > 1 and any(address in ruled for address in wrong)
    yield explain(
        case,
        trouble,
        "nft-legacy-mix" if mixed else "stale-endpoint",
        Confidence.CERTAIN if full else Confidence.LIKELY if seen or tracked & set(wrong) else Confidence.POSSIBLE,
        f"{node} translates {_name(reference)} to {', '.join(wrong)}, which is no endpoint of it",
        proofs,
        remediation=None if mixed else _stale_remedy(node, reference, wrong[0]),
        not_ruled_out=() if full else (f"a drop on {node} of packets to another endpoint",),
    )


def _stale_remedy(node: str, reference: ServiceRef, address: str) -> str:
    original = reference.address or "CLUSTERIP"
    return (
        f"Look: kubectl get endpointslices; on {node}: iptables-save -t nat | grep {address}; conntrack -L --orig-dst {original}. "
        f"Mend: conntrack -D --orig-dst {original} on {node}; restart kube-proxy there, and see in its log why it does not hear "
        "from the API."
    )


def _portals(facts: NodeFacts, trouble: Trouble, reference: ServiceRef) -> tuple[Portal, ...]:
    return () if reference.address is None else proxy_rules.portals(facts, reference.address, reference.port, trouble.flow.protocol)


def _tracked(facts: NodeFacts, trouble: Trouble, reference: ServiceRef) -> Iterator[str]:
    """To whom connection tracking sends the lost packets, by the client's ports: entries of others may be left from before."""
    ports = set(trouble.traced.journeys.client_port[trouble.rows].tolist())
    for entry in facts.conntrack:
        mine = (entry.original_source, entry.original_destination) == (trouble.flow.client.address, reference.address)
        if mine and entry.original_source_port in ports and entry.unreplied and entry.reply_source != reference.address:
            yield entry.reply_source


def _untranslated(case: Case, trouble: Trouble, reference: ServiceRef) -> Iterator[Finding]:
    """The node has no rule, or a broken one, for the Service's port."""
    node = trouble.start.tap.node
    looks = [facts for facts in nodes.looks(case, node) if _tells(facts)]
    gaps = [_gaps(facts, trouble, reference) for facts in looks]
    if not gaps or not gaps[-1] or reference.address is None:
        return
    compared = list(_elsewhere(case, trouble, reference))
    if looks[-1].proxy_mode != "ipvs" and not proxy_rules.has_portals(looks[-1]) and not compared:
        return
    # What leaves the cluster's networks is masqueraded, and a ClusterIP is in none of them.
    sources = (trouble.flow.client.address, *sorted(nodes.underlay_addresses(case, node)))
    bare = list(bare_frames(case, node, sources, (reference.address,)))
    config = [f"{node}: {'; '.join(gaps[-1])}", *compared]
    full = sum(one.count for one in bare) >= frames_taken(trouble)
    always = all(gaps)
    yield explain(
        case,
        trouble,
        "kube-proxy-rule-missing",
        Confidence.CERTAIN if full and always else Confidence.LIKELY,
        f"{node} does not translate {_name(reference)} ({reference.address}): {gaps[-1][0]}",
        [*(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in config), *map(_sighting, bare)],
        remediation=(
            f"Look on {node}: iptables-save -t nat | grep {reference.address} (ipvsadm -Ln in IPVS mode); kubectl -n kube-system logs of "
            f"its kube-proxy. Mend: restart kube-proxy on {node}; if something else flushes the rules, find it first."
        ),
        not_ruled_out=() if full else (f"an earlier drop on {node}: the packets were not seen with the ClusterIP behind it",),
    )


def _tells(facts: NodeFacts) -> bool:
    """Whether the look can say what kube-proxy has made: not where its rules are nft's own (their maps are not read), nor without any."""
    return facts.proxy_mode == "ipvs" or (facts.proxy_mode != "nftables" and nodes.answered(facts, "iptables"))


def _gaps(facts: NodeFacts, trouble: Trouble, reference: ServiceRef) -> tuple[str, ...]:
    """What is missing between the Service's port and its endpoints, in words."""
    if facts.proxy_mode == "ipvs":
        wanted = (trouble.flow.protocol, reference.address)
        found = [one for one in facts.ipvs if (one.protocol, one.address) == wanted and reference.port in (None, one.port)]
        return () if any(one.backends for one in found) else (f"IPVS has no server behind {reference.address}:{reference.port}",)
    found_portals = _portals(facts, trouble, reference)
    if not found_portals:
        return (f"no rule of kube-proxy names {reference.address} port {reference.port}",)
    # The first backend of iptables that translates does so for good: a gap in one of two is none where the other is whole.
    if any(not portal.faults for portal in found_portals):
        return ()
    return tuple(fault for portal in found_portals for fault in portal.faults)


def _elsewhere(case: Case, trouble: Trouble, reference: ServiceRef) -> Iterator[str]:
    """What the other nodes of the trace have for the same Service."""
    for facts in case.recording.after:
        if facts.node == trouble.start.tap.node:
            continue
        for portal in _portals(facts, trouble, reference):
            if portal.targets and not portal.faults:
                yield f"{facts.node}: {portal.chain} translates it to {', '.join(portal.targets)}"


def _sighting(one: Astray) -> Evidence:
    text = f"{one.count} x {one.text} at {one.tap.node}/{one.tap.interface}"
    return Evidence(kind=EvidenceKind.PACKETS, text=text, frames=one.frames)
