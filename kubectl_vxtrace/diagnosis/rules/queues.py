"""Rules that hand packets to a queue: the kernel drops them where no process reads it (net/netfilter/nf_queue.c)."""

import re

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case

QUEUEING = frozenset({"NFQUEUE", "QUEUE"})
"""Targets of iptables-extensions(8), and nft's `queue` as the facts have it."""

_NUMBER = re.compile(r"--queue-(?:num|balance)\s+(\d+)(?::(\d+))?")
_NFT_RANGE = re.compile(r'"range":\[(\d+),(\d+)\]')
_NFT_NUMBER = re.compile(r'"num":(\d+)')


def is_bypassed(rule: Rule) -> bool:
    """Whether packets go on where nobody reads the queue."""
    return "--queue-bypass" in rule.text or '"bypass"' in rule.text


def queue_numbers(rule: Rule) -> range:
    """The queues that a rule hands packets to; 0 where it names none (iptables-extensions(8), NFQUEUE)."""
    found = _NUMBER.search(rule.text) or _NFT_RANGE.search(rule.text) or _NFT_NUMBER.search(rule.text)
    if found is None:
        return range(1)
    last = found[2] if found.re.groups > 1 and found[2] is not None else found[1]
    return range(int(found[1]), int(last) + 1)


def takes_packets(case: Case, node: str, rule: Rule) -> bool:
    """Whether what a rule hands to a queue is lost: a queue of its that nobody read in the last look, or one that dropped meanwhile."""
    last, first = node_facts.after(case, node), node_facts.before(case, node)
    if is_bypassed(rule) or last is None or not node_facts.answered(last, "nfqueue"):
        return False
    return bool(unread_queues(last, rule)) or _dropped(last, rule) > (_dropped(first, rule) if first is not None else 0)


def unread_queues(facts: NodeFacts, rule: Rule) -> tuple[int, ...]:
    """The rule's queues that no process reads."""
    read = {listener.number for listener in facts.queue_listeners}
    return tuple(number for number in queue_numbers(rule) if number not in read)


def _dropped(facts: NodeFacts, rule: Rule) -> int:
    """What the readers of the rule's queues could not take."""
    numbers = queue_numbers(rule)
    return sum(listener.dropped + listener.lost for listener in facts.queue_listeners if listener.number in numbers)
