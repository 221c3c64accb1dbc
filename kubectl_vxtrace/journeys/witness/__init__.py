"""Which taps can testify that a packet did not pass.

doubled    interfaces that a capture saw twice, which can only testify if the doubles are known
programs   BPF programs and tc filters that take packets before a tap sees them
"""

from collections.abc import Collection, Mapping

import numpy as np

from kubectl_vxtrace.journeys.records import Testimony
from kubectl_vxtrace.model.packets import Kind, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, Recording


def testimonies(recording: Recording, tables: Mapping[Tap, PacketTable], doubled: Collection[Tap]) -> dict[Tap, Testimony]:
    """The testimony of every tap that was to be captured.

    A witness ran the whole window, lost nothing in the kernel and was stopped by us, or its device was absent or down before and
    after. None are `doubled` ones, which may have seen every packet twice. What programs take away is judged packet by packet (`programs`).
    """
    by_tap = {capture.task.tap: _of_capture(capture, tables) for capture in recording.captures}
    for tap in doubled:
        if tap in by_tap:
            _discredit(by_tap, tap, "it saw every packet twice, and nothing tells whether each was sent twice")
    return by_tap


def _discredit(by_tap: dict[Tap, Testimony], tap: Tap, reason: str) -> None:
    if by_tap[tap].witness:
        by_tap[tap] = Testimony(witness=False, reason=reason, capture=by_tap[tap].capture)


def _of_capture(capture: CaptureResult, tables: Mapping[Tap, PacketTable]) -> Testimony:
    reason = _doubt(capture, tables.get(capture.task.tap))
    if reason is not None:
        return Testimony(witness=False, reason=reason, capture=capture.task.id)
    return Testimony(witness=True, reason=capture.reason if capture.status is CaptureStatus.ZERO else None, capture=capture.task.id)


def _doubt(capture: CaptureResult, table: PacketTable | None) -> str | None:
    """Why a capture is no witness, None if it is one."""
    if capture.status is CaptureStatus.ZERO:
        return None
    if capture.status is CaptureStatus.FAILED:
        return capture.reason or "the capture failed"
    if capture.status is CaptureStatus.PARTIAL:
        return capture.reason or "the capture ended by itself"
    if table is None:
        return capture.reason or "the capture's file is missing"
    if not table.whole:
        return "the capture's file ends inside a record"
    if capture.dropped_by_kernel:
        return f"the kernel dropped {capture.dropped_by_kernel} packets before the capture could take them"
    unattributable = int(np.count_nonzero(table.kind == Kind.CUT))
    if unattributable:
        return f"{unattributable} packets were captured too short to tell whose they are"
    if not len(table) and capture.cut_off:
        return f"{capture.cut_off} packets were received and none was written"
    return None
