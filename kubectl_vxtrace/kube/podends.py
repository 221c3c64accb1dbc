"""The nodes' ends of pods' interfaces, where the network keeps an object of its own for each pod (Cilium)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.policies import EndpointObject
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced
from kubectl_vxtrace.kube.rights import Refusals, of_networks
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.cni import Cni
from kubectl_vxtrace.model.path import Flow

_READ_TIMEOUT_S = 3.0


def with_pod_interfaces(
    connection: Connection, snapshot: ClusterSnapshot, flows: Sequence[Flow], cni: Cni, interface_of: Callable[[Cni, str], str | None]
) -> ClusterSnapshot:
    """`snapshot` with `pod_interfaces` of the flows' pods, as far as the network says them; what it may not be asked is in `refused`.

    One object of each pod that is not known yet is asked for, until the API does not answer. Never raises for a cluster's failure.

    Args:
        interface_of: what the network calls the node's end of a pod whose object names that attachment.
    """
    kinds = cni.kinds
    if kinds is None or kinds.endpoints is None:
        return snapshot
    found = dict(snapshot.pod_interfaces)
    refused = Refusals(of_networks((cni,)))
    ends = (end for flow in flows for end in (flow.client, flow.server, *flow.candidates) if end is not None and not end.host_network)
    try:
        with Api(connection, read_timeout_s=_READ_TIMEOUT_S) as api:
            for pod in unique(end.pod for end in ends if end.pod is not None and end.pod not in found):
                namespace, _, name = pod.partition("/")
                try:
                    end = api.decode(api.get(namespaced(namespace, kinds.endpoints, name, group=kinds.group)), EndpointObject)
                except ApiError as error:
                    refused.add("get", kinds.group, kinds.endpoints, namespace, error)
                    if error.status in (0, 403):
                        break
                    continue
                attachment = end.attachment()
                interface = interface_of(cni, attachment) if attachment is not None else None
                if interface is not None:
                    found[pod] = interface
    except (VxtraceError, OSError):
        pass  # the plan goes by what the nodes say, and says what it does not know
    return replace(snapshot, pod_interfaces=found, refused=unique((*snapshot.refused, *refused.sentences())))
