"""The commands: flags to a Request, the report to stdout, and the only place that ends the process."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from kubectl_vxtrace import __version__
from kubectl_vxtrace import options as opt
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import ExitCode, UsageError, VxtraceError
from kubectl_vxtrace.model.request import DEFAULT_IMAGE, Access, Limits, PodOptions, Request

PROGRAM = "kubectl vxtrace"
# Typer derives the variable from the program's name, and a blank in it would switch completion off silently.
COMPLETE_VARIABLE = "_KUBECTL_VXTRACE_COMPLETE"

app = typer.Typer(
    name=PROGRAM,
    help="Follow the same packet through every hop of a VXLAN overlay, and say where it vanished, why, and what to do.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def run() -> NoReturn:
    """Run the command line and exit with the contract's code."""
    if COMPLETE_VARIABLE in os.environ:
        # With add_completion=False, which keeps Typer's two flags out of the help, Typer leaves out the shells as well.
        from typer._completion_classes import completion_init

        completion_init()
    try:
        app(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, standalone_mode=True)
    except VxtraceError as error:
        Stderr().error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        Stderr().warn("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        _close_stdout()
        sys.exit(ExitCode.CANNOT_RUN)
    sys.exit(ExitCode.DELIVERED)


@app.command()
def pod(
    source: Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME", help="The pod whose traffic to follow.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="[TYPE/][NAMESPACE/]NAME[:PORT[/PROTO]]", help="A service, workload, pod, node or address."),
    ] = None,
    duration: Annotated[str, typer.Option("--duration", help="How long to capture (15s, 2m).")] = "15s",
    count: Annotated[int | None, typer.Option("--count", min=1, help="Stop early after this many packets of the flow.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the target.")] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="tcp, udp or icmp.")] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="EXPR", help="A libpcap filter for the client's first hop; what it picks is followed.")
    ] = None,
    snaplen: Annotated[int, typer.Option("--snaplen", min=128, max=65535, help="Bytes to keep of each packet.")] = 512,
    max_wall: Annotated[
        str | None, typer.Option("--max-wall", help="End the whole trace after this time. [default: duration + 4m]")
    ] = None,
    max_nodes: opt.MaxNodes = 10,
    image: opt.Image = DEFAULT_IMAGE,
    image_pull_policy: opt.ImagePullPolicy = opt.PullPolicy.IF_NOT_PRESENT,
    image_pull_secret: opt.ImagePullSecret = None,
    debug_namespace: opt.DebugNamespace = None,
    profile: opt.ProfileName = opt.Profile.PRIVILEGED,
    keep_pods: opt.KeepPods = False,
    dry_run: opt.DryRun = None,
    output: opt.OutputFormat = opt.Output.TABLE,
    color: opt.ColorMode = opt.Color.AUTO,
    show: opt.Show = 5,
    bundle: opt.BundlePath = None,
    strict: opt.Strict = False,
    exit_zero: opt.ExitZero = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    kubeconfig: opt.Kubeconfig = None,
    context: opt.Context = None,
    cluster: opt.Cluster = None,
    user: opt.User = None,
    namespace: opt.Namespace = None,
    as_user: opt.AsUser = None,
    as_group: opt.AsGroup = None,
    request_timeout: opt.RequestTimeout = "0",
) -> None:
    """Trace a pod's traffic to a service, a pod, a workload, a node or an address."""
    access = _access(kubeconfig, context, cluster, user, namespace, as_user, as_group, request_timeout)
    request = _request(
        "pod",
        source,
        to,
        port=port,
        protocol=protocol,
        filter_=filter_,
        access=access,
        limits=_limits(duration, count, snaplen, max_wall, max_nodes),
        pod_options=PodOptions(
            image=image,
            image_pull_policy=image_pull_policy.value,
            image_pull_secret=image_pull_secret,
            debug_namespace=debug_namespace,
            profile=profile.value,
            keep=keep_pods,
        ),
        show=show,
    )
    if dry_run is not None:
        _dry_run(request, output, Stderr(quiet=quiet, verbose=verbose), server=dry_run is opt.DryRunMode.SERVER)
        return
    from kubectl_vxtrace import deliver

    delivery = deliver.Delivery(output=output, color=color, bundle=bundle, strict=strict, exit_zero=exit_zero, quiet=quiet, verbose=verbose)
    raise typer.Exit(deliver.traced(request, delivery))


