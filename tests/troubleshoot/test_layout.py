"""From the collector's command to the analyzer's outcome, and back from the support bundle to the same report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.bundle import folder
from tests.bundle.packing import packed
from tests.calico.recorded import raw_answers, recording, truth
from tests.command import call
from tests.troubleshoot import tool
from tests.troubleshoot.specs import FOLDER, SPECS, environment, load

SUPPORT_BUNDLE = FOLDER / "support-bundle.yaml"
BROKEN = "unknown-vtep"
# What belongs to a trace alone, as the recorded bundle stands for the cluster here.
_OF_A_TRACE = ("--to", "--duration", "--max-wall", "--bundle")


@pytest.fixture(scope="module", params=["healthy", BROKEN])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a recorded trace; it is called by its scenario."""
    place = tmp_path_factory.mktemp("recorded")
    captures = place / "captures"
    captures.mkdir()
    made = recording(request.param, captures)
    assert made.snapshot is not None
    folder.write_snapshot(captures, made.snapshot)
    for when, facts in (("before", made.before), ("after", made.after)):
        folder.write_facts(captures, when, facts, raw_answers(request.param, when))
    folder.write_recording(captures, made)
    folder.write_manifest(captures)
    return packed(captures, place / f"{request.param}.zip")


def analyzing(run: tool.Spec, bundle: Path) -> dict[str, Any]:
    """The collector with `analyze` in place of the trace, and all its other flags."""
    words = iter(run["args"][2:])
    kept = [word for word in words if word not in _OF_A_TRACE or not next(words)]
    return {**run, "args": ["analyze", str(bundle), *kept]}


def followed(path: Path, bundle: Path, place: Path) -> dict[str, bytes]:
    """The files that a spec's collector makes of a recorded trace, which leaves its bundle where the command says."""
    run = tool.collector(load(path))
    files = tool.collect(analyzing(run, bundle), environment(place), place)
    if "outputDir" in run:
        left = run["args"][run["args"].index("--bundle") + 1]
        files[f"host-collectors/run-host/{run['collectorName']}/{left}"] = bundle.read_bytes()
    return files


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_analyzer_tells_what_the_report_says(path: Path, bundle: Path, tmp_path: Path) -> None:
    files = followed(path, bundle, tmp_path)
    report = json.loads(files["host-collectors/run-host/vxtrace.txt"])
    told = tool.analyze(tool.analyzer(load(path)), files)
    assert told.outcome == ("pass" if bundle.stem == "healthy" else "fail")
    assert told.message.startswith(report["summary"])
    expected = truth(bundle.stem)
    assert expected is None or expected.cause in told.message
    info = json.loads(files["host-collectors/run-host/vxtrace-info.json"])
    assert (info["exitCode"], info["error"]) == ("0", "")
    assert "secret" not in str(info)


def test_a_command_that_cannot_run_is_told(tmp_path: Path) -> None:
    spec = load(SUPPORT_BUNDLE)
    files = tool.collect(tool.collector(spec), environment(tmp_path), tmp_path)
    assert tool.analyze(tool.analyzer(spec), files) == tool.Result(
        "fail", "kubectl vxtrace made no report; host-collectors/run-host/vxtrace-info.json says why"
    )
    info = json.loads(files["host-collectors/run-host/vxtrace-info.json"])
    assert info["exitCode"] != "0"
    assert "error: " in info["error"]


@pytest.mark.parametrize("redacted", [b"", b"\n\n"], ids=["whole", "with what older redactors append"])
def test_a_support_bundle_is_analysed_as_it_is(bundle: Path, redacted: bytes, tmp_path: Path) -> None:
    files = followed(SUPPORT_BUNDLE, bundle, tmp_path)
    (own,) = [name for name in files if name.endswith(".zip")]
    given = tmp_path / "support-bundle.tar.gz"
    given.write_bytes(tool.archive({**files, own: files[own] + redacted}))
    assert _said(given) == _said(bundle)


def test_a_support_bundle_with_other_captures_too_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Whose verdict would it be?"""
    files = followed(SUPPORT_BUNDLE, bundle, tmp_path)
    (own,) = [name for name in files if name.endswith(".zip")]
    given = tmp_path / "support-bundle.tar.gz"
    given.write_bytes(tool.archive({**files, own.replace("vxtrace.zip", "second.zip"): files[own]}))
    done = call("analyze", str(given))
    assert (done.returncode, done.stdout) == (2, "")
    assert "one bundle at a time" in done.stderr


def _said(path: Path) -> Mapping[str, Any]:
    done = call("analyze", str(path), "-o", "json", "--exit-zero")
    assert done.returncode == 0, done.stderr
    report: Mapping[str, Any] = json.loads(done.stdout)
    return {key: value for key, value in report.items() if key != "metadata"}
