"""Where a node's own rules and routes lead packets past the way that the overlay has for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss
from kubectl_vxtrace.model.facts import NodeFacts, Route, RouteLookup, RoutingRule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversion:
    """The kernel's `answer` for a packet, the `rule` that asks another table than main for it, and the `line` of the table behind it.

    prefix: the address, with its length, on the interface of the answer that made such a line, None where no address did.
    otherwise: the line that is taken without it, where that is known to be the right one.
    """

    node: str
    answer: RouteLookup
    rule: RoutingRule | None
    line: Route | None
    prefix: str | None = None
    otherwise: Route | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Rule and line, each as a sentence."""
        by_rule = () if self.rule is None else (f"ip rule of {self.node}: {rule_text(self.rule)}",)
        by_line = () if self.line is None else (f"the line behind that: {routes.line_text(self.line)}",)
        return (*by_rule, *by_line)

    @property
    def reason(self) -> str:
        """What diverts the packets, for a summary."""
        if self.rule is not None:
            return f"ip rule {rule_text(self.rule)}"
        return f"route {routes.line_text(self.line)}" if self.line is not None else f"table {self.answer.table}"

    def fix(self, target: str) -> str:
        """The commands that take away what diverts the packets for `target`, and nothing else."""
        if self.rule is not None:
            before, delete = self.rule.priority - 1, f"ip rule del pref {self.rule.priority} {self.rule.text}"
            # Bundles of older versions have `action prohibit`, which ip(8) does not take.
            return f"ip rule add to {target} lookup main pref {before} (keeps the rule for all else), or {delete}".replace(" action ", " ")
        if self.prefix is not None and self.answer.device is not None:
            return (
                f"ip addr del {self.prefix} dev {self.answer.device}, and give {self.answer.device} a network outside the pods' addresses"
            )
        if self.line is None or (self.line.destination == "default" and self.otherwise is None):
            table = "" if self.answer.table is None else f" table {self.answer.table}"
            return f"ip route add {target} dev {self.answer.device}{table}"
        return f"ip route del {routes.line_text(self.line)}"


# Tables that every node has a rule for, behind all others (ip-rule(8)).
_OF_EVERY_NODE = ("default", "local")


def rule_text(rule: RoutingRule) -> str:
    """A rule as `ip rule` prints it."""
    return f"{rule.priority}: {rule.text}"


def diversion(case: Case, answer: RouteLookup, node: str, sources: Sequence[str]) -> Diversion | None:
    """What makes `node` answer so for a packet from one of `sources`: a rule, or a line of the table main that is narrower than one to
    a VXLAN device. None where neither does: then the way itself is missing; and where the CNI itself encrypts between the nodes."""
    facts = node_facts.looks(case, node)[-1]
    if routes.is_refused(answer) or answer.type != "unicast" or answer.table in _OF_EVERY_NODE or _is_encrypted_way(facts, answer):
        return None
    lines = routes.lines_for(facts, answer.destination)
    line = next((line for line in lines if line.table == answer.table and line.device == answer.device), None)
    if answer.table is not None:
        return Diversion(node=node, answer=answer, rule=_rule(facts, answer, sources), line=line)
    if line is None or not _has_other_way(facts, lines, line):
        return None
    return Diversion(node=node, answer=answer, rule=None, line=line, prefix=_prefix(facts, line))


def outer_diversion(case: Case, node: str, outer: str) -> Diversion | None:
    """What takes encapsulated packets for `outer`, an address in a network that `node` is directly in, to a gateway; None if nothing
    does in the last look. Without a question for the device's own packets, the answer for packets from the node's address counts."""
    told = node_facts.looks(case, node)
    answer = outer_answer(told[-1], node_facts.underlay_addresses(case, node), outer) if told else None
    if answer is None or answer.gateway in (None, outer) or not is_on_link(told[-1], answer, outer):
        return None
    return _of_answer(told[-1], node, answer)


