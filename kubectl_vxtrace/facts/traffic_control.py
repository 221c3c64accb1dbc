"""Filters of `tc -s -j filter show`, asked in one batch."""

import json
import re

from kubectl_vxtrace.facts.reading import Record, child, children, json_text, number, refused_lines, text
from kubectl_vxtrace.model.datapath import TcFilter

_ASKED = re.compile(r"filter show dev (\S+) (ingress|egress)")
# Longer programs in the old bytecode are told by their beginning.
_MOST_INSTRUCTIONS = 8


def read_tc(asked: bytes, stdout: bytes, stderr: bytes) -> tuple[TcFilter, ...]:
    """The filters of each device and direction that was asked about, those that come first first.

    tc prints one line of JSON for each question. Where a filter's kind is printed otherwise, nothing can be said of that device's filters
    but that there may be some; where lines and questions do not add up, of none of the devices.

    Args:
        asked: the batch, one question a line.
        stdout: the answers.
        stderr: for each question that was refused (the device is gone), its line's number.
    """
    questions = [(match[1], match[2]) for line in asked.decode("ascii", "replace").splitlines() if (match := _ASKED.fullmatch(line))]
    refused = refused_lines(stderr)
    answered = [question for number_, question in enumerate(questions, 1) if number_ not in refused]
    lines = json_text(stdout).splitlines()
    if len(lines) != len(answered):
        return tuple(TcFilter(device=device, direction=direction, kind="unreadable") for device, direction in answered)
    return tuple(found for (device, direction), line in zip(answered, lines, strict=True) for found in _filters(device, direction, line))


def _filters(device: str, direction: str, line: str) -> list[TcFilter]:
    """Each filter is listed twice: the first record, without options, is the list that it stands in."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        return [TcFilter(device=device, direction=direction, kind="unreadable")]
    heads = [record for record in value if isinstance(record, dict) and text(record, "kind") is not None]
    whole = [record for record in heads if child(record, "options") and "ht_divisor" not in child(record, "options")]
    return [_filter(device, direction, record) for record in whole or heads]


def _filter(device: str, direction: str, record: Record) -> TcFilter:
    """`{"protocol":"all","pref":1,"kind":"bpf","options":{"bpf_name":"cal.o:[calico]","direct-action":true,"prog":{"id":41,"name":"x"}}}`"""
    options = child(record, "options")
    program = child(options, "prog")
    actions = children(options, "actions")
    dropped = [count for action in actions if (count := number(child(action, "stats"), "drops")) is not None]
    return TcFilter(
        device=device,
        direction=direction,
        kind=text(record, "kind") or "",
        priority=number(record, "pref"),
        protocol=text(record, "protocol"),
        name=text(options, "bpf_name") or text(program, "name") or _bytecode(child(options, "bytecode")),
        id=number(program, "id"),
        direct=options.get("direct-action") is True,
        actions=tuple(_action(action) for action in actions),
        dropped=sum(dropped) if dropped else None,
    )


def _bytecode(code: Record) -> str | None:
    """Old bytecode as tc(8) takes it: `1,6 0 0 2` is one instruction, return 2."""
    length, instructions = number(code, "length"), children(code, "insns")
    if length is None:
        return None
    words = [" ".join(str(number(each, name)) for name in ("code", "jt", "jf", "k")) for each in instructions[:_MOST_INSTRUCTIONS]]
    return ",".join([str(length), *words])


def _action(action: Record) -> str:
    kind = text(action, "kind") or "unknown"
    if kind == "gact":
        return text(child(action, "control_action"), "type") or kind
    if kind == "mirred":
        return " ".join(word for name in ("kind", "mirred_action", "to_dev") if (word := text(action, name)) is not None)
    return kind
