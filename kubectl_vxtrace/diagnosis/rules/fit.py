"""Whether the text of a packet filter rule can match certain packets, and which rule excludes them from connection tracking.

Only literal matches are read: addresses, ports, protocol, interfaces. Everything else (sets, marks, states) counts as possible: the
rule's own counter says what it matched, the text only says which packets cannot have been among them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address, ip_network

from kubectl_vxtrace.model.facts import NodeFacts, Rule

# Of the raw table (iptables-extensions(8), NOTRACK and CT --notrack; nft(8), notrack).
_CHAINS = frozenset({"PREROUTING", "OUTPUT"})


class Fit(IntEnum):
    """EXCLUDES: cannot match the packets. ALLOWS: nothing speaks against it. NAMES: an address or port of the packets stands in it."""

    EXCLUDES = 0
    ALLOWS = 1
    NAMES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is known of the packets. Addresses and ports hold all that they have before and after translation; empty means unknown."""

    protocol: str
    sources: frozenset[str] = frozenset()
    destinations: frozenset[str] = frozenset()
    source_ports: frozenset[int] = frozenset()
    destination_ports: frozenset[int] = frozenset()
    inputs: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()

    @property
    def version(self) -> int | None:
        """4 or 6, None where no address is known."""
        address = next(iter(self.destinations or self.sources), None)
        return None if address is None else 6 if ":" in address else 4


@dataclass(frozen=True, slots=True)
class Match:
    """One literal match of a rule: a field of Traits, the values it lists, and whether it is negated."""

    name: str
    values: tuple[str, ...]
    negated: bool = False


_IPTABLES = {
    "-s": "sources",
    "--source": "sources",
    "-d": "destinations",
    "--destination": "destinations",
    "-p": "protocol",
    "--protocol": "protocol",
    "-i": "inputs",
    "--in-interface": "inputs",
    "-o": "outputs",
    "--out-interface": "outputs",
    "--dport": "destination_ports",
    "--dports": "destination_ports",
    "--destination-port": "destination_ports",
    "--destination-ports": "destination_ports",
    "--sport": "source_ports",
    "--sports": "source_ports",
    "--source-port": "source_ports",
    "--source-ports": "source_ports",
}
_NFT = {
    "saddr": "sources",
    "daddr": "destinations",
    "sport": "source_ports",
    "dport": "destination_ports",
    "iifname": "inputs",
    "iif": "inputs",
    "oifname": "outputs",
    "oif": "outputs",
    "l4proto": "protocol",
    "protocol": "protocol",
    "nexthdr": "protocol",
}
_NFT_TEXT = re.compile(
    r"(?:\b(?P<family>ip6?|udp|tcp|th|meta)\s+)?\b(?P<field>saddr|daddr|sport|dport|iifname|oifname|iif|oif|l4proto|protocol|nexthdr)\s+"
    r"(?P<not>!=\s*)?(?P<value>\{[^}]*\}|\"[^\"]*\"|\S+)"
)
# Words of iptables-save: what stands in quotes is no option.
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_PORTS = re.compile(r"([0-9]{1,5})(?:[:-]([0-9]{1,5}))?")


# Matches of iptables that only select what is read literally, or nothing at all; what nft lists for the others.
_PLAIN_MODULES = frozenset({"comment", "udp", "tcp", "icmp", "icmp6", "multiport", "addrtype"})
_NFT_MORE = re.compile(r"(@\S+|\b(?:ct|mark|length|limit|numgen|fib|quota|cgroup|socket|flags)\b)")


def unread(text: str) -> tuple[str, ...]:
    """What a rule asks for besides the literal matches that `fit` reads: modules of iptables, words of nft."""
    if re.search(r"(^|\s)-[-a-z]", text):
        found = re.findall(r"(?:^|\s)-m (\S+)", re.sub(r'"[^"]*"', "", text))
        return tuple(dict.fromkeys(name for name in found if name not in _PLAIN_MODULES))
    return tuple(dict.fromkeys(_NFT_MORE.findall(re.sub(r'"[^"]*"', "", text))))


# What an nft rule does besides asking for something.
_NFT_STATEMENTS = re.compile(
    r"\b(?:counter(?: name \S+)?|log(?: (?:null|\{.*\}))?|drop|accept|return|(?:jump|goto) \S+|reject(?: with \S+(?: \S+)?)?)(?=\s|$)"
)


def is_literal(text: str) -> bool:
    """Whether the literal matches that `fit` reads are all that a rule asks for, so that it takes whatever fits."""
    if text == "policy":
        return True
    if re.search(r"(^|\s)-[-a-z]", text):
        return not unread(text) and not re.search(r"--(?:tcp-flags|tcp-option|syn|icmp-type|icmpv6-type|dst-type|src-type|limit)\b", text)
    return "@" not in text and not _NFT_STATEMENTS.sub("", _NFT_TEXT.sub("", text)).strip()


