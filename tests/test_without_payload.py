"""A report is the same with payload and without, in whatever order the captures came."""

import json
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.report import document
from tests.scrubbing import without_payload
from tests.test_anonymous import simulated
from tests.wire.options import OPTIONS


def told(recording: Recording) -> object:
    """The report without what is said of the files themselves."""
    found = json.loads(document.to_json(examine(recording).report))
    for capture in found["captures"]:
        for name in ("bytes", "sha256", "scrubbed"):
            del capture[name]
    return found


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_world_has_the_same_report(tmp_path: Path, name: str, *, turned: bool) -> None:
    made = simulated(OPTIONS[name], tmp_path)
    before = told(made)
    assert told(without_payload(made, turned=turned)) == before
