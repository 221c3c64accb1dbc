"""What tells the lost packets of a partial loss from those that passed: outer source port, size, backend, first packets, time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.diagnosis.evidence.segment_packets import SegmentPackets, packets_of_loss, segment_packets
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind, SegmentKind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Evidence, EvidenceKind, Finding, LossPlace, Severity

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Trait:
    """What one trait says: `text`, and in `open` what it does not rule out, None if it rules it out or proves it."""

    text: str
    open: str | None = None


def with_profiles(case: Case, findings: Sequence[Finding], losses: Sequence[Loss]) -> tuple[Finding, ...]:
    """`findings` with the profile of the loss in every error finding about packets of which others passed the same leg."""
    by_place = {loss.place: loss for loss in losses if loss.kind is LossKind.VANISHED}
    return tuple(_with_profile(case, finding, by_place) for finding in findings)


def _with_profile(case: Case, finding: Finding, losses: Mapping[LossPlace, Loss]) -> Finding:
    loss = losses.get(finding.place)
    if finding.severity is not Severity.ERROR or loss is None:
        return finding
    packets = _compared(case, loss)
    if not packets.lost.any() or packets.lost.all():
        return finding
    traits = profile(case, packets)
    lost, total = int(packets.weight[packets.lost].sum()), int(packets.weight.sum())
    text = f"loss profile, {lost} of {total} packets: " + "; ".join(trait.text for trait in traits)
    doubts = tuple(trait.open for trait in traits if trait.open is not None and trait.open not in finding.not_ruled_out)
    if CAUSES[finding.cause].gives_reason:
        doubts = ()
    evidence = (*finding.evidence, Evidence(kind=EvidenceKind.PACKETS, text=text))
    return replace(finding, evidence=evidence, not_ruled_out=(*finding.not_ruled_out, *doubts))


def _compared(case: Case, loss: Loss) -> SegmentPackets:
    """The packets to compare: on the wire those of all flows between the two NICs, else those of the loss's path."""
    segment = loss.segment(SegmentKind.WIRE)
    return segment_packets(case, segment) if segment is not None and len(loss.segments) == 1 else packets_of_loss(case, loss)


def profile(case: Case, packets: SegmentPackets) -> tuple[Trait, ...]:
    """What each trait says of a loss. Both lost and passed packets must be there."""
    return tuple(_traits(case, packets))


def _traits(case: Case, packets: SegmentPackets) -> Iterator[Trait]:
    if (packets.outer_port >= 0).all():
        yield _outer_ports(packets)
    yield _sizes(packets)
    if len(np.unique(packets.flow)) > 1:
        yield _backends(case, packets)
    yield _first_packets(packets)
    yield _times(packets)


def _outer_ports(packets: SegmentPackets) -> Trait:
    """A member of an ECMP or LAG group is chosen by the outer source port (RFC 7348, 5)."""
    ports, place = np.unique(packets.outer_port, return_inverse=True)
    gone = np.bincount(place.reshape(-1), weights=packets.lost, minlength=len(ports))
    total = np.bincount(place.reshape(-1), minlength=len(ports))
    whole, mixed = int((gone == total).sum()), int(((gone > 0) & (gone < total)).sum())
    if len(ports) == 1:
        return Trait("all have one outer source port", "a broken path of several: there is only one outer source port")
    text = f"of {len(ports)} outer source ports {whole} lost all, {mixed} some, {len(ports) - whole - mixed} none"
    if mixed:
        return Trait(f"{text} (no path of several is to blame)")
    if int(total.max()) == 1:
        return Trait(f"{text}, with one packet each", "a broken path of several: every outer source port has only one packet")
    return Trait(text, "a broken path of several: no outer source port has both lost and passing packets")


def _sizes(packets: SegmentPackets) -> Trait:
    lost, passed = packets.wire_bytes[packets.lost], packets.wire_bytes[~packets.lost]
    text = f"lost frames have {_span(lost)} bytes, passing ones {_span(passed)}"
    if lost.min() > passed.max():
        if judgement.largest_by_chance(len(lost), len(passed)) <= judgement.MAX_SIZE_OPEN_CHANCE:
            return Trait(f"{text}: only the larger ones are lost", "a limit on the size (MTU) on the way")
        return Trait(text, "a limit on the size (MTU) on the way")
    if lost.max() < passed.max():
        return Trait(f"{text} (larger ones pass: no limit on the size)")
    if passed.min() == passed.max() == lost.max() == lost.min():
        return Trait(f"all frames have {int(lost.max())} bytes (such a size passes: no limit on the size)")
    return Trait(f"{text} (the largest pass as well: no limit on the size)")


def _span(values: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _backends(case: Case, packets: SegmentPackets) -> Trait:
    servers = {flow.id: flow.server.address for flow in case.flows if flow.server is not None}
    texts, shares = [], []
    for number in np.unique(packets.flow).tolist():
        of_flow = packets.flow == number
        gone, total = int(packets.lost[of_flow].sum()), int(of_flow.sum())
        shares.append(gone / total)
        texts.append(f"{gone} of {total} with {servers.get(number, 'an unknown backend')}")
    text = "by backend " + ", ".join(texts)
    return Trait(text, "something about one backend" if max(shares) == 1 and min(shares) == 0 else None)


def _first_packets(packets: SegmentPackets) -> Trait:
    """Whether only first packets of connections are lost, or only later ones: what makes or keeps state treats them differently."""
    first = packets.first
    if first.all():
        return Trait("every packet is the first of its connection", "something that only hurts new connections: no later packet was sent")
    gone_first, gone_later = int((packets.lost & first).sum()), int((packets.lost & ~first).sum())
    text = f"lost are {gone_first} of {int(first.sum())} first packets of connections and {gone_later} of {int((~first).sum())} later ones"
    if gone_later == 0 and first[~packets.lost].mean() < judgement.MAX_SHARE_OF_FIRSTS:
        return Trait(f"{text}: only new connections", "something that only hurts new connections")
    return Trait(text)


def _times(packets: SegmentPackets) -> Trait:
    """Whether the losses come in one stretch of time, at regular distances, or scattered."""
    places = np.flatnonzero(packets.lost)
    span_s = (int(packets.time_ns[places[-1]]) - int(packets.time_ns[places[0]])) / _SECOND_NS
    if len(places) < judgement.FEW_LOSSES:
        return Trait("too few losses to see a period", "a period or bursts")
    if places[-1] - places[0] + 1 == len(places):
        return Trait(f"all losses lie in one stretch of {span_s:.1f} s, in which nothing passed", "an interruption for that time")
    starts = places[np.flatnonzero(np.diff(places, prepend=-2) > 1)]
    gaps = np.diff(packets.time_ns[starts]) / _SECOND_NS
    if len(gaps) >= judgement.FEW_LOSSES - 1 and gaps.mean() > 0 and gaps.std() < judgement.REGULAR_SPREAD * gaps.mean():
        return Trait(f"losses come every {gaps.mean():.2f} s", f"something that acts every {gaps.mean():.2f} s")
    return Trait(f"losses are scattered over {span_s:.1f} s without a period")
