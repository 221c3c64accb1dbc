"""What flags may say, and how their text is read."""

import re
from enum import StrEnum

import typer

# Go's time.ParseDuration: a sequence of decimal numbers with a unit; https://pkg.go.dev/time#ParseDuration
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


class Output(StrEnum):
    """Formats of the report."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"
    HTML = "html"
    NAME = "name"


class Notation(StrEnum):
    """Formats of what is no report."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class DryRunMode(StrEnum):
    """How far a trace is tried out: client reads the API, server also lets it judge rights and pods."""

    CLIENT = "client"
    SERVER = "server"


class Color(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Profile(StrEnum):
    """What a debug pod may do."""

    PRIVILEGED = "privileged"
    NETRAW = "netraw"


class PullPolicy(StrEnum):
    """Kubernetes' image pull policies."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"
    NEVER = "Never"


def duration_s(text: str) -> float:
    """Seconds of a Go duration (`15s`, `1m30s`, `500ms`).

    Raises:
        typer.BadParameter: not a duration, or not above zero.
    """
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is not a duration; write for example 15s, 1m30s or 500ms")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not 0 < seconds <= 24 * 3600:
        raise typer.BadParameter(f"{text!r} is not between 0 and 24h")
    return seconds


def request_timeout_s(text: str) -> float | None:
    """Seconds of kubectl's --request-timeout: a duration, or a bare number of seconds; 0 means none.

    Raises:
        typer.BadParameter: neither of these.
    """
    if text.isdigit():
        return float(text) or None
    return duration_s(text)


def namespace_name(text: str | None) -> str | None:
    """The namespace that a flag names; None where it was not given, or is empty: kubectl takes `-n ""` as if there were none.

    Raises:
        UsageError: no namespace can have that name.
    """
    if not text:
        return None
    from kubectl_vxtrace.topology.target import parse_namespace

    return parse_namespace(text)
