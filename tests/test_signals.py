"""What a signal means in each phase."""

import os
import signal

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
