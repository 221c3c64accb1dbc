"""What is said on one line while captures run: how long they will, and what each hop has seen so far."""

import math
import time
from collections.abc import Callable, Mapping, Sequence

from kubectl_vxtrace.model.recording import CapturePlan, CaptureTask


class Progress:
    """The line of one trace.

    Args:
        plan: what is captured.
        clock: seconds that only grow.
    """

    def __init__(self, plan: CapturePlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = _by_node(plan.tasks)
        self._clock = clock
        self._end_s = clock() + plan.duration_s
        self._packets: dict[int, int] = {}

    def counted(self, packets: Mapping[int, int]) -> None:
        """Take note of how many packets captures hold, by their ids; what is not among them stays as it was."""
        self._packets = {**self._packets, **packets}

    def text(self) -> str:
        """`12 s left, Ctrl-C: stop and report | node-a: cali1 24, vxlan.calico 24, ens4 24 packets`."""
        left_s = max(0, math.ceil(self._end_s - self._clock()))
        parts = [f"{left_s} s left, Ctrl-C: stop and report"]
        for node, tasks in self._tasks.items():
            seen = [f"{task.tap.interface} {self._packets[task.id]}" for task in tasks if task.id in self._packets]
            parts += [f"{node}: {', '.join(seen)} packets"] if seen else []
        return " | ".join(parts)


def _by_node(tasks: Sequence[CaptureTask]) -> dict[str, list[CaptureTask]]:
    nodes: dict[str, list[CaptureTask]] = {}
    for task in tasks:
        nodes.setdefault(task.tap.node, []).append(task)
    return nodes