@app.command()
def analyze(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="A bundle, a trace folder, or captures: files, folders and archives of them.")
    ],
    node: Annotated[
        list[str] | None, typer.Option("--node", metavar="NAME=ADDRESS", help="A node's underlay address; may be given several times.")
    ] = None,
    hop: Annotated[
        list[str] | None,
        typer.Option("--hop", metavar="NODE:ROLE=FILE", help="Where a file was captured; ROLE is pod, bridge, vxlan, underlay or tor."),
    ] = None,
    output: opt.OutputFormat = opt.Output.TABLE,
    color: opt.ColorMode = opt.Color.AUTO,
    strict: opt.Strict = False,
    exit_zero: opt.ExitZero = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Give the same verdict again, from a bundle, a folder, or captures recorded by hand. Needs no cluster."""
    if output is opt.Output.NAME:
        raise UsageError("-o name prints the bundle that a trace wrote; analyze writes none", "use -o table, json, yaml or markdown")
    from kubectl_vxtrace import deliver

    delivery = deliver.Delivery(output=output, color=color, bundle="none", strict=strict, exit_zero=exit_zero, quiet=quiet, verbose=verbose)
    raise typer.Exit(deliver.analysed(paths, node or (), hop or (), delivery))


@app.command()
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[pod [NAMESPACE/]NAME]", help="The trace to check for; without it, rights and nodes alone."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TARGET", help="As for pod.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the target.")] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="tcp, udp or icmp.")] = None,
    max_nodes: opt.MaxNodes = 10,
    image: opt.Image = DEFAULT_IMAGE,
    image_pull_policy: opt.ImagePullPolicy = opt.PullPolicy.IF_NOT_PRESENT,
    image_pull_secret: opt.ImagePullSecret = None,
    debug_namespace: opt.DebugNamespace = None,
    profile: opt.ProfileName = opt.Profile.PRIVILEGED,
    output: opt.OutputNotation = opt.Notation.TABLE,
    color: opt.ColorMode = opt.Color.AUTO,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    kubeconfig: opt.Kubeconfig = None,
    context: opt.Context = None,
    cluster: opt.Cluster = None,
    user: opt.User = None,
    namespace: opt.Namespace = None,
    as_user: opt.AsUser = None,
    as_group: opt.AsGroup = None,
    request_timeout: opt.RequestTimeout = "0",
) -> None:
    """Check names, rights, admission and nodes for a trace; creates nothing that stays."""
    del color  # accepted as every command does; nothing here is coloured
    source = _checked_source(what or [], to)
    access = _access(kubeconfig, context, cluster, user, namespace, as_user, as_group, request_timeout)
    limits = Limits(max_nodes=max_nodes)
    pod_options = PodOptions(
        image=image,
        image_pull_policy=image_pull_policy.value,
        image_pull_secret=image_pull_secret,
        debug_namespace=debug_namespace,
        profile=profile.value,
    )
    from kubectl_vxtrace import readiness
    from kubectl_vxtrace.topology.target import parse_target

    console = Stderr(quiet=quiet, verbose=verbose)
    if source is None:
        ready = readiness.of_cluster(access, pod_options, limits, console)
    else:
        target = parse_target(to, protocol=protocol, port=port) if to is not None else None
        request = Request(
            command="check", source=parse_target(source), target=target, access=access, limits=limits, pod_options=pod_options, show=0
        )
        ready = readiness.of_request(request, console)
    for gap in ready.gaps:
        console.warn(f"{gap.node}: {gap.reason}")
    nodes = f"{len(ready.nodes)} node{'' if len(ready.nodes) == 1 else 's'}: {', '.join(ready.nodes)}"
    text = f"ok: {ready.flows} flows may be traced over {nodes}" if ready.flows else f"ok: debug pods are admitted on {nodes}"
    gaps = [{"node": gap.node, "reason": gap.reason} for gap in ready.gaps]
    _say(
        output,
        text,
        {"flows": ready.flows, "nodes": list(ready.nodes), "gaps": gaps},
    )


@app.command()
def cleanup(
    everything: Annotated[bool, typer.Option("--all", help="Also the debug pods of traces that may still be running.")] = False,
    debug_namespace: opt.DebugNamespace = None,
    output: opt.OutputNotation = opt.Notation.TABLE,
    color: opt.ColorMode = opt.Color.AUTO,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    kubeconfig: opt.Kubeconfig = None,
    context: opt.Context = None,
    cluster: opt.Cluster = None,
    user: opt.User = None,
    namespace: opt.Namespace = None,
    as_user: opt.AsUser = None,
    as_group: opt.AsGroup = None,
    request_timeout: opt.RequestTimeout = "0",
) -> None:
    """Remove debug pods that earlier traces left, and say what could not be confirmed."""
    del color  # accepted as every command does; nothing here is coloured
    access = _access(kubeconfig, context, cluster, user, namespace, as_user, as_group, request_timeout)
    from kubectl_vxtrace.kube.config import connect
    from kubectl_vxtrace.kube.debugpod import sweep

    connection = connect(access)
    console = Stderr(quiet=quiet, verbose=verbose)
    console.detail(f"asking {connection.server}")
    outcome = sweep(connection, namespace=debug_namespace or namespace, everything=everything)
    lines = [f"{len(outcome.removed)} of {outcome.pods} debug pods removed", *(f"removed {name}" for name in outcome.removed)]
    _say(output, "\n".join(lines), {"state": outcome.state.value, "removed": list(outcome.removed), "left": list(outcome.left)})
    for name in outcome.left:
        console.warn(f"not confirmed gone: {name}")
    raise typer.Exit(ExitCode.LEFT_BEHIND if outcome.left else ExitCode.DELIVERED)


def _complete_cause(incomplete: str) -> list[str]:
    from kubectl_vxtrace.explain import starting_with

    return starting_with(incomplete)


@app.command()
def explain(
    cause: Annotated[
        str | None,
        typer.Argument(metavar="CAUSE", help="A cause as a report names it; without it, all are listed.", autocompletion=_complete_cause),
    ] = None,
    color: opt.ColorMode = opt.Color.AUTO,
) -> None:
    """Explain a cause: how it looks, how it comes about, what proves it, what to do."""
    import shutil

    from kubectl_vxtrace import explain as pages

    if cause is None:
        typer.echo(pages.listing(), nl=False)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(pages.explain(cause, width=width, color=opt.colored(color)), nl=False, color=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the report."""
    import json

    from kubectl_vxtrace.report import document

    typer.echo(json.dumps(document.schema(), indent=2))