def tunnel_diversion(case: Case, node: str, taken: str, meant: str, target: str, sources: Sequence[str]) -> Diversion | None:
    """What leads packets for `target` to the VXLAN device `taken` of `node`, whose routes else lead to the VXLAN device `meant`: a rule
    or a line. None where not all looks say so, or where no route leads to `meant`."""
    told, answers = node_facts.looks(case, node), routes.answers(case, node, target, sources)
    if not answers or any(routes.is_refused(answer) or answer.device != taken for answer in answers):
        return None
    facts, answer = told[-1], answers[-1]
    lines = (line for line in routes.lines_for(facts, target) if (line.table, line.device) == (answer.table, taken))
    line, rule = next(lines, None), _rule(facts, answer, sources)
    if (line is None and rule is None) or not any(_is_way(route, meant) for route in facts.routes):
        return None
    return Diversion(node=node, answer=answer, rule=rule, line=line, otherwise=_covered_by(facts, target, meant))


def _is_way(route: Route, device: str) -> bool:
    return route.device == device and route.gateway is not None and route.type == "unicast" and route.table is None


def _covered_by(facts: NodeFacts, target: str, device: str) -> Route | None:
    """The narrowest line of the table main that leads to `target` by that device."""
    return next((line for line in routes.lines_for(facts, target) if _is_way(line, device)), None)


def outer_detour(case: Case, node: str, nic: str, outer: str) -> Diversion | None:
    """The rule that leads encapsulated packets for `outer` out by another interface than `nic`, or that refuses them; None if none does."""
    told = node_facts.looks(case, node)
    answer = outer_answer(told[-1], node_facts.underlay_addresses(case, node), outer) if told else None
    if answer is None or (answer.device == nic and not routes.is_refused(answer)):
        return None
    diverted = _of_answer(told[-1], node, answer)
    return diverted if diverted.rule is not None else None


def _of_answer(facts: NodeFacts, node: str, answer: RouteLookup) -> Diversion:
    lines = [line for line in routes.lines_for(facts, answer.destination) if line.table == answer.table]
    sources = [text for text in (answer.source, answer.preferred_source) if text is not None]
    line = next((line for line in lines if (line.gateway, line.device) == (answer.gateway, answer.device)), None)
    rule = _refusing_rule(facts, answer, sources) if routes.is_refused(answer) else _rule(facts, answer, sources)
    return Diversion(node=node, answer=answer, rule=rule, line=line)


def refusal(case: Case, loss: Loss, segment: AnySegment, target: str) -> Diversion | None:
    """The rule of the node by which it refuses packets of a loss for `target`: it does so itself (`prohibit`), or asks a table of its own
    with such a line. None where an earlier rule has a way for them, or where none is known to be for them."""
    node, protocol = segment.start.tap.node, loss.flow.protocol
    told = node_facts.looks(case, node)
    if not told:
        return None
    facts, family = told[-1], 6 if ":" in target else 4
    answer = routes.forwarded_lookup(facts, target, loss.senders) or RouteLookup(destination=target, error="not asked")
    for rule in sorted(facts.routing_rules, key=lambda rule: rule.priority):
        if rule.family != family or rule.table in _OF_EVERY_NODE or not _is_for(rule, target, loss.senders, segment.start.tap.interface):
            continue
        if rule.protocol not in (None, protocol) or (rule.ports is not None and not _asks_for(loss, *rule.ports)):
            continue
        if rule.action in routes.REFUSING:
            return Diversion(node=node, answer=answer, rule=rule, line=None)
        table = None if rule.table == "main" else rule.table
        line = next((line for line in routes.lines_for(facts, target) if line.table == table), None) if rule.table is not None else None
        if line is not None and line.type != "throw":
            refuses = line.type in routes.REFUSING and table is not None
            return Diversion(node=node, answer=answer, rule=rule, line=line) if refuses else None
    return None


def _is_for(rule: RoutingRule, target: str, sources: Sequence[str], device: str) -> bool:
    """Whether a rule is for packets without a mark that come in by `device`. One that holds for others, or suppresses lines, is not."""
    is_plain = rule.mark is None and rule.output is None and not rule.inverted and "suppress" not in rule.text
    return is_plain and rule.input in (None, device) and _concerns(rule, target, sources)


