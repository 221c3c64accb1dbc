"""Options and skips that all tests share."""

import os
import signal
import sys

import pytest
from hypothesis import settings

pytest_plugins = ("tests.environment", "tests.laws.enforce")

# The same examples each time: a change is judged by what it changed. `--hypothesis-profile=default` draws others, to hunt.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")


def pytest_configure() -> None:
    """What a shell started in the background ignores Ctrl-C, and so would all that tests start: tests of signals are about the others."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on", choices=["lab", "cluster", "current"], default="lab", help="where the end-to-end tests run")
    parser.addoption("--backend", choices=["calico", "flannel"], default="calico", help="with --on current: the network of that cluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need root or the lab are skipped where there is none, with the reason."""
    if sys.platform == "linux" and os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root on Linux: it makes network namespaces")
    for item in items:
        if "root" in item.keywords or "lab" in item.keywords:
            item.add_marker(skip)
