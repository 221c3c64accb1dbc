"""Ends of flows: the address, pod and node of what a name stands for, in one family of addresses."""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Final, TypeVar

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Node, Pod, Service
from kubectl_vxtrace.model.path import Endpoint

_Found = TypeVar("_Found")

IP_VERSIONS: Final = (4, 6)
"""In the order in which they are tried where nothing names one: as addresses are chosen by RFC 6724, 2.1, which prefers IPv4 to the unique
local addresses of most clusters' IPv6."""


class NoSuchAddressError(UsageError):
    """An end has no address of the family that is asked for."""


def version_of(text: str) -> int | None:
    """4 or 6; None for what is no address."""
    try:
        return ip_address(text).version
    except ValueError:
        return None


def first_of(addresses: Sequence[str], version: int) -> str | None:
    """The first address of IP version 4 or 6, or None."""
    return next((address for address in addresses if version_of(address) == version), None)


def first_address(addresses: Sequence[str]) -> str | None:
    """The first IPv4 address, else the first IPv6 one, or None."""
    return next((address for version in IP_VERSIONS if (address := first_of(addresses, version)) is not None), None)


def in_one_version(find: Callable[[int], _Found], hint: str, versions: Iterable[int] = IP_VERSIONS) -> _Found:
    """What `find` finds for the first of the IP versions in which all of its ends have addresses.

    Raises:
        UsageError: there is none, with that hint; else as `find` does.
    """
    without: list[str] = []
    for version in versions:
        try:
            return find(version)
        except NoSuchAddressError as error:
            without.append(error.message)
    raise UsageError("; ".join(dict.fromkeys(without)), hint)


def pod_endpoint(pod: Pod, version: int, port: int | None = None) -> Endpoint:
    """The end that a running pod is, with its address of IP version 4 or 6.

    Raises:
        UsageError: the pod does not run, has no node or no address.
        NoSuchAddressError: it has only addresses of the other version.
    """
    look = f"kubectl -n {pod.namespace} describe pod {pod.name}"
    if pod.phase != "Running":
        why = f" ({pod.reason})" if pod.reason else ""
        raise UsageError(f"pod {pod.full_name} is not running: its phase is {pod.phase}{why}", look)
    if pod.node is None:
        raise UsageError(f"pod {pod.full_name} has no node yet", look)
    if not pod.addresses:
        raise UsageError(f"pod {pod.full_name} has no IP address yet", look)
    address = first_of(pod.addresses, version)
    if address is None:
        raise NoSuchAddressError(f"pod {pod.full_name} has no IPv{version} address, only {', '.join(pod.addresses)}")
    return Endpoint(address=address, port=port, pod=pod.full_name, node=pod.node, host_network=pod.host_network)


def node_endpoint(node: Node, version: int, port: int | None = None) -> Endpoint:
    """The end that a node's own address of IP version 4 or 6 is.

    Raises:
        NoSuchAddressError: it has none.
    """
    address = first_of(node.addresses, version)
    if address is None:
        said = f", only {', '.join(node.addresses)}" if node.addresses else ""
        raise NoSuchAddressError(f"node {node.name} has no IPv{version} address{said}")
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
