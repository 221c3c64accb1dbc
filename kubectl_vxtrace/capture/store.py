"""Where the files of captures are kept, and what is done to them before: nothing is on the disk that is not to stay there."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from kubectl_vxtrace import portable
from kubectl_vxtrace.capture.outcome import fetched, without_file
from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.cluster import FetchResult
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult


class Scrubber(Protocol):
    """Takes payload out of captures, one after the other; threads may call it at the same time."""

    def scrub(self, tap: Tap, content: bytearray) -> bytearray:
        """The capture of `tap` without payload; `content` is of no use any more. Raises PcapError where that cannot be."""

    @property
    def stale(self) -> frozenset[Tap]:
        """Whose captures have to come again, since later ones told how much had to be taken out of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A folder for captures. `scrubber`: who takes payload out of them first; None where it is to stay. `tell` is told what is not kept."""

    folder: Path
    scrubber: Scrubber | None = None
    tell: Callable[[str], None] = lambda _: None

    def keep(self, result: CaptureResult, came: FetchResult) -> CaptureResult:
        """Write what came of a capture's file, once it is scrubbed; the result says what there is then. Never raises."""
        kept = fetched(result, came)
        if kept.file is None:
            return kept
        try:
            content = came.content if self.scrubber is None else self.scrubber.scrub(kept.task.tap, came.content)
            _write(self.folder / kept.file, content)
        except PcapError as error:
            return self._refused(kept, f"payload could not be taken out of it: {error.message}")
        except OSError as error:
            return self._refused(kept, f"it cannot be written: {error.strerror or 'input/output error'}")
        sha256 = hashlib.sha256(content).hexdigest() if kept.sha256 is not None else None
        return replace(kept, size_bytes=len(content), sha256=sha256, scrubbed=self.scrubber is not None)

    def is_stale(self, result: CaptureResult) -> bool:
        """Whether a capture that was kept has to come again."""
        return self.scrubber is not None and result.file is not None and result.task.tap in self.scrubber.stale

    def forget(self, result: CaptureResult, reason: str) -> CaptureResult:
        """Remove the file of a capture that was kept; the result without it."""
        (self.folder / result.task.file).unlink(missing_ok=True)
        return without_file(result, reason)

    def _refused(self, result: CaptureResult, reason: str) -> CaptureResult:
        self.tell(f"{result.task.file} is not kept: {reason}")
        return without_file(result, f"its file is not kept: {reason}")


def _write(path: Path, content: bytearray) -> None:
    """Write a new file, which has its name only when it is whole; a link is never followed. Raises OSError."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.NO_FOLLOW | portable.CLOSE_ON_EXEC | portable.BINARY
    try:
        with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
            file.write(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
