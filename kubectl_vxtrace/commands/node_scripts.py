"""The captures of a trace as one script a node, for somebody who may open a shell there and may not create pods."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from kubectl_vxtrace.capture import tcpdump
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureTask
from kubectl_vxtrace.model.text import clean

_HERE = "VXTRACE"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeScript:
    """What to paste into a root shell of a node: it captures for the trace's duration, packs the files and prints where they are."""

    node: str
    text: str


def node_scripts(tasks: Sequence[CaptureTask], finders: Mapping[Tap, str], duration_s: float) -> tuple[NodeScript, ...]:
    """A script for each node that is captured at, in the tasks' order.

    Args:
        tasks: what to capture.
        finders: of taps whose interface only the node knows, the call of a function of by_hand.sh that prints it, ready for a shell.
        duration_s: how long each captures, rounded up to whole seconds.
    """
    scripts_of_captures = files("kubectl_vxtrace.capture")
    functions = "\n".join(scripts_of_captures.joinpath(name).read_text("utf-8").rstrip("\n") for name in ("clock.sh", "by_hand.sh"))
    scripts = []
    for node in unique(task.tap.node for task in tasks):
        lines = [
            f"sh -s <<'{_HERE}'",
            functions,
            f"node={shlex.quote(clean(node, keep_newlines=False))}",
            f"seconds={math.ceil(duration_s)}",
        ]
        for task in tasks:
            if task.tap.node == node:
                lines += _start(task, finders.get(task.tap))
        scripts.append(NodeScript(node=node, text="\n".join([*lines, "finish", _HERE]) + "\n"))
    return tuple(scripts)


def _start(task: CaptureTask, finder: str | None) -> Iterator[str]:
    """The call of `start`, with tcpdump's command on a line of its own: somebody may want that alone."""
    is_known = tcpdump.usable_interface(task.tap.interface)
    interface = shlex.quote(task.tap.interface) if is_known else f'"$({finder})"' if finder is not None else "''"
    plain = task.file if is_known else tcpdump.file_name(Tap(node=task.tap.node, interface=""), task.role, ())
    words = ["INTERFACE" if word == task.tap.interface else "FILE" if word == task.file else word for word in task.argv]
    yield ""
    yield f"start {shlex.quote(clean(f'{task.role} {task.tap.interface}', keep_newlines=False))} {shlex.quote(plain)} {interface} \\"
    yield clean(shlex.join(words), keep_newlines=False)
