"""What the machine breaks is no verdict: tests that end with such an error are counted apart, and they alone may be run again.

`python -m pytest --broken-by-machine` runs those that the last run left so. A run in which nothing else failed ends with status 75.
"""

import errno
from collections.abc import Iterator

import pytest

TEMPORARY = 75  # sysexits.h, EX_TEMPFAIL
_CACHE = "environment/broken"


class EnvironmentFailure(Exception):  # noqa: N818  it names what failed
    """The machine could not do what a test needs: it says nothing about the code that is tested."""


class TooBusyError(EnvironmentFailure):
    """The machine has no time for this test."""


class DiskFullError(EnvironmentFailure):
    """The machine's disk took no more."""


_BROKEN = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--broken-by-machine", action="store_true", help="run only what the machine broke in the last run")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_BROKEN] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --broken-by-machine only those."""
    if not config.getoption("broken_by_machine"):
        return
    broken = set(config.cache.get(_CACHE, []) if config.cache is not None else [])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in broken])
    items[:] = [item for item in items if item.nodeid in broken]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember what the machine broke."""
    report = yield
    if call.excinfo is not None and _machine_broke(call.excinfo.value) and item.nodeid not in item.config.stash[_BROKEN]:
        item.config.stash[_BROKEN].append(item.nodeid)
    return report


def _machine_broke(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, is the machine's."""
    if error is None:
        return False
    if isinstance(error, EnvironmentFailure) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return True
    return _machine_broke(error.__cause__)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep their names, and say by the status that nothing else failed."""
    broken = session.config.stash[_BROKEN]
    cache = getattr(session.config, "cache", None)  # there is none with -p no:cacheprovider
    if cache is not None:
        cache.set(_CACHE, broken)
    if exitstatus == pytest.ExitCode.TESTS_FAILED and broken and session.testsfailed == len(broken):
        session.exitstatus = TEMPORARY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Their number, always."""
    broken = config.stash[_BROKEN]
    terminalreporter.write_line(f"broken by the machine, not by the code: {len(broken)}" + "".join(f"\n  {name}" for name in broken))
