"""A case with what is computed once for all checks."""

from collections.abc import Mapping
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.losses import Loss, losses_of
from kubectl_vxtrace.diagnosis.rules.droppers import Dropper, all_droppers
from kubectl_vxtrace.diagnosis.rules.onward import with_onward
from kubectl_vxtrace.model.journeys import Case


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossCase(Case):
    """`losses`: all that ask for an explanation. `droppers`: the dropping rules of each node on which a segment of a loss begins."""

    losses: tuple[Loss, ...]
    droppers: Mapping[str, tuple[Dropper, ...]]


def with_losses(case: Case) -> LossCase:
    """`case` with its losses, and the rules that may have dropped the packets."""
    losses = with_onward(case, losses_of(case))
    touched = {segment.start.tap.node for loss in losses for segment in loss.segments}
    return LossCase(
        recording=case.recording,
        tables=case.tables,
        paths=case.paths,
        clocks=case.clocks,
        connections=case.connections,
        rewritten_ports=case.rewritten_ports,
        losses=losses,
        droppers={node: all_droppers(case, node) for node in sorted(touched)},
    )
