"""What of a trace that was struck counts as wrong."""

from dataclasses import replace

import pytest

from tests.promises.cells import INT, INT2, INT3, KILL, MATRIX, TENTH, Cell, Seen, wrong
from tests.promises.held import Phase

KEPT = Seen(code=130, report="delivered", bundle=True, files=(), said="interrupted", left={}, took_s=1.0)
NOTHING = replace(KEPT, report=None, bundle=False)
POD = "default/vxtrace-7f3a01-a"
CAPTURING = Cell(phase=Phase.CAPTURING, blow=INT)


def test_the_matrix_is_whole_and_a_tenth_of_it_in_every_run() -> None:
    assert len(set(MATRIX)) == 60
    assert len(TENTH) == 6
    assert {*TENTH} < {*MATRIX}
    assert not any(cell.takes_a_minute for cell in TENTH)


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        (CAPTURING, KEPT),
        (Cell(phase=Phase.PENDING, blow=INT), NOTHING),
        (Cell(phase=Phase.FETCHING, blow=INT2), replace(NOTHING, files=("vxtrace-a",), said="what was captured is in /tmp/vxtrace-a")),
        (Cell(phase=Phase.STOPPING, blow=INT3), replace(NOTHING, code=5, said="ended at once", left={POD: "Failed"})),
        (Cell(phase=Phase.FETCHING, blow=INT3), replace(NOTHING, code=5, said="ended at once; debug pods may be left: kubectl delete")),
        (Cell(phase=Phase.STOPPING, blow=KILL), replace(NOTHING, code=-9, files=("vxtrace-a",), left={POD: "Failed"})),
    ],
)
def test_right(cell: Cell, seen: Seen) -> None:
    assert wrong(cell, seen) == []


@pytest.mark.parametrize(
    ("cell", "seen", "said"),
    [
        (CAPTURING, replace(KEPT, code=0), "exit 0, not 130"),
        (CAPTURING, NOTHING, "no report"),
        (CAPTURING, replace(KEPT, bundle=False), "a report without its bundle"),
        (CAPTURING, replace(KEPT, left={POD: "Succeeded"}), f"pods left: {POD}"),
        (CAPTURING, replace(KEPT, files=("vxtrace-a",)), "left without a word: vxtrace-a"),
        (CAPTURING, replace(KEPT, said="Traceback (most recent call last):"), "a traceback on stderr"),
        (Cell(phase=Phase.RESOLVE, blow=INT), KEPT, "a report"),
        (Cell(phase=Phase.STOPPING, blow=INT3), replace(NOTHING, said="ended at once", left={POD: "Failed"}), "exit 130, not 5"),
        (Cell(phase=Phase.STOPPING, blow=KILL), replace(NOTHING, code=-9, left={POD: "Running"}), f"pods left: {POD}"),
    ],
)
def test_wrong(cell: Cell, seen: Seen, said: str) -> None:
    assert wrong(cell, seen) == [said]
