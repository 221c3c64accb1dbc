"""With what a trace was made, as far as its recording says."""

import shlex

from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import Context
from kubectl_vxtrace.model.request import ProbeKind, Request, Target


def context(recording: Recording) -> Context | None:
    """The context of a trace's report; None where only files were given."""
    request = recording.request
    if request is None:
        return None
    shown = {hop.tap.node for path in recording.paths for hop in path.hops}
    nodes = [node for node in (recording.snapshot.nodes if recording.snapshot is not None else ()) if not shown or node.name in shown]
    return Context(
        command=command(request),
        plugin=recording.version,
        kubernetes=tuple(sorted({node.kubelet for node in nodes if node.kubelet is not None})),
        kernels=tuple(sorted({node.kernel for node in nodes if node.kernel is not None})),
        cni=recording.overlay.backend,
        image=request.pod_options.image,
        profile=request.pod_options.profile,
        filter=request.filter,
    )


def command(request: Request) -> str:
    """What was asked for, as it can be typed again; without the flags that say which cluster, and as whom."""
    words = ["kubectl vxtrace", request.command, *filter(None, (_target(request.source),))]
    if request.target is not None:
        words += ["--to", _target(request.target)]
    if not request.limits.ends_when_clear:
        words += ["--duration", f"{request.limits.duration_s:g}s"]
    if request.filter is not None:
        words += ["--filter", shlex.quote(request.filter)]
    if request.probe not in (ProbeKind.AUTO, ProbeKind.NONE):
        words += ["--probe", request.probe.value]
    words += [flag for flag, given in (("--mtu", request.mtu), ("--ab", request.ab), ("--all-pods", request.all_pods)) if given]
    return " ".join(words)


def _target(target: Target) -> str:
    """A target as it is typed."""
    if target.selector is not None:
        if not target.selector:
            return ""
        return f"-l {shlex.quote(target.selector)}"
    name = "/".join(filter(None, (target.kind, target.namespace, target.name)))
    port = "" if target.port is None and target.port_name is None else f":{target.port_name or target.port}"
    where = f"{name}{port}" if target.address is None else host_port(target.address, target.port)
    return f"{where}/{target.protocol.lower()}" if port and target.protocol is not None else where
