"""Which packets to list: a few that were delivered, everything that was not."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.journeys import VERDICTS, Case, OutcomeCode, ShownJourney
from kubectl_vxtrace.model.packets import I64


def shown(case: Case, delivered: int, lost: int = 1000) -> tuple[ShownJourney, ...]:
    """At most `delivered` delivered packets and at most `lost` others, the earliest of each, ordered by time of first sighting.

    Times are brought to the reference node's clock by the middle of its bounds, so that packets of two nodes are in order as far
    as that is known.
    """
    paths, journeys, good = _by_time(case)
    at = np.arange(len(good))
    chosen = np.sort(np.concatenate([at[good][: max(delivered, 0)], at[~good][: max(lost, 0)]]))
    return tuple(_shown(case, int(paths[index]), int(journeys[index])) for index in chosen)


def every(case: Case) -> Iterator[ShownJourney]:
    """All packets in the same order, one after the other."""
    paths, journeys, _ = _by_time(case)
    for path, row in zip(paths, journeys, strict=True):
        yield _shown(case, int(path), int(row))


def _by_time(case: Case) -> tuple[I64, I64, NDArray[np.bool_]]:
    """All packets by time of first sighting: the path of each, its row there, and whether it was delivered."""
    shifts = case.clock_shifts_ns
    path, journey, times, is_delivered = ([np.zeros(0, np.int64)] for _ in range(4))
    for index, traced in enumerate(case.paths):
        table = traced.journeys
        nodes = [shifts.get(hop.tap.node, 0) for hop in table.path.hops]
        first = np.argmax(table.row >= 0, axis=1) if len(nodes) else np.zeros(len(table), np.int64)
        path.append(np.full(len(table), index))
        journey.append(np.arange(len(table)))
        times.append(table.time_ns - np.array([*nodes, 0], dtype=np.int64)[first])
        is_delivered.append(table.outcome == OutcomeCode.DELIVERED)
    order = np.argsort(np.concatenate(times), kind="stable")
    return np.concatenate(path)[order], np.concatenate(journey)[order], np.concatenate(is_delivered).astype(bool)[order]


def _shown(case: Case, path: int, row: int) -> ShownJourney:
    table = case.paths[path].journeys
    rows = zip(table.path.hops, table.row[row].tolist(), strict=True)
    return ShownJourney(
        flow=table.path.flow,
        direction=table.path.direction,
        path=path,
        row=row,
        outcome=VERDICTS[OutcomeCode(int(table.outcome[row]))],
        client_port=int(table.client_port[row]),
        sightings=tuple((hop.hop, hop.tap, at) for hop, at in rows if at >= 0),
    )
