"""Requests to an address of a node that the node itself translates and sends on: it is not the server that they are for.

A hostPort (the portmap plug-in), a node port (kube-proxy) and a published port (Docker) are rules of nat at PREROUTING: what they
translate the node forwards (Linux net/netfilter/nf_nat_core.c; netfilter's hooks in nf_inet_hooks).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind, Onward, OpenSegment, SegmentKind
from kubectl_vxtrace.diagnosis.rules.chains import MOST_NESTED, Chain, Chains
from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits, fit
from kubectl_vxtrace.diagnosis.rules.traits import traits
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Service
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Endpoint

_IPTABLES = re.compile(r"--to-destination (?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?(?:\s|$)")
_NFT_ADDRESS, _NFT_PORT = re.compile(r'"addr":"(?P<address>[0-9a-fA-F:.]+)"'), re.compile(r'"port":(?P<port>[0-9]{1,5})\b')
_Target = tuple[str, int | None]


def with_onward(case: Case, losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """`losses`, those of requests that the node at which they end sends on with where to, and with what comes next in place of a socket."""
    return tuple(_sent_on(case, loss) for loss in losses)


def _sent_on(case: Case, loss: Loss) -> Loss:
    last, is_request = loss.segments[-1], loss.path.direction is Direction.REQUEST
    if loss.kind is LossKind.REFUSED or last.kind is not SegmentKind.DELIVER or not is_request or not loss.path.ends_in_node(loss.flow):
        return loss
    onward = _onward(case, loss)
    if onward is None:
        return loss
    # IPVS takes packets away from INPUT (net/netfilter/ipvs/ip_vs_core.c); all else translates before the node looks whose they are.
    facts = node_facts.after(case, last.start.tap.node)
    if facts is not None and facts.proxy_mode == "ipvs":
        return replace(loss, onward=onward)
    return replace(loss, onward=onward, segments=(*loss.segments[:-1], OpenSegment(kind=SegmentKind.FORWARD, start=last.start)))


def _onward(case: Case, loss: Loss) -> Onward | None:
    """Where the node sends on what was asked of it: by its rules, its connections, or, where neither is known, what the API has of a node
    port. None where nothing says that it does."""
    server, node = loss.flow.server, loss.start.tap.node
    if server is None:
        return None
    own, last, first = node_facts.all_addresses(case, node), node_facts.after(case, node), node_facts.before(case, node)
    service = _service(case.recording.snapshot, server, loss.flow.protocol)
    name = service.full_name if service is not None else None
    if last is not None:
        wanted = traits(case, loss, loss.segments[-1])
        for found in (_by_rules(first, last, wanted), _by_proxy(last, server, loss.flow.protocol), _by_connection(last, server, loss)):
            targets = tuple(dict.fromkeys(target for target, _ in found if target[0] not in own))
            if targets:
                text = next(text for target, text in found if target == targets[0])
                return Onward(targets=targets, text=f"{node} translates it: {text}", service=name, devices=_devices(last, targets))
    if service is None:
        return None
    return Onward(
        targets=tuple(dict.fromkeys((backend.address, backend.port) for backend in service.backends if backend.ready)),
        text=f"{server.port}/{loss.flow.protocol} is a node port of {name}",
        service=name,
    )


def _service(snapshot: ClusterSnapshot | None, server: Endpoint, protocol: str) -> Service | None:
    """The Service of whose node ports that is one, unless a pod in the node's network has it itself."""
    if snapshot is None or server.pod is not None or server.port is None:
        return None
    asked = server.port, protocol
    return next((each for each in snapshot.services for port in each.ports if (port.node_port, port.protocol) == asked), None)


def _by_rules(first: NodeFacts | None, last: NodeFacts, wanted: Traits) -> list[tuple[_Target, str]]:
    """The targets of rules that translate such packets at PREROUTING, each with the rule; what stood still translated none of them."""
    before = {} if first is None else {rule.id: rule.packets for rule in first.rules}
    chains = Chains.of(rule for rule in last.rules if rule.backend == "nft" or rule.table == "nat")
    roots = chains.bases({"prerouting"})
    found: list[tuple[_Target, str]] = []
    for root in sorted((chain for chain in chains.rules if chain in roots), key=lambda chain: chain[0] != "nft"):
        for rule, named in _reached(chains, root, wanted, before, named=False, above=frozenset()):
            target = _target(rule) if named else None
            if target is not None:
                found.append((target, f"{rule.chain} {rule.text}"))
    return found


