"""Routing tables (`ip -j route show table all`) and the kernel's own answers (`ip -j route get`, in batches)."""

import re

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.reading import Record, child, children, documents, records, text
from kubectl_vxtrace.model.facts import Route, RouteLookup

_ASKED = re.compile(r"route get (\S+)(?: from (\S+))?(?: iif (\S+))?")
# iproute2 says why on the line before: "RTNETLINK answers: Network is unreachable" / "Command failed FILE:3" (or "-:3").
_FAILED = re.compile(r"Command failed .*:(\d{1,6})")


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
        table=text(record, "table"),
    )


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
    questions = [match.groups() for line in asked.decode("ascii", "replace").splitlines() if (match := _ASKED.fullmatch(line))]
    refused = _refusals(stderr.decode("utf-8", "replace"))
    answers = iter(documents(stdout))
    found = []
    for line, (destination, source, device) in enumerate(questions, 1):
        if line in refused:
            found.append(RouteLookup(destination=destination, source=source, input=device, error=refused[line]))
            continue
        answer = next(answers, None)
        if not isinstance(answer, list) or not answer or not isinstance(answer[0], dict):
            raise UnreadableError("fewer answers than questions")
        found.append(_lookup(destination, source, device, answer[0]))
    if next(answers, None) is not None:
        raise UnreadableError("more answers than questions")
    return tuple(found)


def _refusals(stderr: str) -> dict[int, str]:
    refused = {}
    reason = ""
    for line in stderr.splitlines():
        match = _FAILED.search(line)
        if match:
            refused[int(match[1])] = reason or "refused"
            reason = ""
        else:
            reason = line.removeprefix("RTNETLINK answers: ").strip()
    return refused


def _lookup(destination: str, source: str | None, device: str | None, answer: Record) -> RouteLookup:
    return RouteLookup(
        destination=destination,
        source=source,
        input=device,
        type=text(answer, "type") or "unicast",
        gateway=_gateway(answer),
        device=text(answer, "dev"),
        preferred_source=text(answer, "prefsrc"),
    )
