"""What a bundle does not need and so does not hold: how its writer reached the cluster, and labels that no policy asks for."""

from dataclasses import replace

from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.request import Access, Request


def asked(request: Request) -> Request:
    """The request without kubeconfig, context and user; of the access only what says what was asked."""
    access = request.access
    return replace(request, access=Access(namespace=access.namespace, request_timeout_s=access.request_timeout_s))


def needed(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """The snapshot with those labels of pods that a network policy selects by; nothing else reads them once paths are planned."""
    keys = {key for policy in snapshot.policies for key in policy.match_labels}
    keys |= {requirement.key for policy in snapshot.policies for requirement in policy.requirements}
    pods = tuple(replace(pod, labels={key: value for key, value in pod.labels.items() if key in keys}) for pod in snapshot.pods)
    return replace(snapshot, pods=pods)
