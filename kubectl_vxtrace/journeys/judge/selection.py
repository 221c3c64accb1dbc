"""Which packets to list: a few that were delivered, everything that was not."""

import numpy as np

from kubectl_vxtrace.model.journeys import VERDICTS, Case, OutcomeCode, ShownJourney


def shown(case: Case, delivered: int, lost: int = 1000) -> tuple[ShownJourney, ...]:
    """At most `delivered` delivered packets and at most `lost` others, the earliest of each, ordered by time of first sighting.

    Times are brought to the reference node's clock by the middle of its bounds, so that packets of two nodes are in order as far
    as that is known.
    """
    shifts = case.clock_shifts_ns
    path, journey, times, is_delivered = [], [], [], []
    for index, traced in enumerate(case.paths):
        table = traced.journeys
        nodes = [shifts.get(hop.tap.node, 0) for hop in table.path.hops]
        first = np.argmax(table.row >= 0, axis=1) if len(nodes) else np.zeros(len(table), np.int64)
        path.append(np.full(len(table), index))
        journey.append(np.arange(len(table)))
        times.append(table.time_ns - np.array([*nodes, 0], dtype=np.int64)[first])
        is_delivered.append(table.outcome == OutcomeCode.DELIVERED)
    if not path:
        return ()
    paths, journeys, when, good = (np.concatenate(column) for column in (path, journey, times, is_delivered))
    order = np.argsort(when, kind="stable")
    chosen = np.concatenate([order[good[order]][: max(delivered, 0)], order[~good[order]][: max(lost, 0)]])
    chosen = chosen[np.argsort(when[chosen], kind="stable")]
    return tuple(_shown(case, int(paths[index]), int(journeys[index])) for index in chosen)


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
