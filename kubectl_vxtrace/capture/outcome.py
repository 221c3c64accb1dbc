"""What became of a capture, judged by what its node said at its start and at its end."""

from dataclasses import dataclass, replace

from kubectl_vxtrace.capture import tcpdump
from kubectl_vxtrace.capture.nodeanswer import Device, NodeReport, Record, State
from kubectl_vxtrace.model.cluster import FetchResult
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a task's node said of it."""

    task: CaptureTask
    start: NodeReport
    stop: NodeReport

    @property
    def begun(self) -> Record | None:
        """The task's record at the start."""
        return self.start.records.get(self.task.id)

    @property
    def ended(self) -> Record | None:
        """The task's record at the end."""
        return self.stop.records.get(self.task.id)


def judge(course: Course) -> CaptureResult:
    """The result of a capture as far as its node's answers go; its file is still on the node."""
    task = course.task
    if not task.argv:
        return CaptureResult(task=task, status=CaptureStatus.FAILED, reason=_unusable(task))
    begun, ended = course.begun, course.ended
    if ended is not None and _never_began(begun, ended):
        return _without_file(course, begun, ended)
    if ended is None:
        reason = course.stop.reason or course.start.reason or "the node did not say what became of it"
        return CaptureResult(task=task, status=CaptureStatus.FAILED, reason=reason, started_ns=course.start.node_ns)
    status, why = _status(course, begun, ended)
    numbers = tcpdump.closing(ended.said)
    in_time = begun is not None and begun.state is State.LISTENING
    return CaptureResult(
        task=replace(task, argv=tcpdump.with_options(task.argv, course.start.options)),
        status=status,
        reason=why,
        started_ns=course.start.node_ns if in_time else None,
        stopped_ns=course.stop.node_ns if ended.state is State.STOPPED else None,
        received=numbers.received,
        received_early=tcpdump.received_early(begun.said) if begun is not None else 0,
        captured=numbers.captured,
        dropped_by_kernel=numbers.dropped_by_kernel,
        size_bytes=ended.number or 0,
        sha256=ended.sha256,
    )


def fetched(result: CaptureResult, fetch: FetchResult) -> CaptureResult:
    """The result once its file was fetched, or the beginning of it."""
    size_bytes = len(fetch.content)
    if fetch.reason is None:
        return replace(result, file=result.task.file, size_bytes=size_bytes, sha256=fetch.sha256)
    reason = f"the file could not be fetched whole: {fetch.reason}"
    if size_bytes:
        return replace(result, status=CaptureStatus.PARTIAL, reason=reason, file=result.task.file, size_bytes=size_bytes, sha256=None)
    return without_file(result, reason)


def without_file(result: CaptureResult, reason: str) -> CaptureResult:
    """The result of a capture whose file cannot be had, or not be kept."""
    return replace(result, status=CaptureStatus.FAILED, reason=reason, file=None, sha256=None, scrubbed=False)


def _unusable(task: CaptureTask) -> str:
    if not task.tap.interface:
        return "the interface is not known"
    return f"an interface called {task.tap.interface!r} cannot be named in a command"


def _never_began(begun: Record | None, ended: Record) -> bool:
    if ended.state is State.NONE:
        return True
    return ended.state is State.ENDED and not tcpdump.listening(ended.said) and (begun is None or begun.state is State.ENDED)


def _without_file(course: Course, begun: Record | None, ended: Record) -> CaptureResult:
    """A capture that tcpdump refused. On a device that is absent or down all the time nothing can have passed: that is a witness."""
    task, interface = course.task, course.task.tap.interface
    refusal = tcpdump.complaint(ended.said)
    refused = tcpdump.device_is_gone(ended.said) or (begun is not None and begun.device.gone)
    if begun is not None and refused and ended.device.gone:
        what = f"there is no interface {interface}" if ended.device is Device.ABSENT else f"{interface} is down"
        return CaptureResult(
            task=task, status=CaptureStatus.ZERO, reason=what, started_ns=course.start.node_ns, stopped_ns=course.stop.node_ns
        )
    if refused and ended.device is Device.UP:
        refusal = f"{interface} was absent or down when the captures started, and is up now"
    node = course.start.records.get(0)
    reason = refusal or (node.said.strip() if node is not None else None) or course.start.reason
    return CaptureResult(task=task, status=CaptureStatus.FAILED, reason=reason or "it was stopped before it began")


def _status(course: Course, begun: Record | None, ended: Record) -> tuple[CaptureStatus, str | None]:
    if ended.state is State.FULL:
        return CaptureStatus.PARTIAL, f"the capture reached its limit of {course.task.file_bytes} bytes and ended"
    if ended.state is State.NOSPACE:
        return CaptureStatus.PARTIAL, "disk full: the node had no space left for captures when they were stopped, so packets may be missing"
    if ended.state is State.ENDED:
        said = tcpdump.complaint(ended.said)
        return CaptureStatus.PARTIAL, f"the capture ended by itself: {said}" if said else "the capture ended by itself"
    if ended.state is not State.STOPPED:
        return CaptureStatus.PARTIAL, "tcpdump did not end when it was told to"
    if begun is None or begun.state is not State.LISTENING:
        return CaptureStatus.PARTIAL, "it began after the captures of the other nodes"
    if not tcpdump.closing(ended.said).whole:
        return CaptureStatus.PARTIAL, tcpdump.complaint(ended.said) or "tcpdump ended without its closing numbers"
    return CaptureStatus.COMPLETE, None
