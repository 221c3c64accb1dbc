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
from kubectl_vxtrace.flags.values import Color, Notation, Output, Profile, PullPolicy, duration_s, namespace_name, request_timeout_s
from kubectl_vxtrace.model.request import DEFAULT_IMAGE, Access, Limits, PodOptions

if TYPE_CHECKING:
    from kubectl_vxtrace.bundle.given import Given

STDOUT = "-"
"""How a flag that names a file names stdout."""

# What a trace may take beyond its capture where --max-wall says nothing: start, fetch, clean-up.
_BEYOND_CAPTURE_S = 240.0

Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the target.")]
Protocol = Annotated[str | None, typer.Option("--protocol", help="tcp, udp or icmp.")]
ColorMode = Annotated[Color, typer.Option("--color", help="Colour the table.")]
DebugNamespace = Annotated[str | None, typer.Option("--debug-namespace", help="Namespace of the debug pods. [default: the context's]")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFlags:
    """Which cluster, and as whom: kubectl's flags of the same names."""

    kubeconfig: Annotated[str | None, typer.Option("--kubeconfig", help="Path to the kubeconfig file.")] = None
    context: Annotated[str | None, typer.Option("--context", help="Name of the kubeconfig context.")] = None
    cluster: Annotated[str | None, typer.Option("--cluster", help="Name of the kubeconfig cluster.")] = None
    user: Annotated[str | None, typer.Option("--user", help="Name of the kubeconfig user.")] = None
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace of names that carry none.")] = None
    as_user: Annotated[str | None, typer.Option("--as", help="User to impersonate.")] = None
    as_group: Annotated[list[str] | None, typer.Option("--as-group", help="Group to impersonate; may be repeated.")] = None
    request_timeout: Annotated[str, typer.Option("--request-timeout", help="Time for one API request (1s, 2m); 0: no limit.")] = "0"

    def access(self) -> Access:
        """The same as a record of the request.

        Raises:
            typer.BadParameter: a time that is none.
            UsageError: a namespace that can have no such name.
        """
        return Access(
            kubeconfig=self.kubeconfig,
            context=self.context,
            cluster=self.cluster,
            user=self.user,
            namespace=namespace_name(self.namespace),
            as_user=self.as_user,
            as_groups=tuple(self.as_group or ()),
            request_timeout_s=request_timeout_s(self.request_timeout),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpatientClusterFlags(ClusterFlags):
    """The same for a command that has an answer without the cluster, and does not wait long for one."""

    request_timeout: Annotated[str, typer.Option("--request-timeout", help="Time for one API request (1s, 2m); 0: no limit.")] = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFlags:
    """Whom the traced pod talks to, and what to capture of it."""

    to: Annotated[
        str | None,
        typer.Option("--to", metavar="[TYPE/][NAMESPACE/]NAME[:PORT[/PROTO]]", help="A service, workload, pod, node or address."),
    ] = None
    duration: Annotated[str, typer.Option("--duration", help="How long to capture (15s, 2m).")] = "15s"
    count: Annotated[int | None, typer.Option("--count", min=1, help="Stop early after this many packets of the flow.")] = None
    port: Port = None
    protocol: Protocol = None
    filter: Annotated[
        str | None, typer.Option("--filter", metavar="EXPR", help="A libpcap filter for the client's first hop; what it picks is followed.")
    ] = None
    snaplen: Annotated[int, typer.Option("--snaplen", min=128, max=65535, help="Bytes to keep of each packet.")] = 512
    payload: Annotated[bool, typer.Option("--payload", help="Keep what applications send, not only headers and DNS.")] = False
    max_wall: Annotated[str | None, typer.Option("--max-wall", help="End the whole trace after this time. [default: duration + 4m]")] = None

    def limits(self, max_nodes: int) -> Limits:
        """What the trace may take. Raises typer.BadParameter for a time that is none."""
        seconds = duration_s(self.duration)
        return Limits(
            duration_s=seconds,
            max_wall_s=duration_s(self.max_wall) if self.max_wall is not None else seconds + _BEYOND_CAPTURE_S,
            packets=self.count,
            snaplen_bytes=self.snaplen,
            max_nodes=max_nodes,
        )


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

    output: Annotated[Output, typer.Option("--output", "-o", help="Format of the report.")] = Output.TABLE
    color: ColorMode = Color.AUTO
    pcap: Annotated[
        str | None,
        typer.Option("--pcap", metavar="FILE|-", help="Write the packets of all hops as one pcapng; - is stdout, instead of the report."),
    ] = None

    def check(self) -> None:
        """Raise UsageError where these cannot be had together, or `pcap` is a file that exists."""
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
            "--hop", metavar="NODE:ROLE=FILE", help="Where a file was captured; ROLE: pod, bridge, vxlan, underlay, tor. May be repeated."
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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False

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
