"""What a signal means in each phase."""

import os
import signal
import subprocess
import sys

import pytest

from kubectl_vxtrace.signals import Interruption, Phase


def _signal(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_with_nothing_in_the_cluster_it_ends_at_once(number: int) -> None:
    interruption = Interruption()
    with interruption.installed(), pytest.raises(KeyboardInterrupt):
        _signal(number)
    assert interruption.signalled


def test_while_recording_the_first_only_asks() -> None:
    interruption = Interruption()
    interruption.phase = Phase.RECORDING
    with interruption.installed():
        _signal()
        assert interruption.stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            _signal(signal.SIGTERM)


def test_a_terminal_that_closes_signals_once_however_often_it_says_so() -> None:
    interruption = Interruption()
    interruption.phase = Phase.RECORDING
    with interruption.installed():
        for _ in range(4):
            _signal(signal.SIGHUP)
    assert interruption.signalled


_LONG = """
import os, signal, sys, time
from kubectl_vxtrace.signals import Interruption, Phase
interruption = Interruption()
interruption.phase = Phase[sys.argv[1]]
interruption.left = lambda: sys.argv[2]
interruption.kept = lambda: "what was captured is in /tmp/x"
with interruption.installed():
    for number in range(3):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        except KeyboardInterrupt:
            print("given up")
    time.sleep(60)
"""


@pytest.mark.parametrize("left", ["", "debug pods may be left: kubectl delete pods \u00e9"])
@pytest.mark.parametrize("phase", list(Phase))
def test_the_third_ends_anything_at_once_and_says_what_is_left(phase: Phase, left: str) -> None:
    done = subprocess.run([sys.executable, "-c", _LONG, phase.name, left], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == (5 if left else 130)
    said = left.replace("\u00e9", "\\xe9")
    assert done.stderr.splitlines()[-1] == "warning: ended at once; what was captured is in /tmp/x" + (f"; {said}" if left else "")
    if phase is not Phase.FREE:
        assert done.stderr.startswith("warning: finishing; once more ends at once" + (f"; {said}" if left else "") + "\n")
    assert "Traceback" not in done.stderr


_GUARDED = """
import os, signal, sys, time
from kubectl_vxtrace import signals
signals.guard()
try:
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    time.sleep(60)
except KeyboardInterrupt:
    print("first", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_outside_a_trace_the_first_interrupts_and_the_second_ends(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", _GUARDED, name], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (130, "first\n", "warning: ended at once\n")


_SHUTDOWN = """
import os, signal, threading, time, atexit
from kubectl_vxtrace import signals
signals.guard()
signals.ending(3)
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60)))
"""


def test_when_all_is_done_a_signal_changes_nothing_of_the_outcome() -> None:
    done = subprocess.run([sys.executable, "-c", _SHUTDOWN], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (3, "")


def test_while_finishing_none_interrupts() -> None:
    interruption = Interruption()
    interruption.phase = Phase.FINISHING
    with interruption.installed():
        _signal()
        _signal()
    assert interruption.signalled


def test_an_ignored_signal_is_handled_and_ignored_again_afterwards() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interruption = Interruption()
        with interruption.installed(), pytest.raises(KeyboardInterrupt):
            _signal()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)