def _reached(
    chains: Chains, chain: Chain, wanted: Traits, before: dict[str, int | None], *, named: bool, above: frozenset[Chain]
) -> Iterator[tuple[Rule, bool]]:
    """The translating rules to which such packets can come from a chain; whether a rule on the way names an address or port of theirs."""
    for rule in chains.rules.get(chain, ()):
        has_stood_still = rule.packets is not None and rule.packets == before.get(rule.id)
        how = fit(rule.text, wanted)
        if how is Fit.EXCLUDES or has_stood_still:
            continue
        told = named or how is Fit.NAMES
        if rule.target == "DNAT":
            yield rule, told
        elif rule.target is not None:
            called = (*chain[:2], rule.target)
            if called not in above and called != chain and len(above) < MOST_NESTED:
                yield from _reached(chains, called, wanted, before, named=told, above=above | {chain})


def _target(rule: Rule) -> _Target | None:
    if rule.backend != "nft":
        found = _IPTABLES.search(rule.text)
        return None if found is None else (found["v6"] or found["v4"], int(found["port"]) if found["port"] else None)
    address, port = _NFT_ADDRESS.search(rule.text), _NFT_PORT.search(rule.text)
    return None if address is None else (address["address"], int(port["port"]) if port is not None else None)


def _by_proxy(facts: NodeFacts, server: Endpoint, protocol: str) -> list[tuple[_Target, str]]:
    """The backends that kube-proxy's nftables have for the port of the node."""
    return [
        (backend, f"kube-proxy's map of node ports leads {one.port}/{one.protocol} to {one.chain or one.service}")
        for one in facts.service_translations
        if (one.kind, one.port, one.protocol) == ("node-port", server.port, protocol)
        for backend in one.backends
    ]


def _by_connection(facts: NodeFacts, server: Endpoint, loss: Loss) -> list[tuple[_Target, str]]:
    """Where connections of the client to the asked address and port lead."""
    asked = loss.flow.protocol, server.address, server.port
    return [
        ((entry.reply_source, entry.reply_source_port), f"a connection from {entry.original_source} to it leads to {entry.reply_source}")
        for entry in facts.conntrack
        if (entry.protocol, entry.original_destination, entry.original_destination_port) == asked
        and entry.original_source == loss.flow.client.address
    ]


def _devices(facts: NodeFacts, targets: Collection[_Target]) -> tuple[str, ...]:
    """The interfaces by which the node sends to `targets`; none where that is not known of all."""
    found = []
    for address, _ in targets:
        answers = [one.device for one in facts.lookups if one.destination == address and one.device is not None]
        lines = [line.device for line in routes.lines_for(facts, address)[:1] if line.table is None and line.device is not None]
        found += (answers or lines)[:1] or [""]
    return () if "" in found else tuple(dict.fromkeys(found))


def behind_translation(loss: Loss, wanted: Traits, hooks: Collection[str]) -> Traits:
    """The traits that a rule at one of `hooks` sees of packets that the node has sent on: behind PREROUTING the translated ones alone."""
    onward = loss.onward
    is_late = loss.segments[-1].kind is SegmentKind.FORWARD and not {"ingress", "prerouting"} & set(hooks)
    if onward is None or not onward.targets or not is_late:
        return wanted
    return replace(wanted, destinations=frozenset(onward.addresses), destination_ports=_ports(onward.targets) or wanted.destination_ports)


def backwards(wanted: Traits) -> Traits:
    """The traits of the answers to packets."""
    return replace(
        wanted,
        sources=wanted.destinations,
        destinations=wanted.sources,
        source_ports=wanted.destination_ports,
        destination_ports=wanted.source_ports,
        inputs=wanted.outputs,
        outputs=wanted.inputs,
    )


def _ports(targets: Sequence[_Target]) -> frozenset[int]:
    return frozenset(port for _, port in targets if port is not None)
