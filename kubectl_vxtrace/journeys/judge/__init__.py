"""What became of the packets of each flow, and what each hop saw of them.

context          what all paths share
counted          which packets are counted
contradictions   witnesses that packets contradict
doubts           hops behind programs that may have taken packets
handed_past      packets that a program hands to the pod past its interface's tap
arrivals         how far packets have come though no tap saw them there: answered means arrived
asked_form       replies that come back in another form than was asked for
foreign_macs     frames at a pod's interface that are for another MAC address than the pod's
node_ends        what a node's own socket did not take, though it came to the last tap
outcomes         delivered, lost or undetermined
rejections       answered by an RST or an ICMP error
hop_counts       what each hop saw
leg_tallies      what each leg did to packets, and how long that took
next_hops        pods that ask for their next hop in vain, and so send nothing
selection        which packets a report lists
"""

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judge.arrivals import answers_to, hidden_sockets, passed_by_rejections
from kubectl_vxtrace.journeys.judge.asked_form import untranslated
from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.judge.contradictions import begun_elsewhere, bridged_locally, contradicted
from kubectl_vxtrace.journeys.judge.counted import after_last_frame, counted, under_way
from kubectl_vxtrace.journeys.judge.doubts import doubts_of
from kubectl_vxtrace.journeys.judge.foreign_macs import for_another_mac
from kubectl_vxtrace.journeys.judge.handed_past import handed_past
from kubectl_vxtrace.journeys.judge.hop_counts import hop_counts, unexpected_counts
from kubectl_vxtrace.journeys.judge.leg_tallies import leg_into_node, leg_tallies, open_leg
from kubectl_vxtrace.journeys.judge.node_ends import not_taken
from kubectl_vxtrace.journeys.judge.outcomes import (
    Outcomes,
    mark_lost_at_end,
    mark_merged_acks,
    mark_undetermined,
    outcomes_of,
    possibly_resegmented,
)
from kubectl_vxtrace.journeys.judge.rejections import mark_rejected
from kubectl_vxtrace.journeys.match.trajectories import Trajectories, merging_hops, reference_times
from kubectl_vxtrace.journeys.records import Candidate, CandidatePath, Testimony
from kubectl_vxtrace.model.journeys import JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role, Tap
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN


def judge_flow(
    context: Context, paths: Sequence[CandidatePath], matched: Sequence[Trajectories], ended: Set[Tap] = frozenset()
) -> list[TracedPath]:
    """All paths of one flow, each with its packets: outcomes of requests depend on what the replies say.

    ended: taps whose files had provably ended before others did; see counted.ended_before_others.
    """
    if context.recording.request is not None and context.recording.request.filter is not None:
        matched = _picked(matched)
    by_direction = {packets.frames.path.direction: packets for packets in matched}
    judged = []
    for path, packets in zip(paths, matched, strict=True):
        traced = _judge_path(context, path, packets, by_direction.get(path.frames.path.direction.reverse), ended)
        if path.candidate.flow.server is None and path.frames.path.direction is Direction.REPLY and not len(traced.journeys):
            continue
        judged.append(traced)
    return judged


def _picked(matched: Sequence[Trajectories]) -> list[Trajectories]:
    """What the user's filter picked, which the capture applied to what the client sends at its first hop; and the replies to that."""
    is_request = [packets.frames.path.direction is Direction.REQUEST for packets in matched]
    at_client = [packets.client_port[packets.first == 0] for packets, request in zip(matched, is_request, strict=True) if request]
    ports = np.concatenate(at_client or [np.zeros(0, np.int32)])
    return [
        packets.take(np.flatnonzero(packets.first == 0 if request else np.isin(packets.client_port, ports)))
        for packets, request in zip(matched, is_request, strict=True)
    ]