def _asks_for(loss: Loss, first: int, last: int) -> bool:
    """Whether packets of a loss are for one of those ports; replies are for the client's, which no rule names."""
    ends = (loss.flow.server, *loss.flow.candidates) if loss.path.direction is Direction.REQUEST else ()
    return any(end is not None and end.port is not None and first <= end.port <= last for end in ends)


def _refusing_rule(facts: NodeFacts, answer: RouteLookup, sources: Sequence[str]) -> RoutingRule | None:
    """The first rule that takes such packets away, or that asks a table with a line that does."""
    taking = {line.table for line in routes.lines_for(facts, answer.destination) if line.type in routes.REFUSING and line.table is not None}
    rules = (rule for rule in facts.routing_rules if rule.action in routes.REFUSING or rule.table in taking)
    return next((rule for rule in rules if rule.mark is None and not rule.inverted and _concerns(rule, answer.destination, sources)), None)


def outer_answer(facts: NodeFacts, own: frozenset[str], outer: str) -> RouteLookup | None:
    """Where a look has the way of an unmarked encapsulated packet to `outer`."""
    asked = [lookup for lookup in facts.outer_lookups if lookup.destination == outer and lookup.mark is None]
    plain = [lookup for lookup in facts.lookups if lookup.destination == outer and lookup.source in own]
    return next(iter([*asked, *plain]), None)


def is_on_link(facts: NodeFacts, answer: RouteLookup, address: str) -> bool:
    """Whether the node has an address in the same network as `address` on the interface that the answer names (RFC 1122, 3.3.1.1)."""
    link = facts.link(answer.device) if answer.device is not None else None
    prefixes = [prefix for prefix in link.prefixes if not prefix.endswith(("/32", "/128"))] if link is not None else []
    return node_facts.covers(prefixes, address)


def _rule(facts: NodeFacts, answer: RouteLookup, sources: Sequence[str]) -> RoutingRule | None:
    """The first rule that leads such a packet to the table of the kernel's answer; None for the tables that every node has."""
    if answer.table is None:
        return None
    family = 6 if ":" in answer.destination else 4
    rules = (rule for rule in facts.routing_rules if rule.table == answer.table and rule.family == family and not rule.inverted)
    told = (rule for rule in rules if rule.mark is None or answer.mark is not None)
    return next((rule for rule in told if _concerns(rule, answer.destination, sources)), None)


def _concerns(rule: RoutingRule, destination: str, sources: Sequence[str]) -> bool:
    to_it = rule.destination is None or node_facts.covers((rule.destination,), destination)
    return to_it and (rule.source is None or any(node_facts.covers((rule.source,), source) for source in sources))


def _has_other_way(facts: NodeFacts, lines: Sequence[Route], line: Route) -> bool:
    """Whether the table main has a wider line to a VXLAN device than the one that is taken, which is none of the CNI's own."""
    others = [other for other in lines if other.table is None and other is not line and other.destination != "default"]
    return line.destination != "default" and any(_is_vxlan(facts, other.device) for other in others) and not _is_vxlan(facts, line.device)


def _is_encrypted_way(facts: NodeFacts, answer: RouteLookup) -> bool:
    """Whether the answer leads to a peer of a WireGuard device that is for that address: Calico sends pods there by a rule of its own
    (felix/wireguard/wireguard.go)."""
    link = facts.link(answer.device) if answer.device is not None else None
    peers = [peer for peer in facts.wireguard if peer.device == answer.device]
    return link is not None and link.kind == "wireguard" and any(node_facts.covers(peer.allowed, answer.destination) for peer in peers)


def _is_vxlan(facts: NodeFacts, device: str | None) -> bool:
    link = facts.link(device) if device is not None else None
    return link is not None and link.vxlan is not None


def _prefix(facts: NodeFacts, line: Route) -> str | None:
    """The address with its length that made a line for a connected network, None where an address did not make it."""
    link = facts.link(line.device) if line.device is not None else None
    network = routes.network_of(line.destination, line.destination.split("/")[0])
    if link is None or network is None or line.gateway is not None:
        return None
    return next((prefix for prefix in link.prefixes if routes.network_of(prefix, prefix.split("/")[0]) == network), None)
