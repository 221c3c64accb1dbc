"""The commands and their flags: each turns its flags into records and calls what does the work, which is imported when it is called."""

from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.main import get_group

from kubectl_vxtrace import __version__
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.called import checked_source
from kubectl_vxtrace.flags.cluster import ClusterFlags, ImpatientClusterFlags
from kubectl_vxtrace.flags.help import HelpCommand, HelpGroup, options_text
from kubectl_vxtrace.flags.records import (
    NODE,
    AnswerFlags,
    ColorMode,
    DebugNamespace,
    DeliveryFlags,
    ExitFlags,
    FileFlags,
    NodeSelector,
    NodeTraceFlags,
    PodFlags,
    Port,
    ProgressFlags,
    Protocol,
    ReportFlags,
    Selector,
    ServiceTraceFlags,
    TraceFlags,
    flag_records,
)
from kubectl_vxtrace.flags.values import Color, CompletionShell, DryRunMode, Output, namespace_name
from kubectl_vxtrace.model.request import Limits, ProbeKind, Request, Target

PROGRAM = "kubectl vxtrace"

app = typer.Typer(
    name=PROGRAM,
    help="Follow the same packet through every hop of a VXLAN overlay, and say where it vanished, why, and what to do.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=HelpGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.write(f"Client Version: v{__version__}\n")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print this version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Bind the flags that need no command."""


def _request_flags(
    cluster: ClusterFlags, trace: TraceFlags | ServiceTraceFlags | NodeTraceFlags, pods: PodFlags, delivery: DeliveryFlags
) -> partial[Request]:
    """What all traces are asked with; the command's own arguments are still to come."""
    return partial(
        Request,
        access=cluster.access(),
        limits=trace.limits(pods.max_nodes),
        pod_options=pods.options(keep=delivery.keep_pods),
        show=delivery.show,
        ticket=delivery.ticket,
        anonymize=trace.anonymize,
    )


def _trace(request: Request, progress: ProgressFlags, form: ReportFlags, delivery: DeliveryFlags, exits: ExitFlags) -> NoReturn:
    """Carry out a trace, and end with its exit code."""
    from kubectl_vxtrace.commands import pod as command

    raise typer.Exit(command.run(request, progress.console(), form=form, bundle=delivery.bundle, exits=exits))


@app.command(cls=HelpCommand)
@flag_records
def pod(
    source: Annotated[
        str | None, typer.Argument(metavar="[NAMESPACE/]NAME", help="The pod whose traffic to follow, or a workload (deploy/NAME).")
    ] = None,
    selector: Selector = None,
    *,
    trace: TraceFlags,
    pods: PodFlags,
    dry_run: Annotated[
        DryRunMode | None,
        typer.Option("--dry-run", help="Print the pods, filters and tcpdump commands of this trace, and make nothing."),
    ] = None,
    form: ReportFlags,
    delivery: DeliveryFlags,
    exits: ExitFlags,
    progress: ProgressFlags,
    cluster: ClusterFlags,
) -> None:
    """Trace a pod's traffic to a service, a pod, a workload, a node or an address; without --to all that crosses nodes."""
    request_with = _request_flags(cluster, trace, pods, delivery)
    from kubectl_vxtrace.topology.target import parse_source, parse_target

    start = parse_source(source, selector)
    needs_target = (dry_run is not None, trace.port is not None, trace.protocol is not None, trace.mtu, trace.ab, trace.all_pods)
    if trace.to is None and any(needs_target):
        raise UsageError("whom the pod talks to is not named", "name a service, workload, pod, node or address: --to kube-dns")
    request = request_with(
        command="pod",
        source=start,
        target=parse_target(trace.to, protocol=trace.protocol, port=trace.port) if trace.to is not None else None,
        filter=trace.filter,
        payload=trace.payload,
        mtu=trace.mtu,
        ab=trace.ab,
        all_pods=trace.all_pods,
        probe=trace.probe if trace.to is not None else ProbeKind.NONE,
    )
    if dry_run is not None:
        from kubectl_vxtrace.commands import dry_run as trial

        trial.run(request, progress.console(), form.output, dry_run)
        return
    _trace(request, progress, form, delivery, exits)


@app.command(cls=HelpCommand)
@flag_records
def service(
    name: Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME", help="The Service whose clients to follow.")],
    *,
    trace: ServiceTraceFlags,
    pods: PodFlags,
    form: ReportFlags,
    delivery: DeliveryFlags,
    exits: ExitFlags,
    progress: ProgressFlags,
    cluster: ClusterFlags,
) -> None:
    """Trace all clients of a Service that its backends hear, those that lose most first."""
    request_with = _request_flags(cluster, trace, pods, delivery)
    from kubectl_vxtrace.topology.target import parse_target

    request = request_with(
        command="service",
        source=parse_target(name),
        payload=trace.payload,
    )
    _trace(request, progress, form, delivery, exits)


@app.command(cls=HelpCommand)
@flag_records
def node(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A node.")],
    to: Annotated[str | None, typer.Option("--to", metavar=NODE, help="The other node: node/NAME, or NAME alone.")] = None,
    *,
    trace: NodeTraceFlags,
    pods: PodFlags,
    form: ReportFlags,
    delivery: DeliveryFlags,
    exits: ExitFlags,
    progress: ProgressFlags,
    cluster: ClusterFlags,
) -> None:
    """Trace the tunnel between two nodes, from VXLAN device to VXLAN device, both ways; the trace sends the packets."""
    request_with = _request_flags(cluster, trace, pods, delivery)
    from kubectl_vxtrace.topology.target import parse_target

    request = request_with(
        command="node",
        source=parse_target(name),
        target=parse_target(to) if to is not None else None,
        mtu=trace.mtu,
        ab=trace.ab,
    )
    _trace(request, progress, form, delivery, exits)


@app.command(cls=HelpCommand)
@flag_records
def mesh(
    selector: NodeSelector = None,
    *,
    trace: NodeTraceFlags,
    pods: PodFlags,
    form: ReportFlags,
    delivery: DeliveryFlags,
    exits: ExitFlags,
    progress: ProgressFlags,
    cluster: ClusterFlags,
) -> None:
    """Trace the tunnels between all nodes, every pair both ways; the trace sends the packets."""
    request_with = _request_flags(cluster, trace, pods, delivery)
    request = request_with(command="mesh", source=Target(kind="node", selector=selector or ""), mtu=trace.mtu, ab=trace.ab)
    _trace(request, progress, form, delivery, exits)


@app.command(cls=HelpCommand)
@flag_records
def analyze(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="A bundle, a trace folder, or captures: files, folders and archives of them; - is stdin."),
    ],
    files: FileFlags,
    form: ReportFlags,
    exits: ExitFlags,
    progress: ProgressFlags,
) -> None:
    """Give the same verdict again, from a bundle, a folder, or captures recorded by hand. Needs no cluster."""
    if form.output is Output.NAME:
        raise UsageError("-o name prints the bundle that a trace wrote; analyze writes none", "name another form with -o")
    from kubectl_vxtrace.commands import analyze as command

    raise typer.Exit(command.run(paths, files.given(), progress.console(), form=form, exits=exits))


