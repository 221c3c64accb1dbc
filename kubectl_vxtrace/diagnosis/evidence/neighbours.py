"""Next hops of a loss's packets, and what the nodes' neighbour tables have of them."""

from collections.abc import Callable

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.facts import Neighbour, NodeFacts, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop


def next_hops(case: Case, loss: Loss, device: Hop) -> tuple[str, ...]:
    """The next hops on `device` that the node's kernel named for the packets' destinations."""
    targets = loss.receivers
    gateways = {
        lookup.gateway or lookup.destination: None
        for facts in node_facts.looks(case, device.tap.node)
        for lookup in facts.lookups
        if lookup.destination in targets and lookup.device == device.tap.interface and _belongs(loss, lookup, device)
    }
    return tuple(gateways)


def _belongs(loss: Loss, lookup: RouteLookup, device: Hop) -> bool:
    """Whether a next hop may be where the lookup has it: on a VXLAN device, a gateway, or a pod of the node itself. A pod of another node
    is not behind this one's bridge, and the neighbour that does not answer is not what is wrong."""
    if node_facts.is_vxlan(device) or lookup.gateway is not None:
        return True
    return loss.home_of(lookup.destination) in (None, device.tap.node)


def usable_entry(facts: NodeFacts, address: str, device: str) -> Neighbour | None:
    """The usable neighbour entry of an address, or None: a failed or unfinished one is none."""
    return next(
        (
            entry
            for entry in facts.neighbours
            if (entry.address, entry.device) == (address, device) and entry.mac is not None and "FAILED" not in entry.states
        ),
        None,
    )


def looks_without(case: Case, node: str, question: str, present: Callable[[NodeFacts], bool]) -> tuple[int, int]:
    """In how many looks something was missing, of how many that could tell."""
    looks = [facts for facts in node_facts.looks(case, node) if node_facts.answered(facts, question)]
    return sum(not present(facts) for facts in looks), len(looks)
