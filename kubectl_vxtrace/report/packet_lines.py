"""The report's list of packets."""

from collections.abc import Mapping, Sequence

from kubectl_vxtrace.model.journeys import ShownJourney
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import rfc3339
from kubectl_vxtrace.model.report import PacketLine, SightingReport


def packet_lines(picked: Sequence[ShownJourney], tables: Mapping[Tap, PacketTable], summaries: Sequence[str]) -> tuple[PacketLine, ...]:
    """One line for each packet that is listed, numbered from 1: what it is, what became of it, and which frame of which hop it was when.

    Args:
        picked: the packets, in the order of the list.
        tables: the captures in which their frames stand.
        summaries: what each of them is, in the same order.
    """
    return tuple(
        PacketLine(
            id=number,
            flow=journey.flow,
            direction=journey.direction,
            client_port=journey.client_port,
            summary=summary,
            outcome=journey.outcome,
            sightings=tuple(_sighting(hop, tables[tap], row) for hop, tap, row in journey.sightings),
        )
        for number, (journey, summary) in enumerate(zip(picked, summaries, strict=True), start=1)
    )


def _sighting(hop: int, table: PacketTable, row: int) -> SightingReport:
    return SightingReport(hop=hop, time=rfc3339(int(table.time_ns[row])), frame=int(table.frame[row]))