@app.command(cls=HelpCommand)
@flag_records
def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="A bundle, a trace folder, a capture, or an archive of captures.")],
    other: Annotated[
        Path, typer.Argument(metavar="B", help="Another one: of the same path at another time, or of one that should be alike.")
    ],
    form: AnswerFlags,
    progress: ProgressFlags,
) -> None:
    """Say what differs between two recordings: verdicts, hops, findings, and the nodes' settings. Needs no cluster."""
    from kubectl_vxtrace.commands import compare as command

    command.run(one, other, progress.console(), form.output)


@app.command(cls=HelpCommand)
@flag_records
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[pod [NAMESPACE/]NAME]", help="The trace to check for; without it, rights and nodes alone."),
    ] = None,
    selector: Selector = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TARGET", help="As for pod.")] = None,
    port: Port = None,
    protocol: Protocol = None,
    *,
    pods: PodFlags,
    form: AnswerFlags,
    progress: ProgressFlags,
    cluster: ClusterFlags,
) -> None:
    """Check names, rights, admission and nodes for a trace; creates nothing that stays."""
    is_trace, name = checked_source(what or [], selector, to)
    access = cluster.access()
    from kubectl_vxtrace.commands import check as command
    from kubectl_vxtrace.topology.target import parse_source, parse_target

    command.run(
        access,
        pods.options(),
        Limits(max_nodes=pods.max_nodes),
        progress.console(),
        form.output,
        source=parse_source(name, selector) if is_trace else None,
        target=parse_target(to, protocol=protocol, port=port) if to is not None else None,
    )


@app.command(cls=HelpCommand)
@flag_records
def cleanup(
    everything: Annotated[bool, typer.Option("--all", help="Also the debug pods of traces that may still be running.")] = False,
    debug_namespace: DebugNamespace = None,
    *,
    form: AnswerFlags,
    progress: ProgressFlags,
    cluster: ClusterFlags,
) -> None:
    """Remove debug pods that earlier traces left, and say what could not be confirmed."""
    access = cluster.access()
    from kubectl_vxtrace.commands import cleanup as command

    namespace = namespace_name(debug_namespace) or access.namespace
    raise typer.Exit(command.run(access, progress.console(), form.output, namespace=namespace, everything=everything))


@app.command(cls=HelpCommand)
def explain(
    cause: Annotated[
        str | None,
        typer.Argument(metavar="CAUSE", help="A cause as a report names it; without it, all are listed."),
    ] = None,
    color: ColorMode = Color.AUTO,
) -> None:
    """Explain a cause: how it looks, how it comes about, what proves it, what to do."""
    from kubectl_vxtrace.commands import explain as command

    command.run(cause, color)


@app.command(cls=HelpCommand)
def schema() -> None:
    """Print the JSON Schema of the report."""
    from kubectl_vxtrace.commands import schema as command

    command.run()


@app.command(cls=HelpCommand)
@flag_records
def version(form: AnswerFlags, progress: ProgressFlags, cluster: ImpatientClusterFlags) -> None:
    """Print this version, and the server's where one can be reached."""
    access = cluster.access()
    from kubectl_vxtrace.commands import version as command

    command.run(access, progress.console(), form.output)


@app.command(cls=HelpCommand)
def completion(
    shell: Annotated[
        CompletionShell, typer.Argument(metavar="bash|zsh|fish|install", help="Print the script of a shell, or install kubectl's.")
    ],
) -> None:
    """Complete commands, flags, pods, Services and more when Tab is pressed."""
    from kubectl_vxtrace.commands import completion as command

    command.run(shell)


@app.command(cls=HelpCommand)
def options() -> None:
    """List kubectl's own flags, as every command takes them that talks to a cluster."""
    stdout.write(options_text(get_group(app).commands["pod"]))
