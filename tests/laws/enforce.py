"""Every report and every followed case that a test makes is held to the laws, whatever else the test is about."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import TraceReport
from kubectl_vxtrace.report.document import to_builtins
from tests.laws import case, document


@pytest.fixture(autouse=True, scope="session")
def _held_to_the_laws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        _check(patch, TraceReport, lambda report: document.breaches(to_builtins(report)))
        _check(patch, Case, lambda followed: case.breaches(followed))
        yield


def _check(patch: pytest.MonkeyPatch, record: Any, breaches: Callable[[Any], list[str]]) -> None:
    """Whatever makes such a record, a dataclass, fails where that breaks a law."""
    make = record.__init__

    def checked(self: Any, **fields: Any) -> None:
        make(self, **fields)
        assert breaches(self) == []

    patch.setattr(record, "__init__", checked)
