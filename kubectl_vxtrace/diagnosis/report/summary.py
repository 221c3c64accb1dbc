"""The one line that a report starts with."""

from collections.abc import Sequence

from kubectl_vxtrace.diagnosis.evidence.answers import unanswered_text
from kubectl_vxtrace.diagnosis.evidence.asked_ends import clients_of, frames_of_ends, sent_instead, targets_of
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import strayed
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind, losses_of
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Flow
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Completeness, Finding, Impact, Verdict


def summarise(case: Case, verdict: Verdict, impact: Impact, completeness: Completeness, top: Finding | None) -> str:
    """What happened, how many of how many packets, of how many backends, and where. `top`: what names the cause."""
    losses = losses_of(case)
    if verdict in (Verdict.DROPPED, Verdict.LOST, Verdict.REJECTED, Verdict.UNANSWERED) and losses:
        text = _loss_text(case, verdict, _main(losses, top), losses)
        return f"{text}; every lost segment arrived in another copy" if impact is Impact.RECOVERED else text
    if verdict is Verdict.NO_TRAFFIC:
        return f"NO TRAFFIC, no packet{_asked(case)} was seen in {case.recording.duration_s:g} s{_closed(case)}{_instead(case)}"
    if not case.paths and (frames := list(frames_of_ends(case))):
        most = max(frames, key=lambda one: one.count)
        where = f"{most.count} x {most.text} at {most.place}"
        return f"{verdict.value.upper()}, frames between the ends were seen but could not be followed: {where}"
    if verdict in (Verdict.LOST, Verdict.UNDETERMINED) and (away := [count for flow in case.flows for count in strayed(case, flow)]):
        seen = ", ".join(f"{count.packets} x {count.tuple} at {count.node}/{count.interface}" for count in away)
        return f"{verdict.value.upper()}, requests were seen away from their path alone: {seen}"
    text = _counts(case, verdict) if top is None else f"{_counts(case, verdict)}; {top.summary}"
    if not completeness.complete:
        blind = completeness.blind[0]
        text += f"; not complete: {blind.reason}"
    return text


def _asked(case: Case) -> str:
    """Who was to ask whom."""
    clients, targets = clients_of(case), targets_of(case)
    return f" from {', '.join(clients)} to {', '.join(targets[:3])}{' ...' if len(targets) > 3 else ''}" if clients and targets else ""


def _instead(case: Case) -> str:
    """What the client's interface saw of it meanwhile."""
    other = sent_instead(case)
    return "" if other is None else f"; the client sent {other.count} other packets, most as {other.text}"


def _closed(case: Case) -> str:
    """Clients' own interfaces that are down or absent: nothing can come from behind those."""
    firsts = {path.hops[0].tap for path in case.recording.paths if path.direction is Direction.REQUEST and path.hops}
    captures = [capture for capture in case.recording.captures if capture.task.tap in firsts and capture.status is CaptureStatus.ZERO]
    return "".join(f"; {capture.reason} on {capture.task.tap.node}" for capture in captures if capture.reason is not None)


def _main(losses: Sequence[Loss], top: Finding | None) -> Loss:
    """The loss that the top finding explains, else the one with most packets."""
    if top is not None:
        for loss in losses:
            if loss.place == top.place:
                return loss
    return max(losses, key=lambda loss: loss.packets)


def _loss_text(case: Case, verdict: Verdict, main: Loss, losses: Sequence[Loss]) -> str:
    direction = main.path.direction
    same = [loss for loss in losses if loss.path.direction is direction]
    hurt = sum(loss.packets for loss in same)
    total = _total(case, direction)
    word = verdict.value.upper()
    places = {_where(loss) for loss in losses}
    more = f" and {len(places) - 1} other place{'s' if len(places) > 2 else ''}" if len(places) > 1 else ""
    noun = direction_noun(direction, total)
    if all(flow.asks_next_hop for flow in case.flows):
        noun = f"{main.flow.protocol} {noun}"
    beside = "".join(f"; {text}" for loss in same if (text := unanswered_text(case, loss)) is not None)
    return f"{word}, {hurt} of {total} {noun}{_backends(case, losses)}, {_where(main)}{_whose(main)}{more}{beside}"


def _whose(loss: Loss) -> str:
    """That the packets come from an address that is not their sender's; nothing otherwise."""
    return f", from {loss.flow.client.address}, which is not the pod's" if loss.flow.foreign else ""


def _where(loss: Loss) -> str:
    if loss.kind is LossKind.REFUSED:
        return f"by the server behind {place_text(loss.start)}"
    if loss.kind is LossKind.SILENT:
        return f"without a reply at {place_text(loss.start)}"
    if loss.end is None:
        return f"after {place_text(loss.start)}"
    return f"between {place_text(loss.start)} and {place_text(loss.end)}"


def _backends(case: Case, losses: Sequence[Loss]) -> str:
    """` (1 of 2 backends)`; nothing for a single one. Packets whose backend is not known are said to be such."""
    servers = {_server(flow) for flow in case.flows if not flow.asks_next_hop}
    hurt = {_server(loss.flow) for loss in losses if not loss.flow.asks_next_hop}
    known = len(servers - {None})
    parts = [f"{len(hurt - {None})} of {known} backends"] if known > 1 and hurt - {None} else []
    parts += ["backend unknown"] if None in hurt else []
    return f" ({', '.join(parts)})" if parts else ""


def _server(flow: Flow) -> str | None:
    """The backend's address: one pod is one backend, whatever it is asked."""
    return None if flow.server is None else flow.server.address


def _counts(case: Case, verdict: Verdict) -> str:
    requests, replies = _total(case, Direction.REQUEST), _total(case, Direction.REPLY)
    backends = len({_server(flow) for flow in case.flows} - {None})
    over = f" over {backends} backends" if backends > 1 else ""
    counted = f"{requests} {direction_noun(Direction.REQUEST, requests)} and {replies} {direction_noun(Direction.REPLY, replies)}"
    return f"{verdict.value.upper()}, {counted}{over}"


def _total(case: Case, direction: Direction) -> int:
    return sum(int(traced.journeys.weight_packets.sum()) for traced in case.paths if traced.path.direction is direction)
