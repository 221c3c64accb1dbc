"""What flags may say, and how their text is read."""

import re
from dataclasses import dataclass
from enum import StrEnum

from kubectl_vxtrace.errors import UsageError

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
    HANDOFF = "handoff"
    WIDE = "wide"
    PACKETS = "packets"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class JsonPath:
    """kubectl's `-o jsonpath=TEMPLATE`: what of the report is printed, and what between."""

    template: str

    def __str__(self) -> str:
        return f"jsonpath={self.template}"


_REFUSED = ("go-template", "go-template-file", "jsonpath-file", "jsonpath-as-json", "custom-columns", "custom-columns-file")
"""Forms of kubectl that a report has not."""


def report_form(text: str) -> Output | JsonPath:
    """The form of a report that `-o` names.

    Raises:
        UsageError: none, or one of kubectl's that is not made here.
    """
    name, equals, template = text.partition("=")
    if name == "jsonpath":
        if "{" not in template:
            raise UsageError(f"-o {text} names nothing of the report", "write for example -o jsonpath='{.verdict}'")
        return JsonPath(template)
    if not equals and text in list(Output):
        return Output(text)
    if name in _REFUSED:
        raise UsageError(f"-o {name} is not made here", "use -o jsonpath='{.verdict}', or -o json and jq")
    raise UsageError(f"-o {text} is no form of a report", f"one of: {', '.join(REPORT_FORMS)}")


FORM = "FORM"
"""What the value of -o is called where it is not one of a few words alone."""

REPORT_FORMS = (*Output, "jsonpath=TEMPLATE")
"""What -o may say."""


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


class CompletionShell(StrEnum):
    """For whom completion is: a shell on its own, or kubectl, which completes in each of them."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    INSTALL = "install"


def duration_s(text: str, flag: str) -> float:
    """Seconds of a Go duration (`15s`, `1m30s`, `500ms`) that `flag` says.

    Raises:
        UsageError: not a duration, or not above zero.
    """
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{flag}: {text!r} is not a duration", "write for example 15s, 1m30s or 500ms")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not 0 < seconds <= 24 * 3600:
        raise UsageError(f"{flag}: {text!r} is not between 0 and 24h", "write for example 15s or 2m")
    return seconds


def request_timeout_s(text: str) -> float | None:
    """Seconds of kubectl's --request-timeout: a duration, or a bare number of seconds; 0 means none.

    Raises:
        UsageError: neither of these.
    """
    if text.isascii() and text.isdigit():
        return float(text) or None
    return duration_s(text, "--request-timeout")


def namespace_name(text: str | None) -> str | None:
    """The namespace that a flag names; None where it was not given, or is empty: kubectl takes `-n ""` as if there were none.

    Raises:
        UsageError: no namespace can have that name.
    """
    if not text:
        return None
    from kubectl_vxtrace.topology.target import parse_namespace

    return parse_namespace(text)
