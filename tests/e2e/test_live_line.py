"""What a terminal shows while captures run."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, ROOT, SERVICE, Lab
from tests.terminal import on_a_terminal

pytestmark = [pytest.mark.lab]

COUNTED = re.compile(r"\d+ s left, Ctrl-C: stop and report \| ada-ec-1: [a-z]+[0-9a-f]+ ([1-9]\d*), ")


def test_seconds_that_are_left_and_packets_of_each_hop(lab_of_backend: Lab, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "kubectl_vxtrace",
        "pod",
        CLIENT,
        "--to",
        SERVICE,
        "--duration",
        "6s",
        "-o",
        "json",
        "--bundle",
        "none",
    ]
    environment = {**lab_of_backend.environment(), "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "160"}
    printed = tmp_path / "report.json"
    with printed.open("wb") as report:
        status, lines = on_a_terminal(command, environment, cwd=tmp_path, stdout=report)
    assert status == 0
    assert json.loads(printed.read_text())["verdict"] == "delivered"
    assert COUNTED.search(lines) is not None, lines
    assert "captures listening, 6 s" in lines
