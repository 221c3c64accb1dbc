"""What it means when the API refuses to create a debug pod, and what to do about it."""

from kubectl_vxtrace.errors import CannotRunError, UsageError, VxtraceError
from kubectl_vxtrace.kube.explain import RIGHTS_HINT, explain
from kubectl_vxtrace.kube.rest import ApiError


def refusal(error: ApiError, namespace: str, *, profile: str = "privileged") -> VxtraceError:
    """The user's error for a refused creation: admission's own text, and the next step that fits it.

    A refusal (400, 403, 404, 422) is a UsageError; everything else is what explain() says.
    """
    doing = f"create debug pods in namespace {namespace}"
    if error.status not in (400, 403, 404, 422):
        return explain(error, doing)
    return UsageError(f"cannot {doing}: {error.message}", _hint(error, namespace, profile))


def _hint(error: ApiError, namespace: str, profile: str) -> str:
    text = error.message.lower()
    elsewhere = "or choose another namespace with --debug-namespace"
    if "violates podsecurity" in text:
        label = "pod-security.kubernetes.io/enforce=privileged"
        return f"kubectl label namespace {namespace} {label} --overwrite\n{elsewhere} (often kube-system)"
    if "security context constraint" in text:
        return f"oc adm policy add-scc-to-user privileged -z default -n {namespace}\n{elsewhere}"
    if "exceeded quota" in text or "failed quota" in text:
        return f"raise the quota of namespace {namespace}, {elsewhere}"
    if "warden" in text or "autopilot" in text:
        return "GKE Autopilot admits privileged pods only from its allowlist; trace from a Standard node pool"
    if error.status == 404 or ("namespace" in text and "not found" in text):
        return f"kubectl create namespace {namespace}\n{elsewhere}"
    if "being terminated" in text:
        return f"namespace {namespace} is being deleted; choose another with --debug-namespace"
    if "webhook" in text or "denied the request" in text:
        less = ", or try --profile netraw" if profile == "privileged" else ""
        return f"a policy of this cluster refuses the pod: ask its owner for an exception, {elsewhere}{less}"
    if error.status == 403 and "cannot " in text:
        return RIGHTS_HINT
    return elsewhere.removeprefix("or ")


def none_runs(reasons: dict[str, str], refusals: list[ApiError], namespace: str, *, profile: str) -> VxtraceError:
    """The error for a trace without a single debug pod.

    Args:
        reasons: why, by node.
        refusals: the API's errors at creation; where there is one for every node, it is theirs that the user gets.
    """
    if refusals and len(refusals) == len(reasons):
        return refusal(refusals[0], namespace, profile=profile)
    lines = sorted({f"  {node}: {reason}" for node, reason in reasons.items()})
    hint = "see `kubectl describe node` for nodes that are not ready"
    said = " ".join(reasons.values()).lower()
    if "errimageneverpull" in said:
        hint = "let the nodes pull the image with --image-pull-policy IfNotPresent, or give one that they have with --image"
    elif "image" in said:
        hint = "give an image that the nodes can pull with --image (and --image-pull-secret); it needs sh, tcpdump, ip"
    return CannotRunError("no debug pod runs:\n" + "\n".join(lines), hint)
