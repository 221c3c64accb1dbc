"""Flags that belong together. Each stands once, with its name, its help and its default; a record says what they mean as a whole.

`flag_records` makes commands whose parameters are such records, for Typer.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.values import (
    FORM,
    REPORT_FORMS,
    Color,
    JsonPath,
    Notation,
    Output,
    Profile,
    PullPolicy,
    duration_s,
    namespace_name,
    report_form,
)
from kubectl_vxtrace.model.request import DEFAULT_IMAGE, LONGEST_AUTO_S, LONGEST_ECHOES_S, Limits, PodOptions, ProbeKind

if TYPE_CHECKING:
    from kubectl_vxtrace.bundle.given import Given

STDOUT = "-"
"""How a flag that names a file names stdout."""

# What a trace may take beyond its capture where --max-wall says nothing: start, fetch, clean-up.
_BEYOND_CAPTURE_S = 240.0

Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the target.")]
Protocol = Annotated[str | None, typer.Option("--protocol", help="Protocol of the target.")]
Selector = Annotated[
    str | None,
    typer.Option("--selector", "-l", metavar="SELECTOR", help="The pod by its labels (app=web); of several, the first ready one."),
]
Mtu = Annotated[
    bool,
    typer.Option("--mtu", help="Follow echoes of many sizes that this trace sends, none fragmented: the largest that arrives."),
]
Ab = Annotated[
    bool,
    typer.Option(
        "--ab",
        help="Also send UDP datagrams between the nodes that differ in port, checksum, size and source port: which of these decides.",
    ),
]
NODE = "NODE"
"""What a node's name is called in help, by which completion knows a flag that takes one."""

NodeSelector = Annotated[str | None, typer.Option("--selector", "-l", metavar="SELECTOR", help="Only nodes with these labels (pool=web).")]
ColorMode = Annotated[Color, typer.Option("--color", help="Colour the table.")]
DebugNamespace = Annotated[str | None, typer.Option("--debug-namespace", help="Namespace of the debug pods. [default: the context's]")]


Anonymize = Annotated[
    bool,
    typer.Option(
        "--anonymize",
        help="Put pseudonyms for addresses and names into the bundle and all output; only a table on your terminal has the true ones.",
    ),
]
_AUTO = "auto"
CaptureDuration = Annotated[
    str, typer.Option("--duration", help="How long to capture (15s, 2m); auto: until the answer is clear, 15 s at most.")
]
MaxWall = Annotated[str | None, typer.Option("--max-wall", help="End the whole trace after this time. [default: duration + 4m]")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFlags:
    """Whom the traced pod talks to, and what to capture of it."""

    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="A Service, workload, pod, node, address or URL: [TYPE/][NAMESPACE/]NAME[:PORT[/PROTO]]; also PORT's name. Without it: "
            "whom the pod is heard talking to on other nodes.",
        ),
    ] = None
    duration: CaptureDuration = _AUTO
    count: Annotated[int | None, typer.Option("--count", min=1, help="Stop early after this many packets of the flow.")] = None
    port: Port = None
    protocol: Protocol = None
    filter: Annotated[
        str | None, typer.Option("--filter", metavar="EXPR", help="A libpcap filter for the client's first hop; what it picks is followed.")
    ] = None
    probe: Annotated[
        ProbeKind,
        typer.Option("--probe", help="What to send in the pod's place; auto: what fits, where it sends nothing for 3 s."),
    ] = ProbeKind.AUTO
    mtu: Mtu = False
    ab: Ab = False
    all_pods: Annotated[bool, typer.Option("--all-pods", help="Trace all pods of a workload or of --selector, not one of them.")] = False
    snaplen: Annotated[int, typer.Option("--snaplen", min=128, max=65535, help="Bytes to keep of each packet.")] = 512
    payload: Annotated[bool, typer.Option("--payload", help="Keep what applications send, not only headers and DNS.")] = False
    anonymize: Anonymize = False
    max_wall: MaxWall = None

    def limits(self, max_nodes: int) -> Limits:
        """What the trace may take. Raises UsageError for a time that is none."""
        return _limits(
            self.duration,
            self.max_wall,
            packets=self.count,
            snaplen_bytes=self.snaplen,
            max_nodes=max_nodes,
            sends_echoes=self.mtu,
        )


