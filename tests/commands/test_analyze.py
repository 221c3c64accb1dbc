"""`analyze`: what it takes from stdin."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle.destination import Form
from tests.bundle.packing import packed
from tests.bundle.test_folder import _write as write_folder
from tests.command import ROOT, call

ANALYZE = [sys.executable, "-m", "kubectl_vxtrace", "analyze", "-", "-o", "json"]


@pytest.mark.parametrize("form", [Form.ZIP, Form.TGZ])
def test_a_bundle_through_a_pipe(form: Form, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    write_folder(place)
    bundle = packed(place, tmp_path / "b", form)
    named = call("analyze", str(bundle), "-o", "json")
    piped = subprocess.run(ANALYZE, input=bundle.read_bytes(), capture_output=True, check=False, cwd=ROOT)
    assert (piped.returncode, piped.stdout.decode()) == (named.returncode, named.stdout)
    assert named.stdout.startswith("{"), named.stderr


def test_nothing_through_a_pipe() -> None:
    done = subprocess.run(ANALYZE, input=b"", capture_output=True, text=False, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no capture file found" in done.stderr


def test_a_terminal_sends_nothing() -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(ANALYZE, stdin=theirs, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stdout) == (2, "")
    assert "stdin" in done.stderr
