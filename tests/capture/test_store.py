"""What of a capture comes to be on the disk."""

import hashlib
from pathlib import Path

import pytest

from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.cluster import FetchResult
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask

SECRET = b"SUPERSECRET"
RAW = hashlib.sha256(SECRET).hexdigest()
TASK = CaptureTask(id=1, tap=Tap(node="a", interface="eth0"), role=Role.POD, file="a.pcap")
RESULT = CaptureResult(task=TASK, status=CaptureStatus.COMPLETE, size_bytes=len(SECRET), sha256=RAW)


class Scrubber:
    """Takes everything out, or cannot."""

    def __init__(self, reason: str | None = None) -> None:
        self.stale: frozenset[Tap] = frozenset()
        self._reason = reason

    def scrub(self, tap: Tap, content: bytearray) -> bytearray:
        if self._reason is not None:
            raise PcapError(self._reason)
        return bytearray(len(content))


def whole() -> FetchResult:
    return FetchResult(node="a", content=bytearray(SECRET), sha256=RAW)


def test_what_is_kept_is_scrubbed_and_its_sum_is_that_of_the_file(tmp_path: Path) -> None:
    kept = Store(folder=tmp_path, scrubber=Scrubber()).keep(RESULT, whole())
    content = (tmp_path / "a.pcap").read_bytes()
    assert content == bytes(len(SECRET))
    assert (kept.status, kept.file, kept.scrubbed, kept.sha256) == (
        CaptureStatus.COMPLETE,
        "a.pcap",
        True,
        hashlib.sha256(content).hexdigest(),
    )
    assert (tmp_path / "a.pcap").stat().st_mode & 0o777 == 0o600


def test_payload_stays_where_it_is_asked_for(tmp_path: Path) -> None:
    kept = Store(folder=tmp_path).keep(RESULT, whole())
    assert (tmp_path / "a.pcap").read_bytes() == SECRET
    assert (kept.scrubbed, kept.sha256) == (False, RAW)


def test_a_file_of_which_only_the_beginning_came_is_scrubbed_too(tmp_path: Path) -> None:
    kept = Store(folder=tmp_path, scrubber=Scrubber()).keep(RESULT, FetchResult(node="a", content=bytearray(SECRET[:5]), reason="gone"))
    assert (tmp_path / "a.pcap").read_bytes() == bytes(5)
    assert (kept.status, kept.size_bytes, kept.sha256, kept.scrubbed) == (CaptureStatus.PARTIAL, 5, None, True)
    assert kept.reason == "the file could not be fetched whole: gone"


def test_what_cannot_be_scrubbed_is_not_kept_and_that_is_said(tmp_path: Path) -> None:
    told: list[str] = []
    kept = Store(folder=tmp_path, scrubber=Scrubber("it is garbage"), tell=told.append).keep(RESULT, whole())
    assert list(tmp_path.iterdir()) == []
    assert (kept.status, kept.file, kept.sha256, kept.scrubbed) == (CaptureStatus.FAILED, None, None, False)
    assert kept.reason == "its file is not kept: payload could not be taken out of it: it is garbage"
    assert told == ["a.pcap is not kept: payload could not be taken out of it: it is garbage"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    kept = Store(folder=tmp_path / "none").keep(RESULT, whole())
    assert (kept.status, kept.file) == (CaptureStatus.FAILED, None)
    assert kept.reason == "its file is not kept: it cannot be written: No such file or directory"


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("a.pcap", "a.pcap.part"):
        (tmp_path / name).symlink_to(victim)
    Store(folder=tmp_path).keep(RESULT, whole())
    assert victim.read_text() == "precious"
    assert not (tmp_path / "a.pcap").is_symlink()


@pytest.mark.parametrize("came", [FetchResult(node="a", reason="no pod"), FetchResult(node="a", reason="its SHA-256 is wrong")])
def test_nothing_came(tmp_path: Path, came: FetchResult) -> None:
    kept = Store(folder=tmp_path, scrubber=Scrubber()).keep(RESULT, came)
    assert (kept.status, kept.file) == (CaptureStatus.FAILED, None)
    assert list(tmp_path.iterdir()) == []


def test_a_stale_file_is_forgotten(tmp_path: Path) -> None:
    scrubber = Scrubber()
    store = Store(folder=tmp_path, scrubber=scrubber)
    kept = store.keep(RESULT, whole())
    assert not store.is_stale(kept)
    scrubber.stale = frozenset({TASK.tap})
    assert store.is_stale(kept)
    gone = store.forget(kept, "why")
    assert (gone.status, gone.file, gone.reason) == (CaptureStatus.FAILED, None, "why")
    assert list(tmp_path.iterdir()) == []
    assert not store.is_stale(gone)
