"""Identity of packet filter rules: the same rule has the same id before and after."""

import hashlib
from collections import Counter
from dataclasses import replace

from kubectl_vxtrace.model.facts import Rule


def numbered(rules: list[Rule]) -> tuple[Rule, ...]:
    """`rules` with their ids: made of what the rule says and its ordinal among equals, so that an inserted rule moves no other's.

    The text is hashed, for it may be long; 64 bits are enough to tell the rules of one chain apart.
    """
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found = []
    for rule in rules:
        place = (rule.backend, rule.table, rule.chain, rule.text)
        digest = hashlib.sha256(rule.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        found.append(replace(rule, id=f"{rule.backend}/{rule.table}/{rule.chain}/{digest}/{seen[place]}"))
        seen[place] += 1
    return tuple(found)
