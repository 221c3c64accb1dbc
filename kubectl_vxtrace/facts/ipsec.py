"""IPsec: `ip -s xfrm policy list` and `ip -s xfrm state list nokeys`. Keys are never asked for, and nothing here reads one."""

import re
from itertools import pairwise

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.model.datapath import IpsecPolicy, IpsecState

# Each entry begins at the margin: "src 10.128.0.0/24 dst 10.128.1.0/24 proto udp dport 4789 uid 0".
_ENTRY = re.compile(r"^(?=src )", re.MULTILINE)
_SELECTOR = re.compile(r"src (\S+) dst (\S+)((?: \S+)*)\s*")
_DIRECTION = re.compile(r"^\s+dir (in|out|fwd) (.*)$", re.MULTILINE)
_TEMPLATE = re.compile(r"^\s+tmpl src (\S+) dst (\S+)\s*\n\s+proto (\S+) .*?mode (\S+)", re.MULTILINE)
_STATE = re.compile(r"^\s+proto (\S+) spi (0x[0-9a-f]{1,8})\S* .*?mode (\S+)", re.MULTILINE)
_CURRENT = re.compile(r"lifetime current:\s+\d{1,20}\(bytes\), (\d{1,19})\(packets\)")
_REFUSED = re.compile(r"replay-window \d+ replay (\d{1,10}) failed (\d{1,10})")


def read_policies(raw: bytes) -> tuple[IpsecPolicy, ...]:
    """The policies for packets; those of single sockets are left out.

    Raises:
        UnreadableError: it is not that tool's output.
    """
    return tuple(policy for entry in _entries(raw) if (policy := _policy(entry)) is not None)


def read_states(raw: bytes) -> tuple[IpsecState, ...]:
    """The security associations.

    Raises:
        UnreadableError: it is not that tool's output.
    """
    return tuple(state for entry in _entries(raw) if (state := _state(entry)) is not None)


def _entries(raw: bytes) -> list[str]:
    text = raw.decode("utf-8", "replace")
    first, *rest = _ENTRY.split(text)
    if first.strip():
        raise UnreadableError("not the output of ip xfrm")
    return rest


def _policy(entry: str) -> IpsecPolicy | None:
    head, _, rest = entry.partition("\n")
    selector, direction = _SELECTOR.fullmatch(head), _DIRECTION.search(rest)
    if selector is None or direction is None:
        return None
    words, way = selector[3].split(), direction[2].split()
    templates = _TEMPLATE.findall(rest)
    tunnel = next(((source, destination) for source, destination, _, mode in templates if mode == "tunnel"), None)
    return IpsecPolicy(
        source=selector[1],
        destination=selector[2],
        direction=direction[1],
        action=_after(way, "action") or "allow",
        priority=_number(_after(way, "priority")) or 0,
        protocol=_after(words, "proto"),
        source_port=_number(_after(words, "sport")) or None,
        destination_port=_number(_after(words, "dport")) or None,
        tunnel=tunnel,
        transforms=tuple(f"{protocol} {mode}" for _, _, protocol, mode in templates),
        packets=_packets(rest),
        selector=head.strip(),
    )


def _state(entry: str) -> IpsecState | None:
    head, _, rest = entry.partition("\n")
    ends, kind = _SELECTOR.fullmatch(head), _STATE.search(rest)
    if ends is None or kind is None:
        return None
    refused = _REFUSED.search(rest)
    return IpsecState(
        source=ends[1],
        destination=ends[2],
        protocol=kind[1],
        spi=kind[2],
        mode=kind[3],
        packets=_packets(rest),
        replayed=int(refused[1]) if refused else None,
        failed=int(refused[2]) if refused else None,
    )


def _packets(text: str) -> int | None:
    counted = _CURRENT.search(text)
    return int(counted[1]) if counted else None


def _after(words: list[str], name: str) -> str | None:
    """The word that follows `name`; options and their values take turns, but for some that the tool prints without one."""
    return next((value for word, value in pairwise(words) if word == name), None)


def _number(word: str | None) -> int | None:
    return int(word) if word is not None and word.isdecimal() and len(word) < 11 else None
