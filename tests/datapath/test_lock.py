"""Two lab commands never run at once."""

import threading
from pathlib import Path

import pytest

from tests.datapath import lock
from tests.datapath.tools import LabError


def test_the_second_waits_for_the_first_and_no_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order: list[str] = []

    def second() -> None:
        with lock.held(path):
            order.append("second")

    with lock.held(path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert not path.exists()


def test_waiting_ends(tmp_path: Path) -> None:
    with lock.held(tmp_path / "lock"), pytest.raises(LabError, match="still runs"), lock.held(tmp_path / "lock", patience_s=0.1):
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="No such file"), lock.held(tmp_path / "no" / "lock"):
        pass
