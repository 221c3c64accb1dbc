"""A trace between nodes as a matrix: a row for each sender, a column for each receiver."""

from collections import Counter
from dataclasses import dataclass

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import BROKEN, FlowReport, TraceReport, Verdict
from kubectl_vxtrace.report import words

MANY = 3
"""So many nodes make a matrix; two have a line each way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """nodes: senders and receivers, in order. cells: what stands for each pair of their numbers, and its verdict. note: what the broken
    pairs have in common."""

    nodes: tuple[str, ...]
    cells: dict[tuple[int, int], tuple[str, Verdict]]
    note: str | None


def mesh_of(report: TraceReport) -> Mesh | None:
    """The matrix; None where the ends are not all nodes, or there are only two."""
    pairs = [(flow, flow.client.node, flow.server.node if flow.server is not None else None) for flow in report.flows]
    ends = [(flow, sender, receiver) for flow, sender, receiver in pairs if sender is not None and receiver is not None]
    if len(ends) != len(pairs) or any(flow.client.pod or flow.service for flow in report.flows):
        return None
    nodes = tuple(sorted({node for _, *both in ends for node in both}))
    if len(nodes) < MANY:
        return None
    cells = {(nodes.index(sender), nodes.index(receiver)): _cell(flow) for flow, sender, receiver in ends}
    broken = [pair for pair, (_, verdict) in cells.items() if verdict in BROKEN]
    return Mesh(nodes=nodes, cells=cells, note=_common(nodes, broken))


def _cell(flow: FlowReport) -> tuple[str, Verdict]:
    """`ok`, how many of how many requests were lost on the way there, or what else the verdict is."""
    way = words.direction_of(flow, Direction.REQUEST)
    verdict = way.verdict if way is not None else Verdict.NO_TRAFFIC
    if verdict is Verdict.DELIVERED:
        return "ok", verdict
    leg = words.lossy_leg(way) if way is not None else None
    if verdict in BROKEN and way is not None and leg is not None:
        return f"{leg.lost}/{max(hop.packets for hop in way.hops)} lost", verdict
    return str(verdict), verdict


def _common(nodes: tuple[str, ...], broken: list[tuple[int, int]]) -> str | None:
    """The node that is in all broken pairs, or at the same end of all, where there are several."""
    if len(broken) < 2:
        return None
    for at, what in ((0, "sent by"), (1, "to")):
        if len({pair[at] for pair in broken}) == 1:
            return f"all {len(broken)} broken pairs are those {what} {nodes[broken[0][at]]}"
    counts = Counter(number for pair in broken for number in pair)
    number, count = counts.most_common(1)[0]
    return f"all {len(broken)} broken pairs have {nodes[number]} in common" if count == len(broken) else None
