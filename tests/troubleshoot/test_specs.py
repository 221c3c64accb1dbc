"""The specs are what Troubleshoot accepts and the plugin understands, and every verdict has its outcome."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest
from typer.main import get_group

from kubectl_vxtrace.app import app
from kubectl_vxtrace.model.report import Verdict
from kubectl_vxtrace.report import document
from tests.report.build import report
from tests.troubleshoot import tool
from tests.troubleshoot.specs import SPECS, load

STDOUT = "host-collectors/run-host/vxtrace.txt"


@pytest.fixture(params=SPECS, ids=lambda path: path.stem)
def spec(request: pytest.FixtureRequest) -> tool.Spec:
    path: Path = request.param
    return load(path)


def result(spec: tool.Spec, text: str) -> tool.Result:
    return tool.analyze(tool.analyzer(spec), {STDOUT: text.encode()})


def made(verdict: Verdict, *, complete: bool = True, **other: str | None) -> str:
    """A report's JSON as `-o json` prints it, with these fields changed."""
    fields = {**document.to_builtins(report()), "verdict": verdict.value, **other}
    return json.dumps({**fields, "completeness": {"complete": complete, "blind": []}}, indent=2)


def test_both_kinds_are_there() -> None:
    assert [load(path)["kind"] for path in SPECS] == ["HostPreflight", "SupportBundle"]


def test_every_field_is_known(spec: tool.Spec) -> None:
    validator = jsonschema.Draft202012Validator(tool.schema(spec["kind"]))
    validator.validate(spec)
    assert not validator.is_valid({**spec, "spec": {**spec["spec"], "hostCollector": []}})


def test_the_plugin_understands_the_command(spec: tool.Spec) -> None:
    name, *arguments = tool.collector(spec)["args"]
    assert get_group(app).commands[name].make_context(name, list(arguments)).params["to"] == "svc/api"


def test_the_plugin_ends_before_it_is_killed(spec: tool.Spec) -> None:
    run = tool.collector(spec)
    assert tool.seconds(_after("--max-wall", run["args"])) + 30 <= tool.seconds(run["timeout"])


def test_what_is_written_goes_where_it_is_collected(spec: tool.Spec) -> None:
    run = tool.collector(spec)
    assert _after("--bundle", run["args"]).startswith(f"{run['outputDir']}/" if "outputDir" in run else "none")


def test_names_that_are_to_be_replaced_are_all_said(spec: tool.Spec) -> None:
    texts = [*tool.collector(spec)["args"], tool.analyzer(spec)["checkName"]]
    assert sorted({name for text in texts for name in re.findall(r"\b(?:shop|svc)/\S+", text)}) == ["shop/frontend-0", "svc/api"]


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict.DROPPED, "fail"),
        (Verdict.LOST, "fail"),
        (Verdict.REJECTED, "fail"),
        (Verdict.UNANSWERED, "fail"),
        (Verdict.UNDETERMINED, "warn"),
        (Verdict.NO_TRAFFIC, "warn"),
        (Verdict.DELIVERED, "pass"),
    ],
)
def test_every_verdict_has_its_outcome(spec: tool.Spec, verdict: Verdict, outcome: str) -> None:
    told = result(spec, made(verdict))
    assert told.outcome == outcome
    assert told.message.startswith("LOST, 24 of 24, between ada-ec-1/ens4 and ada-ec-2/ens4")
    assert "look: tcpdump on ada-ec-2" in told.message or outcome == "pass"


def test_no_verdict_is_forgotten() -> None:
    tried = next(mark for mark in test_every_verdict_has_its_outcome.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {verdict for verdict, _ in tried.args[1]} == set(Verdict) - {Verdict.NOT_APPLICABLE}


def test_what_was_not_seen_whole_is_a_warning(spec: tool.Spec) -> None:
    told = result(spec, made(Verdict.DELIVERED, complete=False))
    assert (told.outcome, "not everything could be seen" in told.message) == ("warn", True)


def test_a_loss_that_was_made_good_is_a_warning(spec: tool.Spec) -> None:
    assert result(spec, made(Verdict.LOST, impact="recovered")).outcome == "warn"


def test_a_loss_without_cause_or_remedy_is_told(spec: tool.Spec) -> None:
    assert result(spec, made(Verdict.LOST, cause=None, remediation=None)) == tool.Result(
        "fail", "LOST, 24 of 24, between ada-ec-1/ens4 and ada-ec-2/ens4 (cause: null). "
    )


def test_quotes_in_a_remedy_end_nothing(spec: tool.Spec) -> None:
    text = made(Verdict.LOST, remediation='say "yes" {{ .Summary }}')
    assert result(spec, text).message.endswith(r"say \"yes\" {{ .Summary }}")


def test_without_a_report_it_fails_and_says_where_to_look(spec: tool.Spec) -> None:
    assert result(spec, "").outcome == "fail"
    assert "made no report" in result(spec, "").message


def _after(flag: str, arguments: Sequence[str]) -> str:
    return arguments[arguments.index(flag) + 1]
