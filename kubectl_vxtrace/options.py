"""Flags that several commands share, and how their values are read."""

import os
import re
import sys
from enum import StrEnum
from typing import Annotated

import typer

# Go's time.ParseDuration: a sequence of decimal numbers with a unit; https://pkg.go.dev/time#ParseDuration
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")

CLUSTER_PANEL = "Cluster (as kubectl has them)"
POD_PANEL = "Debug pods"
OUTPUT_PANEL = "Output"


class Output(StrEnum):
    """Formats of the report."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"
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


Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="Path to the kubeconfig file.", rich_help_panel=CLUSTER_PANEL)]
Context = Annotated[str | None, typer.Option("--context", help="Name of the kubeconfig context.", rich_help_panel=CLUSTER_PANEL)]
Cluster = Annotated[str | None, typer.Option("--cluster", help="Name of the kubeconfig cluster.", rich_help_panel=CLUSTER_PANEL)]
User = Annotated[str | None, typer.Option("--user", help="Name of the kubeconfig user.", rich_help_panel=CLUSTER_PANEL)]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of names that carry none.", rich_help_panel=CLUSTER_PANEL)
]
AsUser = Annotated[str | None, typer.Option("--as", help="User to impersonate.", rich_help_panel=CLUSTER_PANEL)]
AsGroup = Annotated[
    list[str] | None, typer.Option("--as-group", help="Group to impersonate; may be repeated.", rich_help_panel=CLUSTER_PANEL)
]
RequestTimeout = Annotated[
    str, typer.Option("--request-timeout", help="Time for one API request (1s, 2m); 0: no limit.", rich_help_panel=CLUSTER_PANEL)
]

OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="Format of the report.", rich_help_panel=OUTPUT_PANEL)]
OutputNotation = Annotated[Notation, typer.Option("--output", "-o", help="Format of the answer.", rich_help_panel=OUTPUT_PANEL)]
ColorMode = Annotated[Color, typer.Option("--color", help="Colour the table.", rich_help_panel=OUTPUT_PANEL)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.", rich_help_panel=OUTPUT_PANEL)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.", rich_help_panel=OUTPUT_PANEL)]
Show = Annotated[int, typer.Option("--show", min=0, max=1000, help="Delivered packets to list.", rich_help_panel=OUTPUT_PANEL)]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 3 also where every lost segment was sent again.", rich_help_panel=OUTPUT_PANEL)
]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="Exit 0 instead of 3 and 4.", rich_help_panel=OUTPUT_PANEL)]
BundlePath = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="PATH|none",
        help="Where to write the bundle for the ticket. [default: vxtrace-SESSION-TIME.zip]",
        rich_help_panel=OUTPUT_PANEL,
    ),
]

Image = Annotated[str, typer.Option("--image", help="Image of the debug pods.", rich_help_panel=POD_PANEL)]
ImagePullPolicy = Annotated[PullPolicy, typer.Option("--image-pull-policy", help="When to pull it.", rich_help_panel=POD_PANEL)]
ImagePullSecret = Annotated[
    str | None, typer.Option("--image-pull-secret", help="Secret to pull it with, in the debug pods' namespace.", rich_help_panel=POD_PANEL)
]
DebugNamespace = Annotated[
    str | None,
    typer.Option("--debug-namespace", help="Namespace of the debug pods. [default: the context's]", rich_help_panel=POD_PANEL),
]
ProfileName = Annotated[
    Profile, typer.Option("--profile", help="privileged sees counters and rules; netraw only captures.", rich_help_panel=POD_PANEL)
]
DryRun = Annotated[
    DryRunMode | None,
    typer.Option(
        "--dry-run", help="Print the pods, filters and tcpdump commands of this trace, and make nothing.", rich_help_panel=POD_PANEL
    ),
]
KeepPods = Annotated[bool, typer.Option("--keep-pods", help="Leave the debug pods to their deadline.", rich_help_panel=POD_PANEL)]
MaxNodes = Annotated[int, typer.Option("--max-nodes", min=1, help="Refuse paths over more nodes.", rich_help_panel=POD_PANEL)]


def colored(mode: Color) -> bool:
    """Whether to colour stdout.

    https://no-color.org: a NO_COLOR that is not empty switches colour off unless a flag says otherwise.
    """
    if mode is Color.AUTO:
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return mode is Color.ALWAYS
