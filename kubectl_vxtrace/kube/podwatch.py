"""Why a debug pod does not run yet, or never will."""

import msgspec

from kubectl_vxtrace.kube.manifest import CONTAINER
from kubectl_vxtrace.kube.objects import PodObject, State
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced

# Reasons of a waiting container that do not pass by themselves within a trace (kubelet: pkg/kubelet/images/types.go,
# pkg/kubelet/container/sync_result.go).
_HOPELESS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
_LONGEST_REASON = 500


class _Event(msgspec.Struct):
    type: str | None = None
    reason: str | None = None
    message: str | None = None


def is_running(pod: PodObject) -> bool:
    """Whether its container runs and may be asked."""
    if pod.status.phase != "Running" or pod.metadata.deletion_timestamp:
        return False
    states = [status.state for status in pod.status.container_statuses or () if status.name == CONTAINER]
    return not states or all(state is not None and state.running is not None for state in states)


def hopeless(pod: PodObject) -> str | None:
    """Why the pod will never run, or None while it still may."""
    if pod.metadata.deletion_timestamp:
        return "it is being deleted by somebody else"
    status = pod.status
    states = [container.state for container in status.container_statuses or () if container.state]
    ended = next((state.terminated for state in states if state.terminated), None)
    if status.phase in ("Failed", "Succeeded") or ended:
        return _text(status.reason, status.message) or _ended(ended) or f"the pod ended ({status.phase})"
    waiting = next((state.waiting for state in states if state.waiting and state.waiting.reason in _HOPELESS), None)
    if waiting:
        return _text(waiting.reason, waiting.message)
    unscheduled = next((item for item in status.conditions or () if item.type == "PodScheduled" and item.status == "False"), None)
    if unscheduled and unscheduled.reason == "Unschedulable":
        return _text(unscheduled.reason, unscheduled.message)
    return None


def waits_for(pod: PodObject) -> str:
    """What a pod that does not run yet waits for, in the kubelet's words."""
    states = [container.state for container in pod.status.container_statuses or () if container.state]
    waiting = next((state.waiting for state in states if state.waiting), None)
    return (_text(waiting.reason, waiting.message) if waiting else None) or f"the pod is {pod.status.phase or 'Pending'}"


def last_warning(api: Api, namespace: str, name: str) -> str | None:
    """The newest warning event about the pod; None where there is none."""
    try:
        query = [("fieldSelector", f"involvedObject.name={name}")]
        warnings = [event for event in api.items(namespaced(namespace, "events"), _Event, query) if event.type == "Warning"]
    except ApiError as error:
        # Events only make a message better; the message itself does not depend on them.
        return f"(its events cannot be read: {error.message})"
    return _text(warnings[-1].reason, warnings[-1].message) if warnings else None


def _ended(state: State | None) -> str | None:
    if state is None:
        return None
    code = f" with exit code {state.exit_code}" if state.exit_code is not None else ""
    return _text(f"its container ended{code} ({state.reason or 'no reason given'})", state.message)


def _text(reason: str | None, message: str | None) -> str | None:
    text = ": ".join(part.strip() for part in (reason, message) if part)
    return text[:_LONGEST_REASON] or None
