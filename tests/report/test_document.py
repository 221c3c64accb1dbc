"""JSON, YAML, Markdown and the schema."""

import json
from typing import Any

import pytest
import yaml

from kubectl_vxtrace.report import document
from tests.report.build import report


def test_json_has_the_contract_s_names() -> None:
    loaded = json.loads(document.to_json(report()))
    assert (loaded["apiVersion"], loaded["kind"]) == ("vxtrace/v1alpha1", "TraceReport")
    leg = loaded["flows"][0]["directions"][0]["legs"][2]
    assert leg == {"from": 3, "to": 4, "sent": 24, "arrived": 0, "lost": 24, "undetermined": 0, "latency_ns": None}
    assert loaded["findings"][0]["leg"] == {"from": 3, "to": 4}
    assert loaded["findings"][0]["evidence"][0] == {
        "kind": "packets",
        "text": "24 requests were handed to the driver",
        "frames": [{"capture": 3, "frame": 7}],
    }
    hop = loaded["flows"][0]["directions"][0]["hops"][2]
    assert hop["outer"] == {"source": "10.128.0.72", "destination": "10.128.0.95", "port": 4789, "vni": 4096}
    assert hop["role"] == "underlay"


def test_yaml_is_the_same_object() -> None:
    assert yaml.safe_load(document.to_yaml(report())) == json.loads(document.to_json(report()))


def test_foreign_text_stays_inside_its_json_string() -> None:
    text = document.to_json(report(pod="x/\x1b[2J\u202e"))
    assert text.isascii()
    assert "\x1b" not in text


def test_the_schema_describes_the_document() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = document.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good: dict[str, Any] = json.loads(document.to_json(report()))
    validator.validate(good)
    for broken in ({**good, "verdict": "maybe"}, {key: value for key, value in good.items() if key != "flows"}):
        assert not validator.is_valid(broken)


def test_markdown_cannot_be_left_by_a_fence_in_a_name() -> None:
    text = document.to_markdown(report(evidence="``` </details> <script>"))
    fence = next(line for line in text.splitlines() if line.endswith("text") and line.startswith("`"))
    assert fence == "````text"
    assert text.splitlines().count("````") == 1


def test_markdown_begins_with_what_a_reader_wants() -> None:
    lines = document.to_markdown(report()).splitlines()
    assert lines[0] == "### LOST, 24 of 24, between ada-ec-1/ens4 and ada-ec-2/ens4"
    assert lines[2].startswith("**Why:** the underlay loses what ada-ec-1 sends")
    assert lines[4].startswith("**Next:** look: tcpdump on ada-ec-2")
    assert lines[-1] == "plugin 0.1.0, session 7f3a, 2026-11-23T12:00:00.000000000Z"
