"""The commands that carry out a plan on its nodes: constant scripts, with everything that varies as positional parameters."""

import math
from collections.abc import Sequence
from importlib.resources import files

from kubectl_vxtrace.model.cluster import NodeCommand
from kubectl_vxtrace.model.recording import CapturePlan, CaptureTask

# A capture whose client is lost ends by itself this long after its time.
_GRACE_S = 60
# The scripts' patience, in fiftieths of a second: until every tcpdump listens, until every one has ended.
_START_TURNS = 300
_STOP_TURNS = 300
_ANY_BYTES = 1 << 40
_BLOCK_BYTES = 512  # of ulimit -f, by POSIX


def start(node: str, tasks: Sequence[CaptureTask], plan: CapturePlan, directory: str) -> NodeCommand:
    """Start all captures of a node; answered once every one listens or has ended. May be asked again: what was begun is not begun twice."""
    limit_s = math.ceil(plan.duration_s) + _GRACE_S
    arguments = [directory, str(_START_TURNS), str(limit_s), plan.user_filter or ""]
    for task in tasks:
        blocks = max(1, task.file_bytes // _BLOCK_BYTES)
        arguments += [str(task.id), str(blocks), task.tap.interface, str(len(task.argv)), *task.argv]
    return _command(node, "start", arguments, patient=True)


def poll(node: str, tasks: Sequence[CaptureTask], directory: str, *, most_bytes: int | None = None) -> NodeCommand:
    """Ask which captures of a node run, and count packets: those that the plan limits, or all of files of up to `most_bytes`."""
    arguments = [directory]
    for task in tasks:
        most = most_bytes if most_bytes is not None else _ANY_BYTES if task.count_filter else 0
        arguments += [str(task.id), task.file, str(most), (task.count_filter or "") if most_bytes is None else ""]
    return _command(node, "poll", arguments)


def count(node: str, asked: Sequence[tuple[int, str, str]], directory: str, most_bytes: int) -> NodeCommand:
    """Count what filters pick of files of a node that are not larger than `most_bytes`. asked: number, file, filter."""
    arguments = [directory]
    for number, file, expression in asked:
        arguments += [str(number), file, str(most_bytes), expression]
    return _command(node, "poll", arguments)


def stop(node: str, tasks: Sequence[CaptureTask], directory: str) -> NodeCommand:
    """Stop all captures of a node; answered once every one has ended. May be asked again."""
    arguments = [directory, str(_STOP_TURNS)]
    for task in tasks:
        arguments += [str(task.id), task.tap.interface, task.file]
    return _command(node, "stop", arguments, patient=True)


def _command(node: str, name: str, arguments: Sequence[str], *, patient: bool = False) -> NodeCommand:
    scripts = files(__package__)
    text = "".join(scripts.joinpath(f"{part}.sh").read_text(encoding="utf-8") for part in ("clock", "records", name))
    argv = ("sh", "-c", text, f"vxtrace-{name}", *arguments)
    return NodeCommand(node=node, key=f"capture-{name}", argv=argv, timeout_s=30.0, patient=patient)
