"""Ends of flows: the IPv4 address, pod and node of what a name stands for."""

from ipaddress import ip_address
from typing import Final

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Node, Pod, Service
from kubectl_vxtrace.model.path import Endpoint

# The hint wherever an address of the other family stands.
IPV4_ONLY: Final = "only IPv4 can be traced so far"


def is_ipv4(text: str) -> bool:
    """Whether `text` is an IPv4 address."""
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False


def first_ipv4(addresses: tuple[str, ...]) -> str | None:
    """The first IPv4 address, or None."""
    return next((address for address in addresses if is_ipv4(address)), None)


def pod_endpoint(pod: Pod, port: int | None = None) -> Endpoint:
    """The end that a running pod is.

    Raises:
        UsageError: the pod does not run, has no node, no address or no IPv4 address.
    """
    look = f"kubectl -n {pod.namespace} describe pod {pod.name}"
    if pod.phase != "Running":
        why = f" ({pod.reason})" if pod.reason else ""
        raise UsageError(f"pod {pod.full_name} is not running: its phase is {pod.phase}{why}", look)
    if pod.node is None:
        raise UsageError(f"pod {pod.full_name} has no node yet", look)
    if not pod.addresses:
        raise UsageError(f"pod {pod.full_name} has no IP address yet", look)
    address = first_ipv4(pod.addresses)
    if address is None:
        raise UsageError(f"pod {pod.full_name} has no IPv4 address, only {', '.join(pod.addresses)}", IPV4_ONLY)
    return Endpoint(address=address, port=port, pod=pod.full_name, node=pod.node, host_network=pod.host_network)


def node_endpoint(node: Node, port: int | None = None) -> Endpoint:
    """The end that a node's own address is.

    Raises:
        UsageError: the node has no IPv4 address.
    """
    address = first_ipv4(node.addresses)
    if address is None:
        said = f", only {', '.join(node.addresses)}" if node.addresses else ""
        raise UsageError(f"node {node.name} has no IPv4 address{said}", IPV4_ONLY)
    return Endpoint(address=address, port=port, node=node.name, host_network=True)


def backend_endpoint(backend: Backend, service: Service, snapshot: ClusterSnapshot) -> Endpoint:
    """The end that a Service's backend is. What the EndpointSlice leaves out comes from the pod or node of that address."""
    name = backend.pod if backend.pod is None or "/" in backend.pod else f"{service.namespace}/{backend.pod}"
    pod = next((pod for pod in snapshot.pods if pod.full_name == name), None) if name else pod_at(backend.address, snapshot)
    node = backend.node or (pod.node if pod else None)
    host = node_at(backend.address, snapshot)
    return Endpoint(
        address=backend.address,
        port=backend.port,
        pod=name or (pod.full_name if pod else None),
        node=node or (host.name if host else None),
        host_network=host is not None or (pod is not None and pod.host_network),
    )


def pod_at(address: str, snapshot: ClusterSnapshot) -> Pod | None:
    """The pod that owns `address`; finished pods and pods that share their node's address own none."""
    finished = ("Succeeded", "Failed")
    return next((pod for pod in snapshot.pods if address in pod.addresses and not pod.host_network and pod.phase not in finished), None)


def node_at(address: str, snapshot: ClusterSnapshot) -> Node | None:
    """The node that owns `address`."""
    return next((node for node in snapshot.nodes if address in node.addresses), None)


def service_at(address: str, snapshot: ClusterSnapshot) -> Service | None:
    """The Service whose ClusterIP or external address `address` is."""
    return next((service for service in snapshot.services if address in (*service.addresses, *service.external_addresses)), None)


def checked_ipv4(address: str) -> str:
    """`address` itself.

    Raises:
        UsageError: it is an IPv6 address.
    """
    if not is_ipv4(address):
        raise UsageError(f"{address} is an IPv6 address", IPV4_ONLY)
    return address
