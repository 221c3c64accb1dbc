"""`pod --dry-run`: what a trace would do, as debug pods and as commands that somebody could run by hand. Nothing is made that stays."""

import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubectl_vxtrace.capture import port_comparison, tcpdump
from kubectl_vxtrace.capture.plan import plan_captures
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.commands.node_scripts import NodeScript, node_scripts
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.values import DryRunMode, JsonPath, Output
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Path, Role, Tap
from kubectl_vxtrace.model.recording import CaptureTask, Gap
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.prepare import prepare
from kubectl_vxtrace.report.document import API_VERSION
from kubectl_vxtrace.signals import Interruption
from kubectl_vxtrace.topology.overlay import published_overlay
from kubectl_vxtrace.topology.path import plan_paths

KIND = "DryRun"
_OUTSIDE = (Role.VXLAN, Role.UNDERLAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """A trace as planned from the API alone.

    `pods` are the manifests; `captures` have an argv each, in which an interface that only its node knows is a word in angle brackets;
    `scripts` are the same captures for a shell on each node, and find those interfaces. `admitted` says that the API was asked to create
    the pods with dryRun=All, and would. `ab` says what --ab sends.
    """

    flows: tuple[Flow, ...]
    overlay: Overlay
    pods: tuple[dict[str, Any], ...]
    captures: tuple[CaptureTask, ...]
    scripts: tuple[NodeScript, ...]
    gaps: tuple[Gap, ...]
    admitted: bool
    ab: str | None = None


def run(request: Request, console: Console, output: Output | JsonPath, mode: DryRunMode) -> None:
    """Print what the trace would do; nothing is made.

    Raises:
        UsageError: `output` is a form of the report, or what would keep the trace from running.
        CannotRunError: the same.
    """
    if output not in (Output.TABLE, Output.JSON, Output.YAML):
        raise UsageError(f"-o {output} is a form of the report, and --dry-run makes none", "use -o table, json or yaml")
    stdout.write(render(plan(request, console, server=mode is DryRunMode.SERVER), output))


def plan(request: Request, console: Console, *, server: bool) -> DryRun:
    """Plan a trace; with `server` the API judges rights and pods as well (dryRun=All).

    Raises:
        UsageError, CannotRunError: what would keep the trace from running, with what to do next.
    """
    prepared = prepare(request, console, secrets.token_hex(3), Interruption(), checked=server)
    overlay = published_overlay(prepared.snapshot, prepared.flows)
    tasks, finders = captures(request, prepared.snapshot, prepared.flows, overlay)
    return DryRun(
        flows=prepared.flows,
        overlay=overlay,
        pods=prepared.pods.manifests(prepared.nodes),
        captures=tasks,
        scripts=node_scripts(tasks, finders, request.limits.duration_s),
        gaps=prepared.gaps,
        admitted=server,
        ab=port_comparison.INTENT if request.ab else None,
    )


def captures(
    request: Request, snapshot: ClusterSnapshot, flows: Sequence[Flow], overlay: Overlay
) -> tuple[tuple[CaptureTask, ...], dict[Tap, str]]:
    """The captures of a trace over paths that the API alone tells.

    A hop whose interface it does not tell has a placeholder for it; how its node finds it stands in the second (see node_scripts).
    """
    by_id = {flow.id: flow for flow in flows}
    paths = plan_paths(flows, overlay, (), snapshot).paths
    named: list[Path] = []
    finders: dict[Tap, str] = {}
    for path in paths:
        hops = [_named(path, hop, by_id[path.flow]) for hop in path.hops]
        named.append(replace(path, hops=tuple(hops)))
        for hop, placed in zip(path.hops, hops, strict=True):
            if placed.tap != hop.tap and (finder := _finder(path, hop, by_id[path.flow], snapshot)) is not None:
                finders.setdefault(placed.tap, finder)
    planned = plan_captures(
        limits=request.limits, user_filter=request.filter, flows=flows, paths=named, watch=(), overlay=overlay, facts=()
    )
    taken: set[str] = set()
    tasks = []
    for task in planned.tasks:
        known = task.tap if tcpdump.usable_interface(task.tap.interface) else replace(task.tap, interface="")
        file = tcpdump.file_name(known, task.role, taken)
        taken.add(file)
        argv = tcpdump.argv(task.tap.interface, file, task.filter or "", role=task.role, snaplen_bytes=task.snaplen_bytes)
        tasks.append(replace(task, file=file, argv=argv))
    return tuple(tasks), finders


def render(dry: DryRun, output: Output | JsonPath) -> str:
    """The plan for stdout: text (manifests as YAML, then commands), or the same as a JSON or YAML document."""
    match output:
        case Output.JSON:
            import json

            return json.dumps(_document(dry), indent=2) + "\n"
        case Output.YAML:
            return _yaml(_document(dry))
        case _:
            return "\n".join(_lines(dry)) + "\n"


def _named(path: Path, hop: Hop, flow: Flow) -> Hop:
    """The hop, with a placeholder where its interface is not known; told apart by role, as every tap is captured once."""
    if hop.tap.interface:
        return hop
    return replace(hop, tap=Tap(node=hop.tap.node, interface=f"<{_description(path, hop, flow)}>"))


def _description(path: Path, hop: Hop, flow: Flow) -> str:
    match hop.role:
        case Role.POD:
            end = _end_at(path, hop, flow)
            return f"pod interface of {end.pod or end.address}"
        case Role.BRIDGE:
            return f"bridge of {hop.tap.node}"
        case Role.VXLAN:
            return f"VXLAN device of {hop.tap.node}"
        case Role.UNDERLAY:
            return f"NIC of {hop.tap.node}"


def _finder(path: Path, hop: Hop, flow: Flow, snapshot: ClusterSnapshot) -> str | None:
    """The call of a function of by_hand.sh that prints the hop's interface on its node; None where nothing leads there."""
    address = shlex.quote(_end_at(path, hop, flow).address)
    match hop.role:
        case Role.POD:
            return f"pod_interface {address}"
        case Role.BRIDGE:
            return f"bridge_interface {address}"
        case Role.VXLAN:
            return "vxlan_interface"
        case Role.UNDERLAY:
            others = {each.tap.node for each in path.hops} - {hop.tap.node}
            addresses = [node.addresses[0] for node in snapshot.nodes if node.name in others and node.addresses]
            return f"device_to {shlex.quote(addresses[0])}" if addresses else None


def _end_at(path: Path, hop: Hop, flow: Flow) -> Endpoint:
    """Whose interface a pod hop is: the sender's before the packets leave their node, the receiver's afterwards."""
    outside = [each.hop for each in path.hops if each.role in _OUTSIDE]
    sending = hop.hop < outside[0] if outside else hop.hop == 1
    at_client = sending is (path.direction is Direction.REQUEST)
    return flow.client if at_client or flow.server is None else flow.server


def _document(dry: DryRun) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "admitted": dry.admitted or None,
        "flows": [_flow(flow) for flow in dry.flows],
        "pods": list(dry.pods),
        "captures": [
            {
                "id": task.id,
                "node": task.tap.node,
                "interface": task.tap.interface if tcpdump.usable_interface(task.tap.interface) else None,
                "role": str(task.role),
                "filter": task.filter,
                "argv": list(task.argv),
                "file": task.file,
            }
            for task in dry.captures
        ],
        "scripts": [{"node": script.node, "script": script.text} for script in dry.scripts],
        **({"ab": dry.ab} if dry.ab is not None else {}),
        "gaps": [{"node": gap.node, "interface": gap.interface, "reason": gap.reason} for gap in dry.gaps],
    }


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "id": flow.id,
        "protocol": flow.protocol,
        "client": _endpoint(flow.client),
        "server": _endpoint(flow.server) if flow.server is not None else None,
        "candidates": [_endpoint(end) for end in flow.candidates],
        "service": None
        if flow.service is None
        else {"address": flow.service.address, "port": flow.service.port, "name": flow.service.name},
    }


