"""Routing tables and rules, what the kernel learned about ways, and its own answers (`ip -j route get`, in batches)."""

import re
from dataclasses import replace

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.reading import Record, child, children, documents, number, records, refused_lines, strings, text
from kubectl_vxtrace.model.facts import Route, RouteException, RouteLookup, RoutingRule

_ASKED = re.compile(
    r"route get (\S+)(?: from (\S+))?(?: iif (\S+))?(?: oif (\S+))?(?: ipproto (\S+) dport (\d{1,5}))?(?: mark (0x[0-9a-f]{1,8}))?"
)


def read_routes(raw: bytes) -> tuple[Route, ...]:
    """All routes; a multipath route gives one for each next hop.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found: list[Route] = []
    for record in records(raw):
        destination = text(record, "dst")
        if destination is not None:
            found += [_route(destination, record, hop) for hop in children(record, "nexthops") or [record]]
    return tuple(found)


def _route(destination: str, record: Record, hop: Record) -> Route:
    return Route(
        destination=destination,
        type=text(record, "type") or "unicast",
        gateway=_gateway(hop),
        device=text(hop, "dev"),
        table=_table(record),
        metric=number(record, "metric"),
        mtu_bytes=_mtu(record),
        preferred_source=text(record, "prefsrc"),
        protocol=text(record, "protocol"),
        scope=text(record, "scope"),
        flags=tuple(dict.fromkeys(strings(record, "flags") + strings(hop, "flags"))),
    )


def read_exceptions(raw: bytes) -> tuple[RouteException, ...]:
    """What `ip -j route show cache` lists: since Linux 3.6 only next hops' exceptions, for IPv6 clones as well (those say nothing here).

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found = []
    for record in records(raw):
        destination = text(record, "dst")
        exception = RouteException(
            destination=destination or "",
            gateway=_gateway(record),
            device=text(record, "dev"),
            mtu_bytes=_mtu(record),
            expires_s=number(record, "expires"),
        )
        if destination is not None and (exception.mtu_bytes is not None or "redirected" in strings(record, "cache")):
            found.append(exception)
    return tuple(found)


def read_routing_rules(raw: bytes, *, family: int) -> tuple[RoutingRule, ...]:
    """The rules of `ip -j rule show`; `family` is 4 or 6.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    return tuple(_routing_rule(record, family) for record in records(raw) if number(record, "priority") is not None)


def _routing_rule(record: Record, family: int) -> RoutingRule:
    """`{"priority":99,"src":"10.1.0.0","srclen":16,"fwmark":"0x1","fwmask":"0xff","iif":"ens4","table":"100"}`; "not" has no value."""
    protocol, goto = text(record, "ipproto"), number(record, "goto")
    mark = text(record, "fwmark")
    if mark is not None and (mask := text(record, "fwmask")) is not None:
        mark = f"{mark}/{mask}"
    return RoutingRule(
        priority=number(record, "priority") or 0,
        family=family,
        source=_prefix(record, "src"),
        destination=_prefix(record, "dst"),
        input=text(record, "iif"),
        output=text(record, "oif"),
        mark=mark,
        table=text(record, "table"),
        action=text(record, "action") or ("goto" if goto is not None else None),
        goto=goto,
        protocol=protocol.upper() if protocol else None,
        ports=_ports(record),
        inverted="not" in record,
        text=" ".join(_words(record)),
    )


def _ports(record: Record) -> tuple[int, int] | None:
    """The destination ports of a rule: `"dport":53`, or `"dport_start":53,"dport_end":60`."""
    single, first, last = (number(record, name) for name in ("dport", "dport_start", "dport_end"))
    if single is not None:
        return single, single
    return None if first is None or last is None else (first, last)


def _prefix(record: Record, name: str) -> str | None:
    address, length = text(record, name), number(record, f"{name}len")
    if address in (None, "all"):
        return None
    return address if length is None else f"{address}/{length}"


def _words(record: Record) -> list[str]:
    """The selectors and the action of a rule, in the tool's order."""
    words = []
    for name, value in record.items():
        if name in ("priority", "srclen", "dstlen", "fwmask", "protocol"):
            continue
        if name == "fwmark" and "fwmask" in record:
            value = f"{value}/{record['fwmask']}"
        if name in ("src", "dst"):
            value = _prefix(record, name) or "all"
        if name == "action":
            name, value = str(value), None
        words.append({"src": "from", "dst": "to", "table": "lookup"}.get(name, name) + (f" {value}" if value is not None else ""))
    return words


def _table(record: Record) -> str | None:
    table = text(record, "table")
    return None if table == "main" else table


def _mtu(record: Record) -> int | None:
    """A route's own MTU; with `lock` iproute2 writes it as text in places, which is then not one."""
    return next((value for metric in children(record, "metrics") if (value := number(metric, "mtu")) is not None), None)


def _gateway(record: Record) -> str | None:
    """The next hop; one of another family stands in `via`."""
    return text(record, "gateway") or text(child(record, "via"), "host")


def read_lookups(asked: bytes, stdout: bytes, stderr: bytes) -> tuple[RouteLookup, ...]:
    """The answers to a batch of `route get` lines, in their order.

    Args:
        asked: the batch, one question a line.
        stdout: one JSON array for each question that the kernel answered.
        stderr: for each that it refused, its reason and the line's number.

    Raises:
        UnreadableError: answers and questions do not add up.
    """
    questions = [_question(match) for line in asked.decode("ascii", "replace").splitlines() if (match := _ASKED.fullmatch(line))]
    refused = refused_lines(stderr)
    answers = iter(documents(stdout))
    found = []
    for line, asked_for in enumerate(questions, 1):
        if line in refused:
            found.append(replace(asked_for, error=refused[line]))
            continue
        answer = next(answers, None)
        if not isinstance(answer, list) or not answer or not isinstance(answer[0], dict):
            raise UnreadableError("fewer answers than questions")
        found.append(_lookup(asked_for, answer[0]))
    if next(answers, None) is not None:
        raise UnreadableError("more answers than questions")
    return tuple(found)


def _question(match: re.Match[str]) -> RouteLookup:
    destination, source, device, lower, protocol, port, mark = match.groups()
    return RouteLookup(
        destination=destination,
        source=source,
        input=device,
        output=lower,
        protocol=protocol.upper() if protocol else None,
        port=int(port) if port else None,
        mark=mark,
    )


def _lookup(asked_for: RouteLookup, answer: Record) -> RouteLookup:
    return replace(
        asked_for,
        type=text(answer, "type") or "unicast",
        gateway=_gateway(answer),
        device=text(answer, "dev"),
        preferred_source=text(answer, "prefsrc"),
        mtu_bytes=_mtu(answer),
        table=_table(answer),
    )
