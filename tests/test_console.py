"""What is said on stderr, on a terminal and elsewhere."""

import os
import re
import sys

import pytest

from kubectl_vxtrace.console import Stderr
from tests.command import ROOT
from tests.terminal import on_a_terminal

SHOWS = """
import time
from kubectl_vxtrace.console import Stderr
console = Stderr({arguments})
with console.live(lambda: "3 s left\\x1b[31m") as shown:
    time.sleep(0.5)
    console.warn("a node is slow")
    time.sleep(0.5)
console.step(f"shown: {{shown}}")
"""


def _on_a_terminal(arguments: str, term: str = "xterm-256color") -> str:
    """What a terminal gets of a line that is shown for a second, with a warning in the middle."""
    command = [sys.executable, "-c", SHOWS.format(arguments=arguments)]
    status, got = on_a_terminal(command, {**os.environ, "TERM": term, "PYTHONPATH": str(ROOT)})
    assert status == 0
    return got


def test_a_line_on_a_terminal_is_drawn_again_and_taken_away() -> None:
    got = _on_a_terminal("")
    assert got.count("3 s left") > 2
    assert "warning: a node is slow\r\n" in got
    assert "shown: True" in got
    assert "\x1b[31m" not in got


@pytest.mark.parametrize(("arguments", "term"), [("verbose=1", "xterm"), ("", "dumb")])
def test_no_line_where_it_would_be_in_the_way(arguments: str, term: str) -> None:
    got = _on_a_terminal(arguments, term)
    assert "3 s left" not in got
    assert "shown: False" in got


def test_no_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Stderr().live(lambda: "3 s left") as shown:
        assert not shown
    assert capsys.readouterr().err == ""


def test_who_asks_for_more_is_told_when_each_step_came(capsys: pytest.CaptureFixture[str]) -> None:
    Stderr(verbose=1).step("3 debug pods running")
    Stderr().step("3 debug pods running")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r" +\d\.\d\d s  3 debug pods running", first)
    assert second == "3 debug pods running"
