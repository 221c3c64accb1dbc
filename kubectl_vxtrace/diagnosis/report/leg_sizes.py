"""Which sizes of packets pass each leg, where a trace sent many."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence.lost_packets import place_text
from kubectl_vxtrace.model.journeys import VANISHED, Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import echo_headers_bytes
from kubectl_vxtrace.model.report import LegSizes


def leg_sizes(case: Case) -> tuple[LegSizes, ...]:
    """Of each leg of the echoes' paths; nothing unless sizes were asked for."""
    if case.recording.request is None or not case.recording.request.mtu:
        return ()
    return tuple(sizes for traced in case.paths if traced.flow.protocol == "ICMP" for sizes in _of_path(case, traced))


def _of_path(case: Case, traced: TracedPath) -> Iterator[LegSizes]:
    journeys, sizes = traced.journeys, _packet_bytes(case, traced)
    seen = journeys.row >= 0
    vanished, delivered = np.isin(journeys.outcome, VANISHED), journeys.outcome == OutcomeCode.DELIVERED
    for leg in traced.legs:
        # Seen at the end of the leg or behind it, or delivered wherever it was seen; past a leg that nothing ends, whoever came so far and
        # did not vanish.
        there = seen[:, leg.to - 1 :].any(axis=1) | delivered if leg.to is not None else seen[:, leg.from_ - 1] & ~vanished
        lost = vanished & (journeys.lost_from == leg.from_) & (journeys.lost_to == (leg.to or 0))
        yield LegSizes(
            flow=traced.flow.id,
            direction=traced.path.direction,
            from_=leg.from_,
            to=leg.to,
            largest_passed_bytes=int(sizes[there].max()) if there.any() else None,
            smallest_lost_bytes=int(sizes[lost].min()) if lost.any() else None,
        )


def _packet_bytes(case: Case, traced: TracedPath) -> NDArray[np.int64]:
    """Of each packet of a path how long it is inside the tunnel, with its IP header."""
    header = echo_headers_bytes(traced.flow.client.address)
    found = np.zeros(len(traced.journeys), dtype=np.int64)
    for hop, rows in zip(traced.path.hops, traced.journeys.row.T, strict=True):
        table = case.tables.get(hop.tap)
        if table is not None and len(table):
            found = np.where((rows >= 0) & (found == 0), table.payload_bytes[rows] + header, found)
    return found


def fitting_bytes(sizes: Sequence[LegSizes]) -> int | None:
    """The largest packet that came to the end of every flow, both ways; None where some way none did, or sizes were not tried."""
    ends = {(each.flow, each.direction): each.largest_passed_bytes for each in sizes}
    passed = [largest for largest in ends.values() if largest is not None]
    return min(passed) if passed and len(passed) == len(ends) else None


def size_notes(case: Case, sizes: Sequence[LegSizes]) -> tuple[str, ...]:
    """A sentence for each direction of each flow: the largest packet that came to the end, and where larger ones vanish."""
    return tuple(note for traced in case.paths if (note := _note(traced, sizes)) is not None)


def _note(traced: TracedPath, sizes: Sequence[LegSizes]) -> str | None:
    legs = [each for each in sizes if (each.flow, each.direction) == (traced.flow.id, traced.path.direction)]
    if not legs or traced.flow.server is None:
        return None
    ends = (traced.flow.client, traced.flow.server)
    sender, receiver = ends if traced.path.direction is Direction.REQUEST else ends[::-1]
    said = f"{sender.pod or sender.node or sender.address} to {receiver.pod or receiver.node or receiver.address}: "
    largest = legs[-1].largest_passed_bytes
    said += f"packets of up to {largest} bytes arrive" if largest is not None else "no packet of any size arrives"
    losing = next((leg for leg in legs if leg.smallest_lost_bytes is not None), None)
    if losing is None:
        return said
    where = f"after {place_text(traced.path.hops[losing.from_ - 1])}"
    if losing.to is not None:
        where = f"between {place_text(traced.path.hops[losing.from_ - 1])} and {place_text(traced.path.hops[losing.to - 1])}"
    if losing.largest_passed_bytes is not None and losing.largest_passed_bytes > (losing.smallest_lost_bytes or 0):
        return f"{said}; what vanishes {where} is of any size from {losing.smallest_lost_bytes} bytes on"
    return f"{said}; those of {losing.smallest_lost_bytes} and more vanish {where}"