def _judge_path(context: Context, path: CandidatePath, packets: Trajectories, back: Trajectories | None, ended: Set[Tap]) -> TracedPath:
    is_request = path.frames.path.direction is Direction.REQUEST
    is_beginning = is_request and path.candidate.flow.server is None
    answers = answers_to(packets, back, path.candidate.flow.protocol, context.clocks, is_beginning=is_beginning)
    passed = np.where(answers.proven, np.int32(packets.frame.shape[1] + 1), np.int32(0))
    hops = path.frames.path.hops
    if is_request:
        last_is_witness = bool(hops) and context.testimony_of(hops[-1].tap).witness
        rejected = passed_by_rejections(packets, context.quoted, path.candidate.group, last_is_witness=last_is_witness)
        passed = np.maximum(passed, rejected)
    # Outside the window a hop's capture may not have run yet, or not any more: what it missed there says nothing of it.
    steady = [context.clocks.steady(hop.tap.node) for hop in path.frames.path.hops]
    is_counted = counted(packets, context.window, steady, ended, under_way(context.window, packets, context.clocks))
    handed, past = handed_past(context, hops, packets, is_counted)
    passed = np.where(handed, np.int32(len(hops) + 1), passed)
    testimonies = _testimonies(context, path, packets, passed, is_counted)
    if past is not None:
        testimonies[-1] = replace(testimonies[-1], witness=False, reason=past)
    witness = [testimony.witness for testimony in testimonies]
    arrives = _arrives(path.candidate.flow, path.frames.path, back)
    outcomes = _outcomes(context, path.candidate, packets, passed, is_counted, witness, arrives=arrives)
    mark_undetermined(outcomes, answers.alike | hidden_sockets(packets, answers, outcomes.lost_to), OutcomeCode.LOST)
    if not is_request:
        mark_lost_at_end(outcomes, untranslated(context, packets, back), len(witness))
    if is_request:
        mark_rejected(packets, back, outcomes, context.quoted, path.candidate.group, context.clocks)
    if witness and witness[-1] and (back is None or _starts_at_witness(context, back)):
        foreign = for_another_mac(context, packets, path.frames.path.receiver(path.candidate.flow), back if is_request else None)
        mark_lost_at_end(outcomes, foreign, len(witness))
    if _tells_what_it_took(path) and witness[-1] and _starts_at_witness(context, back):
        mark_lost_at_end(outcomes, not_taken(packets, back, context.clocks), len(witness))
    inside = np.flatnonzero(is_counted)
    inside = inside[np.argsort(reference_times(packets, context.clocks)[inside], kind="stable")]
    chosen = packets.take(inside)
    journeys = _journeys(chosen, outcomes, inside)
    legs = leg_tallies(chosen, journeys, passed[inside], witness, context.clocks)
    if not is_request or path.candidate.flow.server is None:
        legs += open_leg(chosen, journeys)
    else:
        legs += leg_into_node(chosen, journeys)
    return TracedPath(
        flow=path.candidate.flow,
        path=path.frames.path,
        journeys=journeys,
        hops=hop_counts(chosen, context, testimonies) + unexpected_counts(path.unexpected, path.frames.path, context),
        legs=legs,
    )


def _tells_what_it_took(path: CandidatePath) -> bool:
    """Whether the path ends at a socket of the last hop's node, or at the client's pod, whose TCP acknowledges what it takes.

    What a server's pod leaves without an answer is its own matter: that is said of the flow.
    """
    flow, way = path.candidate.flow, path.frames.path
    return way.ends_in_node(flow) or (way.direction is Direction.REPLY and way.ends_at_receiver(flow) and way.hops[-1].role is Role.POD)


def _starts_at_witness(context: Context, back: Trajectories | None) -> bool:
    """Whether what comes back would have been seen where it begins."""
    hops = back.frames.path.hops if back is not None else ()
    return bool(hops) and context.testimony_of(hops[0].tap).witness


def _testimonies(
    context: Context, path: CandidatePath, packets: Trajectories, passed: I32, is_counted: NDArray[np.bool_]
) -> list[Testimony]:
    """The testimonies of a path's hops, less those that the packets contradict, and those behind a program that may have taken some."""
    hops = path.frames.path.hops
    testimonies = [context.testimony_of(hop.tap) for hop in hops]
    witness = [testimony.witness for testimony in testimonies]
    noticed = packets.seen | bridged_locally(packets, path.candidate.flow)
    missed = contradicted(noticed[is_counted], passed[is_counted], witness)
    if hops and testimonies[0].witness and not any(tap == hops[0].tap for tap, _ in context.entered):
        missed = (begun_elsewhere(packets, is_counted), *missed[1:])  # it saw nothing of any flow: the interface is another's
    doubts = doubts_of(context, hops, packets, passed, is_counted, witness)
    return [
        _less(testimony, f"did not see {count} packets that hops {'before and after' if index else 'behind'} it saw" if count else doubt)
        for index, (testimony, count, doubt) in enumerate(zip(testimonies, missed, doubts, strict=True))
    ]