def _limits(
    duration: str,
    max_wall: str | None,
    *,
    packets: int | None = None,
    snaplen_bytes: int,
    max_nodes: int,
    sends_echoes: bool = False,
) -> Limits:
    is_auto = duration == _AUTO
    seconds = (LONGEST_ECHOES_S if sends_echoes else LONGEST_AUTO_S) if is_auto else duration_s(duration, "--duration")
    return Limits(
        duration_s=seconds,
        ends_when_clear=is_auto,
        max_wall_s=duration_s(max_wall, "--max-wall") if max_wall is not None else seconds + _BEYOND_CAPTURE_S,
        packets=packets,
        snaplen_bytes=snaplen_bytes,
        max_nodes=max_nodes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTraceFlags:
    """What to capture between nodes, where the trace itself sends the packets."""

    duration: Annotated[
        str, typer.Option("--duration", help="How long to capture at most (15s, 2m); auto: until echoes were answered, 30 s at most.")
    ] = _AUTO
    mtu: Mtu = False
    ab: Ab = False
    snaplen: Annotated[int, typer.Option("--snaplen", min=128, max=65535, help="Bytes to keep of each packet.")] = 512
    anonymize: Anonymize = False
    max_wall: MaxWall = None

    def limits(self, max_nodes: int) -> Limits:
        """What the trace may take. Raises UsageError for a time that is none."""
        return _limits(self.duration, self.max_wall, snaplen_bytes=self.snaplen, max_nodes=max_nodes, sends_echoes=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTraceFlags:
    """What to capture of a Service's clients."""

    duration: CaptureDuration = _AUTO
    snaplen: Annotated[int, typer.Option("--snaplen", min=128, max=65535, help="Bytes to keep of each packet.")] = 512
    payload: Annotated[bool, typer.Option("--payload", help="Keep what applications send, not only headers and DNS.")] = False
    anonymize: Anonymize = False
    max_wall: MaxWall = None

    def limits(self, max_nodes: int) -> Limits:
        """What the trace may take. Raises UsageError for a time that is none."""
        return _limits(self.duration, self.max_wall, snaplen_bytes=self.snaplen, max_nodes=max_nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFlags:
    """What becomes of a trace's report and bundle."""

    show: Annotated[int, typer.Option("--show", min=0, max=1000, help="Delivered packets to list.")] = 5
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="FILE.zip|FILE.tgz|DIR/|-|none",
            help="Where to write the bundle for the ticket; - is stdout, instead of the report. [default: vxtrace-SESSION-TIME.zip]",
        ),
    ] = None
    ticket: Annotated[
        str | None, typer.Option("--ticket", metavar="ID", help="The ticket that the report belongs to; it stands in it.")
    ] = None
    keep_pods: Annotated[bool, typer.Option("--keep-pods", help="Leave the debug pods to their deadline.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFlags:
    """How debug pods are made, and on how many nodes."""

    max_nodes: Annotated[int, typer.Option("--max-nodes", min=1, help="Refuse paths over more nodes.")] = 10
    image: Annotated[str, typer.Option("--image", help="Image of the debug pods.")] = DEFAULT_IMAGE
    image_pull_policy: Annotated[PullPolicy, typer.Option("--image-pull-policy", help="When to pull it.")] = PullPolicy.IF_NOT_PRESENT
    image_pull_secret: Annotated[
        str | None, typer.Option("--image-pull-secret", help="Secret to pull it with, in the debug pods' namespace.")
    ] = None
    debug_namespace: DebugNamespace = None
    profile: Annotated[Profile, typer.Option("--profile", help="privileged sees counters and rules; netraw only captures.")] = (
        Profile.PRIVILEGED
    )

    def options(self, *, keep: bool = False) -> PodOptions:
        """The same as a record of the request; `keep` leaves the pods to their deadline.

        Raises:
            UsageError: a namespace that can have no such name.
        """
        return PodOptions(
            image=self.image,
            image_pull_policy=self.image_pull_policy.value,
            image_pull_secret=self.image_pull_secret,
            debug_namespace=namespace_name(self.debug_namespace),
            profile=self.profile.value,
            keep=keep,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFlags:
    """How a report is printed."""

    output: Annotated[
        Any,
        typer.Option(
            "--output",
            "-o",
            metavar=FORM,
            parser=report_form,
            help=f"Format of the report: {', '.join(REPORT_FORMS)}.",
        ),
    ] = Output.TABLE
    """An Output or a JsonPath; Typer takes no type of two."""
    color: ColorMode = Color.AUTO
    pcap: Annotated[
        str | None,
        typer.Option("--pcap", metavar="FILE|-", help="Write the packets of all hops as one pcapng; - is stdout, instead of the report."),
    ] = None

    def check(self) -> None:
        """Raise UsageError where these cannot be had together, a template cannot be read, or `pcap` is a file that exists."""
        if isinstance(self.output, JsonPath):
            from kubectl_vxtrace.report import jsonpath

            jsonpath.check(self.output.template)
        if self.pcap == STDOUT and self.output is not Output.TABLE:
            raise UsageError(f"--pcap - takes stdout, and -o {self.output} needs it too", "name a file with --pcap, or leave -o out")
        if self.pcap is not None and self.pcap != STDOUT and Path(self.pcap).exists():
            raise UsageError(f"{self.pcap} exists already", "name another file with --pcap")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFlags:
    """How an answer that is no report is printed. `color` is accepted as every command accepts it; answers are not coloured."""

    output: Annotated[Notation, typer.Option("--output", "-o", help="Format of the answer.")] = Notation.TABLE
    color: ColorMode = Color.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFlags:
    """Where capture files of others were made, as far as the user knows."""

    node: Annotated[
        list[str] | None, typer.Option("--node", metavar="NAME=ADDRESS", help="A node's underlay address; may be repeated.")
    ] = None
    hop: Annotated[
        list[str] | None,
        typer.Option(
            "--hop",
            metavar="NODE:ROLE=FILE",
            help="Where a file was captured; ROLE: pod, bridge, vxlan, underlay, tor (or tor=FILE).",
        ),
    ] = None

    def given(self) -> "Given":
        """The same as a record. Raises UsageError where a value is malformed, or contradicts another."""
        from kubectl_vxtrace.bundle.given import read_given

        return read_given(self.node or (), self.hop or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitFlags:
    """How a verdict becomes an exit code."""

    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 also where every lost segment was sent again.")] = False
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 instead of 3 and 4.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressFlags:
    """How much is said on stderr."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Say on stderr what is asked of API and nodes; -vv, -v=6: and what they answer.",
        ),
    ] = 0

    def console(self) -> Stderr:
        """Where a command tells what it does."""
        return Stderr(quiet=self.quiet, verbose=self.verbose)


def flag_records(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, with the fields of each of its records as parameters of their own, in the record's place.

    Typer makes one flag of each parameter of a signature and knows no records (typer.utils.get_params_from_function). What is returned has
    the signature that it reads; called with the flags' values, it makes the records and calls `command` with them.

    Raises:
        ValueError: two records of a command have a field of the same name.
    """
    flags: list[inspect.Parameter] = []
    records: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command).parameters.values():
        record = parameter.annotation
        if isinstance(record, type) and is_dataclass(record):
            records[parameter.name] = record
            flags += [
                inspect.Parameter(field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
                for field in fields(record)
            ]
        else:
            flags.append(parameter.replace(kind=parameter.KEYWORD_ONLY))

    @wraps(command)
    def with_records(**values: Any) -> None:
        made = {name: record(**{field.name: values.pop(field.name) for field in fields(record)}) for name, record in records.items()}
        command(**values, **made)

    with_records.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    with_records.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return with_records
