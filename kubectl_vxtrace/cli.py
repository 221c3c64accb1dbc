"""The command line: binds flags, turns them into records, calls the command, and is the only place that ends the process."""

import atexit
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.main import get_group

from kubectl_vxtrace import __version__, last_net, signals
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import ExitCode, UsageError, VxtraceError
from kubectl_vxtrace.flags.grammar import command_name, flags_of, normalised
from kubectl_vxtrace.flags.records import (
    AnswerFlags,
    ClusterFlags,
    ColorMode,
    DebugNamespace,
    ExitFlags,
    FileFlags,
    ImpatientClusterFlags,
    PodFlags,
    Port,
    ProgressFlags,
    Protocol,
    ReportFlags,
    TraceFlags,
    flag_records,
)
from kubectl_vxtrace.flags.values import Color, DryRunMode, Output, namespace_name
from kubectl_vxtrace.model.request import Limits, Request

PROGRAM = "kubectl vxtrace"
# Typer derives the variable from the program's name, and a blank in it would switch completion off silently.
COMPLETE_VARIABLE = "_KUBECTL_VXTRACE_COMPLETE"

# Commands that are planned, and what does most of the same today.
_NOT_BUILT = {
    "node": "trace what crosses the two nodes from one of its pods: kubectl vxtrace pod NAME --to TARGET",
    "service": "trace it from one of its clients: kubectl vxtrace pod NAME --to svc/NAME",
    "mesh": "trace one pair of nodes from a pod: kubectl vxtrace pod NAME --to TARGET",
    "compare": "give each to kubectl vxtrace analyze",
    "completion": "docs/completion.md has the scripts for bash, zsh, fish and kubectl itself",
}

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
    code: int
    console = Stderr(verbose=_wants_details(sys.argv[1:]))
    last_net.spread(console)
    try:
        code = _call(sys.argv[1:])
    except VxtraceError as error:
        console.error(error)
        code = error.exit_code
    except KeyboardInterrupt:
        console.warn("interrupted")
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.CANNOT_RUN  # whoever read our output has gone: there is nobody to tell
    except Exception as error:
        last_net.say(error, console)
        code = ExitCode.CANNOT_RUN
    _end(code)


def _wants_details(words: Sequence[str]) -> bool:
    return any(word == "--verbose" or (word.startswith("-v") and not word.startswith("--")) for word in words)


def _end(code: int) -> NoReturn:
    """End the process, and leave nothing to the interpreter's own end: it would wait for threads that still wait for a node and have
    nothing to add, and in its last moments a signal would change the exit code."""
    signals.ending(code)
    stdout.finish()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)


def _call(words: Sequence[str]) -> int:
    """Call the command, and return its exit code; raises what it raises."""
    stdout.guard()
    group = get_group(app)
    words = normalised(words, flags_of(group))
    if (name := command_name(words)) in _NOT_BUILT:
        raise UsageError(f"{name} is not in this version", _NOT_BUILT[name])
    try:
        group.main(words, prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, standalone_mode=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.CANNOT_RUN if ended.code else ExitCode.DELIVERED
    return ExitCode.DELIVERED


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


@app.command()
@flag_records
def pod(
    source: Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME", help="The pod whose traffic to follow.")],
    trace: TraceFlags,
    pods: PodFlags,
    keep_pods: Annotated[bool, typer.Option("--keep-pods", help="Leave the debug pods to their deadline.")] = False,
    dry_run: Annotated[
        DryRunMode | None,
        typer.Option("--dry-run", help="Print the pods, filters and tcpdump commands of this trace, and make nothing."),
    ] = None,
    *,
    form: ReportFlags,
    show: Annotated[int, typer.Option("--show", min=0, max=1000, help="Delivered packets to list.")] = 5,
    bundle: Annotated[
        str | None,
        typer.Option("--bundle", metavar="PATH|none", help="Where to write the bundle for the ticket. [default: vxtrace-SESSION-TIME.zip]"),
    ] = None,
    ticket: Annotated[
        str | None, typer.Option("--ticket", metavar="ID", help="The ticket that the report belongs to; it stands in it.")
    ] = None,
    exits: ExitFlags,
    progress: ProgressFlags,
    cluster: ClusterFlags,
) -> None:
    """Trace a pod's traffic to a service, a pod, a workload, a node or an address."""
    access, limits = cluster.access(), trace.limits(pods.max_nodes)
    from kubectl_vxtrace.topology.target import parse_target

    if trace.to is None:
        raise UsageError("whom the pod talks to is not named", "name a service, workload, pod, node or address: --to kube-dns")
    request = Request(
        command="pod",
        source=parse_target(source),
        target=parse_target(trace.to, protocol=trace.protocol, port=trace.port),
        filter=trace.filter,
        access=access,
        limits=limits,
        pod_options=pods.options(keep=keep_pods),
        show=show,
        ticket=ticket,
        payload=trace.payload,
    )
    if dry_run is not None:
        from kubectl_vxtrace.commands import dry_run as trial

        trial.run(request, progress.console(), form.output, dry_run)
        return
    from kubectl_vxtrace.commands import pod as command

    raise typer.Exit(command.run(request, progress.console(), form=form, bundle=bundle, exits=exits))


@app.command()
@flag_records
def analyze(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="A bundle, a trace folder, or captures: files, folders and archives of them.")
    ],
    files: FileFlags,
    form: ReportFlags,
    exits: ExitFlags,
    progress: ProgressFlags,
) -> None:
    """Give the same verdict again, from a bundle, a folder, or captures recorded by hand. Needs no cluster."""
    if form.output is Output.NAME:
        raise UsageError("-o name prints the bundle that a trace wrote; analyze writes none", "use -o table, json, yaml, markdown or html")
    from kubectl_vxtrace.commands import analyze as command

    raise typer.Exit(command.run(paths, files.given(), progress.console(), form=form, exits=exits))


@app.command()
@flag_records
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[pod [NAMESPACE/]NAME]", help="The trace to check for; without it, rights and nodes alone."),
    ] = None,
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
    source = _checked_source(what or [], to)
    access = cluster.access()
    from kubectl_vxtrace.commands import check as command
    from kubectl_vxtrace.topology.target import parse_target

    command.run(
        access,
        pods.options(),
        Limits(max_nodes=pods.max_nodes),
        progress.console(),
        form.output,
        source=parse_target(source) if source is not None else None,
        target=parse_target(to, protocol=protocol, port=port) if to is not None else None,
    )


@app.command()
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


def _complete_cause(incomplete: str) -> list[str]:
    from kubectl_vxtrace.commands.explain import starting_with

    return starting_with(incomplete)


@app.command()
def explain(
    cause: Annotated[
        str | None,
        typer.Argument(metavar="CAUSE", help="A cause as a report names it; without it, all are listed.", autocompletion=_complete_cause),
    ] = None,
    color: ColorMode = Color.AUTO,
) -> None:
    """Explain a cause: how it looks, how it comes about, what proves it, what to do."""
    from kubectl_vxtrace.commands import explain as command

    command.run(cause, color)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the report."""
    from kubectl_vxtrace.commands import schema as command

    command.run()


@app.command()
@flag_records
def version(form: AnswerFlags, progress: ProgressFlags, cluster: ImpatientClusterFlags) -> None:
    """Print this version, and the server's where one can be reached."""
    access = cluster.access()
    from kubectl_vxtrace.commands import version as command

    command.run(access, progress.console(), form.output)


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
