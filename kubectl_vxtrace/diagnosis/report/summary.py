"""The one line that a report starts with."""

from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.unanswered import beside_text
from kubectl_vxtrace.diagnosis.losses import Kind, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Flow
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Completeness, Finding, Impact, Verdict


def summarise(case: Case, verdict: Verdict, impact: Impact, completeness: Completeness, top: Finding | None) -> str:
    """What happened, how many of how many packets, of how many backends, and where."""
    found = list(troubles(case))
    if verdict in (Verdict.DROPPED, Verdict.LOST, Verdict.REJECTED, Verdict.UNANSWERED) and found:
        text = _trouble_text(case, verdict, _main(found, top), found)
        return f"{text}; every lost segment arrived in another copy" if impact is Impact.RECOVERED else text
    if verdict is Verdict.NO_TRAFFIC:
        return f"NO TRAFFIC, no packet was seen in {case.recording.duration_s:g} s{_closed(case)}"
    text = _counts(case, verdict)
    if not completeness.complete:
        blind = completeness.blind[0]
        text += f"; not complete: {blind.reason}"
    return text


def _closed(case: Case) -> str:
    """Clients' own interfaces that are down or absent: nothing can come from behind those."""
    firsts = {path.hops[0].tap for path in case.recording.paths if path.direction is Direction.REQUEST and path.hops}
    shut = [
        one for one in case.recording.captures if one.task.tap in firsts and one.status is CaptureStatus.ZERO and one.reason is not None
    ]
    return "".join(f"; {one.reason} on {one.task.tap.node}" for one in shut)


def _main(found: list[Trouble], top: Finding | None) -> Trouble:
    """The trouble that the top finding explains, else the one with most packets."""
    if top is not None:
        for trouble in found:
            if (trouble.flow.id, trouble.path.direction, trouble.leg) == (top.flow, top.direction, top.leg):
                return trouble
    return max(found, key=lambda trouble: trouble.packets)


def _trouble_text(case: Case, verdict: Verdict, main: Trouble, found: list[Trouble]) -> str:
    direction = main.path.direction
    same = [trouble for trouble in found if trouble.path.direction is direction]
    hurt = sum(trouble.packets for trouble in same)
    total = _total(case, direction)
    word = verdict.value.upper()
    places = {_where(trouble) for trouble in found}
    more = f" and {len(places) - 1} other place{'s' if len(places) > 2 else ''}" if len(places) > 1 else ""
    noun = direction_noun(direction, total)
    beside = "".join(f"; {text}" for trouble in same if (text := beside_text(case, trouble)) is not None)
    return f"{word}, {hurt} of {total} {noun}{_backends(case, found)}, {_where(main)}{_whose(main)}{more}{beside}"


def _whose(trouble: Trouble) -> str:
    """That the packets come from an address that is not their sender's; nothing otherwise."""
    return f", from {trouble.flow.client.address}, which is not the pod's" if trouble.flow.foreign else ""


def _where(trouble: Trouble) -> str:
    if trouble.kind is Kind.REFUSED:
        return f"by the server behind {place_text(trouble.start)}"
    if trouble.kind is Kind.SILENT:
        return f"without a reply at {place_text(trouble.start)}"
    if trouble.end is None:
        return f"behind {place_text(trouble.start)}"
    return f"between {place_text(trouble.start)} and {place_text(trouble.end)}"


def _backends(case: Case, found: list[Trouble]) -> str:
    """` (1 of 2 backends)`; nothing for a single one. Packets whose backend nobody named are said to be such."""
    servers = {_server(flow) for flow in case.flows}
    hurt = {_server(trouble.flow) for trouble in found}
    known = len(servers - {None})
    parts = [f"{len(hurt - {None})} of {known} backends"] if known > 1 and hurt - {None} else []
    parts += ["backend unknown"] if None in hurt else []
    return f" ({', '.join(parts)})" if parts else ""


def _server(flow: Flow) -> tuple[str, int | None] | None:
    return None if flow.server is None else (flow.server.address, flow.server.port)


def _counts(case: Case, verdict: Verdict) -> str:
    requests, replies = _total(case, Direction.REQUEST), _total(case, Direction.REPLY)
    backends = len({_server(flow) for flow in case.flows} - {None})
    over = f" over {backends} backends" if backends > 1 else ""
    counted = f"{requests} {direction_noun(Direction.REQUEST, requests)} and {replies} {direction_noun(Direction.REPLY, replies)}"
    return f"{verdict.value.upper()}, {counted}{over}"


def _total(case: Case, direction: Direction) -> int:
    return sum(int(traced.journeys.weight_packets.sum()) for traced in case.paths if traced.path.direction is direction)
