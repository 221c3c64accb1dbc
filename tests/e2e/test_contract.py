"""Every kind of report has the contract's fields, and fits the schema that the plugin itself prints."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import CLIENT, Lab, Run
from tests.e2e.shape import problems
from tests.unpacking import unpacked

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]


@pytest.fixture(scope="module")
def schema(lab_of_backend: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = lab_of_backend.vxtrace("schema", cwd=tmp_path_factory.mktemp("schema"))
    loaded: dict[str, Any] = json.loads(run.stdout)
    assert _violations(loaded, {}) != [], "it allows anything"
    return loaded


def _violations(schema: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """What in a report the schema does not allow; where jsonschema is missing, which these tests do without, the first required field."""
    if importlib.util.find_spec("jsonschema") is None:
        return [name for name in schema.get("required", ()) if name not in report][:1]
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(report)]


def _assert_fits(run: Run, schema: dict[str, Any], *, files_only: bool = False) -> None:
    assert problems(run.report, files_only=files_only) == []
    assert _violations(schema, run.report) == []


@pytest.mark.parametrize("fault", [None, "host-firewall", "fdb-missing", "nothing-listening"])
def test_a_trace_and_its_captures_alone(place: Lab, schema: dict[str, Any], fault: str | None, tmp_path: Path) -> None:
    if fault is not None:
        place.fault(fault)
    run = place.trace("--bundle", "ticket.zip", cwd=tmp_path)
    assert run.code == (0 if fault is None else 3), run.stderr
    _assert_fits(run, schema)
    unpacked(tmp_path / "ticket.zip", tmp_path / "loose", suffix=".pcap")
    again = place.vxtrace("analyze", "loose", "-o", "json", cwd=tmp_path)
    assert again.code in (0, 3), (again.report["completeness"], again.stderr)
    _assert_fits(again, schema, files_only=True)


@pytest.mark.parametrize(
    ("target", "verdict"), [("10.244.106.200:9", "no-traffic"), ("slackernews", "no-traffic"), ("node/ada-ec-2", "no-traffic")]
)
def test_without_traffic(place: Lab, schema: dict[str, Any], target: str, verdict: str, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--to", target, "--duration", "1s", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (4, verdict), run.stderr
    _assert_fits(run, schema)