@app.command()
def version(
    output: opt.OutputNotation = opt.Notation.TABLE,
    color: opt.ColorMode = opt.Color.AUTO,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    kubeconfig: opt.Kubeconfig = None,
    context: opt.Context = None,
    cluster: opt.Cluster = None,
    user: opt.User = None,
    namespace: opt.Namespace = None,
    as_user: opt.AsUser = None,
    as_group: opt.AsGroup = None,
    request_timeout: opt.RequestTimeout = "3",
) -> None:
    """Print this version, and the server's where one can be reached."""
    del color  # accepted as every command does; nothing here is coloured
    from kubectl_vxtrace.kube.config import connect, server_version

    console = Stderr(quiet=quiet, verbose=verbose)
    of_server = None
    try:
        connection = connect(_access(kubeconfig, context, cluster, user, namespace, as_user, as_group, request_timeout))
        console.detail(f"asking {connection.server}")
        of_server = server_version(connection)
    except VxtraceError as error:
        console.step(f"no server version: {error.message}")
    lines = [f"Client Version: v{__version__}", *([f"Server Version: {of_server}"] if of_server else [])]
    _say(output, "\n".join(lines), {"clientVersion": f"v{__version__}", "serverVersion": of_server})


def _checked_source(what: list[str], to: str | None) -> str | None:
    """The source of `check [pod NAME]`, None for the cluster as a whole."""
    match what:
        case []:
            if to is not None:
                raise UsageError("--to is given without a pod", "kubectl vxtrace check pod [NAMESPACE/]NAME --to TARGET")
            return None
        case ["pod", source]:
            return source
        case _:
            raise UsageError(f"check does not know {' '.join(what)!r}", "it is kubectl vxtrace check, or check pod NAME [--to TARGET]")


def _dry_run(request: Request, output: opt.Output, console: Stderr, *, server: bool) -> None:
    if output in (opt.Output.NAME, opt.Output.MARKDOWN):
        raise UsageError(f"-o {output} is a form of the report, and --dry-run makes none", "use -o table, json or yaml")
    from kubectl_vxtrace import dryrun

    typer.echo(dryrun.render(dryrun.plan(request, console, server=server), output), nl=False)


def _say(notation: opt.Notation, text: str, document: dict[str, object]) -> None:
    """An answer on stdout: as text, or as a document with the same content."""
    from kubectl_vxtrace.report.text import clean

    match notation:
        case opt.Notation.TABLE:
            typer.echo(clean(text))
        case opt.Notation.JSON:
            import json

            typer.echo(json.dumps(document, indent=2))
        case opt.Notation.YAML:
            import yaml

            typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)


def _access(
    kubeconfig: str | None,
    context: str | None,
    cluster: str | None,
    user: str | None,
    namespace: str | None,
    as_user: str | None,
    as_group: list[str] | None,
    request_timeout: str,
) -> Access:
    return Access(
        kubeconfig=kubeconfig,
        context=context,
        cluster=cluster,
        user=user,
        namespace=namespace,
        as_user=as_user,
        as_groups=tuple(as_group or ()),
        request_timeout_s=opt.request_timeout_s(request_timeout),
    )


def _limits(duration: str, count: int | None, snaplen: int, max_wall: str | None, max_nodes: int) -> Limits:
    duration_s = opt.duration_s(duration)
    return Limits(
        duration_s=duration_s,
        max_wall_s=opt.duration_s(max_wall) if max_wall is not None else duration_s + 240.0,
        packets=count,
        snaplen_bytes=snaplen,
        max_nodes=max_nodes,
    )


def _request(
    command: str,
    source: str,
    to: str | None,
    *,
    port: int | None,
    protocol: str | None,
    filter_: str | None,
    access: Access,
    limits: Limits,
    pod_options: PodOptions,
    show: int,
) -> Request:
    from kubectl_vxtrace.topology.target import parse_target

    if to is None:
        raise UsageError("whom the pod talks to is not named", "name a service, workload, pod, node or address: --to kube-dns")
    return Request(
        command=command,
        source=parse_target(source),
        target=parse_target(to, protocol=protocol, port=port),
        filter=filter_,
        access=access,
        limits=limits,
        pod_options=pod_options,
        show=show,
    )


def _close_stdout() -> None:
    """The reader of our output has gone; keep the interpreter from complaining when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