def _less(testimony: Testimony, reason: str | None) -> Testimony:
    return testimony if reason is None or not testimony.witness else replace(testimony, witness=False, reason=reason)


def _arrives(flow: Flow, path: Path, back: Trajectories | None) -> bool:
    """Whether packets that the last hop saw have arrived.

    Where that is not on the receiver's node (it is outside the cluster, or nobody captured there), requests have if anything answered, and
    nothing is known of replies.
    """
    if path.ends_at_receiver(flow):
        return True
    return path.direction is Direction.REQUEST and flow.server is not None and back is not None and bool(len(back))


def _outcomes(
    context: Context,
    candidate: Candidate,
    packets: Trajectories,
    passed: I32,
    is_counted: NDArray[np.bool_],
    witness: Sequence[bool],
    *,
    arrives: bool,
) -> Outcomes:
    """The outcome of each packet of a path, before anything is known of rejections. `arrives`: what its last hop saw has arrived."""
    is_beginning = candidate.flow.server is None and packets.frames.path.direction is Direction.REQUEST
    next_taps = [
        context.testimony_of(tap).witness and not _is_next_doubted(context, packets, passed, is_counted, witness, tap)
        for tap in candidate.next_taps
    ]
    continues_at_witnesses = is_beginning and bool(next_taps) and all(next_taps)
    outcomes = outcomes_of(packets.seen, passed, witness, arrives=arrives, continues_at_witnesses=continues_at_witnesses)
    for tap in candidate.next_taps if continues_at_witnesses else ():
        # Of a file of others nothing says that it was still written then.
        mark_undetermined(outcomes, after_last_frame(context.window, packets, tap), OutcomeCode.LOST)
    if packets.frames.tcp:
        flags = packets.flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)
        mark_merged_acks(outcomes, (packets.largest_payload_bytes == 0) & (flags == TCP_ACK), merging_hops(packets))
    else:
        mark_undetermined(outcomes, possibly_resegmented(outcomes, packets, is_counted, witness), OutcomeCode.LOST)
    if not packets.frames.comparable or candidate.group in context.undecided:
        mark_undetermined(outcomes, np.ones(len(packets), dtype=np.bool_), OutcomeCode.LOST)
    mark_undetermined(outcomes, packets.undecided, OutcomeCode.LOST, OutcomeCode.DELIVERED)
    return outcomes


def _is_next_doubted(
    context: Context, packets: Trajectories, passed: I32, is_counted: NDArray[np.bool_], witness: Sequence[bool], tap: Tap
) -> bool:
    """Whether a program may have taken packets before the tap that comes next behind a path of which only the beginning is known."""
    hops = packets.frames.path.hops
    beyond = Hop(hop=len(hops) + 1, role=context.role_of(tap), tap=tap)
    return doubts_of(context, (*hops, beyond), packets, passed, is_counted, (*witness, True))[-1] is not None


def _journeys(packets: Trajectories, outcomes: Outcomes, which: NDArray[np.intp]) -> JourneyTable:
    """The journeys of `packets`; `which` are their rows in `outcomes`."""
    row = np.empty_like(packets.frame)
    for hop, frames in enumerate(packets.frames.hops):
        row[:, hop] = np.append(frames.row, np.int32(-1))[packets.frame[:, hop]]  # -1, unseen, is the index of what is appended
    table = JourneyTable(
        path=packets.frames.path,
        row=row,
        outcome=outcomes.code[which],
        lost_from=outcomes.lost_from[which],
        lost_to=outcomes.lost_to[which],
        weight_packets=packets.weight,
        client_port=packets.client_port,
        time_ns=packets.time_ns,
    )
    for column in (table.row, table.outcome, table.lost_from, table.lost_to, table.weight_packets, table.client_port, table.time_ns):
        column.setflags(write=False)
    return table