def fit(text: str, traits: Traits) -> Fit:
    """How a rule's text fits packets with these traits. Accepts the words of iptables-save and of nft; never raises."""
    best = Fit.ALLOWS
    for match in _matches(text):
        verdict = _judge(match, traits)
        if verdict is Fit.EXCLUDES:
            return verdict
        best = max(best, verdict)
    return best


def _matches(text: str) -> Iterator[Match]:
    if re.search(r"(^|\s)-[-a-z]", text):
        yield from _iptables_matches(text)
    else:
        yield from _nft_matches(text)


def _iptables_matches(text: str) -> Iterator[Match]:
    words = [(bare, bare or quoted) for quoted, bare in _WORD.findall(text)]
    for (before, _), (option, _), (_, value) in zip([("", ""), *words], words, words[1:], strict=False):
        if option in _IPTABLES:
            yield Match(_IPTABLES[option], tuple(value.split(",")), before == "!")


def _nft_matches(text: str) -> Iterator[Match]:
    for found in _NFT_TEXT.finditer(text):
        if found["family"] in ("udp", "tcp"):
            yield Match("protocol", (found["family"],))
        values = tuple(value.strip().strip('"') for value in found["value"].strip("{}").split(","))
        yield Match(_NFT[found["field"]], tuple(value for value in values if value), found["not"] is not None)


def _judge(match: Match, traits: Traits) -> Fit:
    if match.name == "protocol":
        return Fit.ALLOWS if _protocol(match, traits.protocol) else Fit.EXCLUDES
    known: frozenset[str] | frozenset[int] = getattr(traits, match.name)
    if not known or not match.values:
        return Fit.ALLOWS
    verdicts = [_any(_covers(match.name, value, trait) for value in match.values) for trait in known]
    if match.negated:
        return Fit.EXCLUDES if all(verdict is True for verdict in verdicts) else Fit.ALLOWS
    if all(verdict is False for verdict in verdicts):
        return Fit.EXCLUDES
    named = match.name not in ("inputs", "outputs") and any(verdict is True for verdict in verdicts)
    return Fit.NAMES if named and not any(value.endswith("/0") for value in match.values) else Fit.ALLOWS


def _covers(name: str, value: str, trait: str | int) -> bool | None:
    if isinstance(trait, int):
        return _covers_port(value, trait)
    return _covers_name(value, trait) if name in ("inputs", "outputs") else _covers_address(value, trait)


def _any(verdicts: Iterator[bool | None]) -> bool | None:
    """Three-valued or: a value that could not be read leaves it open."""
    seen = list(verdicts)
    if any(verdict is True for verdict in seen):
        return True
    return None if any(verdict is None for verdict in seen) else False


def _protocol(match: Match, protocol: str) -> bool:
    names = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmp", "icmpv6": "icmp", "ipv6-icmp": "icmp"}
    values = {names.get(value.lower(), value.lower()) for value in match.values}
    if not values or values & {"all", "0", "ip", "ip6"}:
        return True
    return (protocol.lower() in values) is not match.negated


def _covers_address(value: str, address: str) -> bool | None:
    try:
        first, dash, last = value.partition("-")
        wanted = ip_address(address)
        if dash:
            low, high = ip_address(first), ip_address(last)
            return low.version == wanted.version and int(low) <= int(wanted) <= int(high)
        return wanted in ip_network(value, strict=False)
    except ValueError:
        return None


def _covers_port(value: str, port: int) -> bool | None:
    bounds = _PORTS.fullmatch(value)
    return None if bounds is None else int(bounds[1]) <= port <= int(bounds[2] or bounds[1])


def _covers_name(value: str, name: str) -> bool:
    if value.endswith(("+", "*")):
        return name.startswith(value[:-1])
    return value == name


def untracking(facts: NodeFacts, traits: Traits) -> Rule | None:
    """The rule of a node that excludes packets with these traits from tracking; None where none does, or one before accepts them.

    Only rules that name an address or port of the packets count: what else a rule asks for is not read. Of iptables' raw table the first
    rule that fits decides in each chain.
    """
    decided: set[tuple[str, str]] = set()
    for rule in facts.rules:
        chain = rule.backend, rule.chain
        is_raw = rule.table == "raw" and rule.chain in _CHAINS
        if not (is_raw or rule.target == "NOTRACK") or chain in decided or fit(rule.text, traits) is not Fit.NAMES:
            continue
        if rule.target == "NOTRACK" or (rule.target == "CT" and "--notrack" in rule.text):
            return rule
        if rule.target == "ACCEPT":
            decided.add(chain)
    return None
