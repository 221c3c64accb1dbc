"""The report as a document: JSON and YAML with their schema, and the Markdown (summary.md) that somebody pastes into a ticket."""

import json
import re
from typing import Any

import msgspec

from kubectl_vxtrace.model.report import TraceReport
from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.report import table, words

API_VERSION = "vxtrace/v1alpha1"
KIND = "TraceReport"
_ONLY_WHERE_ANY = frozenset({"notes", "leg_sizes", "ab"})
_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def to_builtins(report: TraceReport) -> dict[str, Any]:
    """The report as plain dicts, lists, strings and numbers, with its envelope. Notes, `leg_sizes` and `ab` are only there where there are
    any."""
    body = _without_underscores(msgspec.to_builtins(report))
    if not report.completeness.notes:
        del body["completeness"]["notes"]
    if not report.leg_sizes:
        del body["leg_sizes"]
    if not report.ab:
        del body["ab"]
    return {"apiVersion": API_VERSION, "kind": KIND, **body}


def to_json(report: TraceReport) -> str:
    """The report as indented JSON; everything outside ASCII is escaped, so no terminal can be steered by it."""
    return json.dumps(to_builtins(report), indent=2) + "\n"


def to_yaml(report: TraceReport) -> str:
    """The same object as YAML."""
    import yaml

    return yaml.safe_dump(to_builtins(report), sort_keys=False, width=1_000_000)


def to_markdown(report: TraceReport) -> str:
    """The report as Markdown for a ticket: verdict, why, what to do; then the table in a fence, so that no ticket system changes it."""
    text = table.render(report, width=100, color=False)
    # CommonMark 4.5: a fence ends at a run of at least as many backticks.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    finding = report.main_finding
    parts = [
        f"### {one_line(report.summary)}",
        f"**Why:** {one_line(finding.summary)} (cause: {one_line(finding.cause)}, {finding.confidence.value})" if finding else "",
        f"**Next:** {one_line(report.remediation)}" if report.remediation else "",
        f"{fence}text\n{text}{fence}",
        one_line(words.context_text(report)) if report.metadata.context is None else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def one_line(text: str) -> str:
    """Text outside the fence: no line breaks, and nothing that Markdown or HTML would act on."""
    return re.sub(r"([\\`*_{}\[\]<>#|&])", r"\\\1", clean(text, keep_newlines=False))


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the document."""
    body, components = msgspec.json.schema_components([TraceReport], ref_template="#/$defs/{name}")
    definitions = {name: _without_keyword_suffix(component) for name, component in components.items()}
    root = definitions.pop(body[0]["$ref"].removeprefix("#/$defs/"))
    envelope = {"apiVersion": {"const": API_VERSION}, "kind": {"const": KIND}}
    return {
        "$schema": _SCHEMA_DIALECT,
        "title": KIND,
        "type": "object",
        "properties": {**envelope, **root["properties"]},
        "required": [*envelope, *root["required"]],
        "$defs": definitions,
    }


def schema_text() -> str:
    """The same as indented JSON."""
    return json.dumps(schema(), indent=2) + "\n"


def _without_underscores(value: Any) -> Any:
    """Field names that are Python keywords carry a trailing underscore in the records only (PEP 8)."""
    if isinstance(value, dict):
        return {str(key).rstrip("_"): _without_underscores(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_underscores(item) for item in value]
    return value


def _without_keyword_suffix(component: dict[str, Any]) -> dict[str, Any]:
    renamed = dict(component)
    if "properties" in component:
        renamed["properties"] = {name.rstrip("_"): field for name, field in component["properties"].items()}
        # Every other field is always written, also where it has a default in Python.
        renamed["required"] = [name for name in renamed["properties"] if name not in _ONLY_WHERE_ANY]
    return renamed