def _endpoint(end: Endpoint) -> dict[str, Any]:
    return {"address": end.address, "port": end.port, "pod": end.pod, "node": end.node}


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, width=1_000_000)


def _lines(dry: DryRun) -> Iterator[str]:
    """Manifests first, as a stream that `kubectl apply -f -` reads; what follows is for a shell on the nodes."""
    said = "the API would create these" if dry.admitted else "planned from the API alone"
    yield f"# {len(dry.pods)} debug pods ({said}); nothing was created"
    for manifest in dry.pods:
        yield "---"
        yield _yaml(manifest).rstrip("\n")
    yield "..."
    yield ""
    yield f"# {len(dry.captures)} captures, a script for each node: paste it into a root shell there, on all nodes within a few seconds."
    yield "# Each prints the file that it has packed. Copy these to one place: kubectl vxtrace analyze vxtrace-*.tgz"
    if not any(vtep.port for vtep in dry.overlay.vteps):
        yield "# VXLAN's UDP port stands nowhere in the API: the filters take the usual ones. A trace asks the nodes for theirs."
    if dry.overlay.backend is not None:
        yield f"# By the nodes' annotations the overlay is {dry.overlay.backend}."
    if dry.ab is not None:
        yield f"# {dry.ab}"
    for gap in dry.gaps:
        yield f"# not captured: {_clean(gap.node or '')}: {_clean(gap.reason)}"
    for script in dry.scripts:
        yield ""
        yield f"# on {_clean(script.node)}"
        yield script.text.rstrip("\n")


def _clean(text: str) -> str:
    return clean(text, keep_newlines=False)
