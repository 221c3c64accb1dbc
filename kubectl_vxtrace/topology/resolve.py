"""From what was asked for to planned flows: one for each port of a Service and each of its backends."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.address import host_port, unique
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node, Pod, Scope, Service, ServicePort, Workload
from kubectl_vxtrace.model.path import Endpoint, Flow, ServiceRef
from kubectl_vxtrace.model.request import Request, Target
from kubectl_vxtrace.topology.ends import (
    IP_VERSIONS,
    NoSuchAddressError,
    first_of,
    in_one_version,
    node_at,
    node_endpoint,
    pod_at,
    pod_endpoint,
    service_at,
    version_of,
)
from kubectl_vxtrace.topology.forms import backends_of, servers_of, through_services
from kubectl_vxtrace.topology.search import WORKLOAD_KINDS, NotFoundError, find
from kubectl_vxtrace.topology.source import choice, ends_of, source_end, source_ends
from kubectl_vxtrace.topology.target import parse_target

__all__ = [
    "NotFoundError",
    "flow_nodes",
    "flows_to",
    "other_version",
    "parse_target",
    "resolve",
    "resolve_alone",
    "resolve_backends",
    "resolve_service",
    "resolve_source",
    "source_choice",
]

_TARGET_KINDS: Final = ("service", *WORKLOAD_KINDS, "pod", "node")
# What is followed where nobody named a protocol.
_WITH_PORT: Final = ("TCP", "UDP")
_WITHOUT_PORT: Final = ("TCP", "UDP", "ICMP")

_Found = TypeVar("_Found")


def resolve(request: Request, snapshot: ClusterSnapshot) -> tuple[Flow, ...]:
    """The flows that a request asks to follow, numbered from 1, in the order of ports and backends.

    A Service gives one flow for each port and backend: the ready backends, all if none is ready; a port without backends gives one
    flow with `server` None and no candidates. A pod, workload or node gives one flow for each protocol; without a port its
    `server.port` is None, which stands for every port. Pods are also followed in every form in which a Service leads to them (see
    `forms`). `client.port` is None always. Of a workload one pod is the client, or each with `all_pods`.

    All are of one IP version: that of the address that was given, else the first of `IP_VERSIONS` in which both ends have addresses.

    Raises:
        NotFoundError: a name or address is not in `snapshot`; a wider one may hold it.
        UsageError: several things match, a pod does not run, the ends have no IP version in common, a port is not the Service's.
    """
    if request.target is None:
        raise UsageError("nothing was said about where the traffic goes", "name the other end with --to, for example --to kube-dns")
    target = request.target
    return _numbered(_in_one_version((request.source, target), lambda version: _of_version(request, target, snapshot, version)))


def _of_version(request: Request, target: Target, snapshot: ClusterSnapshot, version: int) -> list[Flow]:
    home = _home(request, snapshot)
    clients = (source_ends if request.all_pods else _only_end)(request.source, snapshot, home, version)
    return [flow for client in clients for flow in _flows(_Ends(client=client, snapshot=snapshot, target=target), home)]


def other_version(request: Request, snapshot: ClusterSnapshot, flows: Sequence[Flow]) -> str | None:
    """That the ends of `flows`, which a request named without an address, may talk over the other IP version as well, in a sentence."""
    followed = version_of(flows[0].client.address) if flows else None
    target = request.target
    if target is None or followed is None or (target.address, request.source.address) != (None, None):
        return None
    version = next(each for each in IP_VERSIONS if each != followed)
    try:
        first = next(iter(_of_version(request, target, snapshot, version)), None)
    except UsageError:
        return None
    asked = first and (first.service or first.server)
    if not asked or asked.address is None:
        return None
    name = host_port(asked.address, asked.port)
    return f"both ends have IPv{version} addresses too, and what they say over these was not followed: --to {name} does"


def _only_end(target: Target, snapshot: ClusterSnapshot, namespace: str, version: int) -> tuple[Endpoint, ...]:
    return (source_end(target, snapshot, namespace, version),)


def _numbered(flows: Iterable[Flow]) -> tuple[Flow, ...]:
    return tuple(replace(flow, id=number) for number, flow in enumerate(flows, start=1))


def _in_one_version(targets: Sequence[Target], find: Callable[[int], _Found]) -> _Found:
    """What `find` finds for the IP version of the addresses among `targets`, else for the first version in which all have addresses.

    Raises:
        UsageError: there is none; else as `find` does.
    """
    named = dict.fromkeys(version_of(target.address) or 0 for target in targets if target.address is not None)
    if len(named) > 1:
        raise UsageError("one end is an IPv4 address, the other an IPv6 one: no packet goes from one to the other", "name both in one form")
    return in_one_version(find, "name ends that have addresses of one family", named or IP_VERSIONS)


def flows_to(client: Endpoint, target: Target, snapshot: ClusterSnapshot) -> list[Flow]:
    """The flows from an end to a target that names an address; their ids are still to be given. Raises as `resolve` does."""
    return _flows(_Ends(client=client, snapshot=snapshot, target=target), snapshot.namespace)


def resolve_alone(request: Request, snapshot: ClusterSnapshot) -> tuple[Flow, ...]:
    """Flows of the source to nobody, one for each of its addresses and protocol: what is planned before it is known whom it talks to.
    Raises as `resolve` does."""
    first = resolve_source(request, snapshot)
    pod = next((pod for pod in snapshot.pods if pod.full_name == first.pod), None)
    addresses = unique((first.address, *(pod.addresses if pod is not None and request.source.address is None else ())))
    clients = (replace(first, address=address) for address in addresses)
    return _numbered(Flow(id=0, protocol=protocol, client=client) for client in clients for protocol in _WITHOUT_PORT)


def resolve_service(request: Request, snapshot: ClusterSnapshot) -> Service:
    """The Service whose clients a request asks about. Raises as `resolve` does."""
    if request.source.kind not in (None, "service"):
        raise UsageError(f"{request.source.kind}/{request.source.name} is no Service", "kubectl vxtrace service [NAMESPACE/]NAME")
    match = find(request.source, snapshot, _home(request, snapshot), kinds=("service",), elsewhere=True)
    return next(each for each in snapshot.services if (each.namespace, each.name) == (match.namespace, match.name))


def resolve_backends(request: Request, snapshot: ClusterSnapshot) -> tuple[Flow, ...]:
    """Flows of a Service's backends to nobody: what is planned before it is known who asks them.

    Raises:
        UsageError: it has no backend with an interface of its own; else as `resolve` does.
    """
    service = resolve_service(request, snapshot)
    _refuse_unreadable(service, snapshot)
    servers = [end for version in IP_VERSIONS for port in service.ports for end in servers_of(service, port, snapshot, version)]
    ends = dict.fromkeys(replace(server, port=None) for server in servers if not server.host_network and server.pod is not None)
    if not ends:
        raise UsageError(
            f"Service {service.full_name} has no pods behind it whose interfaces could be listened to",
            f"kubectl -n {service.namespace} get endpointslices -l kubernetes.io/service-name={service.name}",
        )
    return tuple(Flow(id=number, protocol="TCP", client=end) for number, end in enumerate(ends, start=1))


def resolve_source(request: Request, snapshot: ClusterSnapshot) -> Endpoint:
    """The pod that a request starts at. Raises as `resolve` does."""
    home = _home(request, snapshot)
    return _in_one_version((request.source,), lambda version: source_end(request.source, snapshot, home, version))


def source_choice(request: Request, snapshot: ClusterSnapshot) -> str | None:
    """Which of several pods a request starts at, in a sentence; None where only one was meant. Raises as `resolve` does."""
    if request.all_pods:
        return None
    home = _home(request, snapshot)
    return _in_one_version((request.source,), lambda version: choice(request.source, snapshot, home, version))


def _home(request: Request, snapshot: ClusterSnapshot) -> str:
    """The namespace of names that carry none."""
    return request.source.namespace or request.access.namespace or snapshot.namespace


def flow_nodes(flows: Sequence[Flow]) -> tuple[str, ...]:
    """Names of the nodes that the ends of `flows` are on, clients' first, without doubles. Where a backend is not asked for (one of
    `candidates`), its node is none of these."""
    clients = [flow.client for flow in flows]
    servers = [flow.server for flow in flows if flow.server is not None]
    return tuple(dict.fromkeys(end.node for end in (*clients, *servers) if end.node is not None))


class _Ends:
    """What all flows of one request share."""

    def __init__(self, *, client: Endpoint, snapshot: ClusterSnapshot, target: Target) -> None:
        self.client = client
        self.snapshot = snapshot
        self.target = target
        self.version = version_of(client.address) or 0

    def flow(self, protocol: str, server: Endpoint | None, service: ServiceRef | None = None) -> Flow:
        return Flow(id=0, protocol=protocol, client=self.client, service=service, server=server)


def _flows(ends: _Ends, namespace: str) -> list[Flow]:
    target, snapshot = ends.target, ends.snapshot
    found: Service | Workload | Pod | Node | None
    if target.address is not None:
        address = target.address
        found = service_at(address, snapshot) or pod_at(address, snapshot) or node_at(address, snapshot)
        if found is None:
            return _to_address(ends, address)
    else:
        found = find(target, snapshot, namespace, kinds=_TARGET_KINDS, elsewhere=True).object
    if isinstance(found, Service):
        return _to_service(ends, found)
    if isinstance(found, Node):
        _refuse_port_name(target)
        return _to_ends(ends, [node_endpoint(found, ends.version)])
    version = ends.version
    return _to_pods(ends, ends_of(found, snapshot, version) if isinstance(found, Workload) else [pod_endpoint(found, version)])


def _to_address(ends: _Ends, address: str) -> list[Flow]:
    """An address that is no Service's, pod's or node's: its node is unknown."""
    if ends.snapshot.scope != Scope.WIDE:
        raise NotFoundError(f"no Service, pod or node has the address {address}", "kubectl get services,pods --all-namespaces -o wide")
    return _to_pods(ends, [Endpoint(address=address)])


def _to_pods(ends: _Ends, servers: Sequence[Endpoint]) -> list[Flow]:
    """Flows to pods: straight, and through every Service that leads to them."""
    _refuse_port_name(ends.target)
    return [*_to_ends(ends, servers), *through_services(ends.client, servers, ends.target, ends.snapshot)]


def _refuse_port_name(target: Target) -> None:
    """Only the ports of Services have names that lead to a number."""
    if target.port_name is not None:
        raise UsageError(
            f"{target.port_name!r} is no port here: only a Service's ports have names", "give the port's number, or the Service"
        )


def _to_ends(ends: _Ends, servers: Sequence[Endpoint]) -> list[Flow]:
    """Flows straight to pods or nodes, one for each protocol that may be meant."""
    port, protocol = ends.target.port, ends.target.protocol
    others = [server for server in servers if server.address != ends.client.address]
    if not others:
        raise UsageError("source and target are the same: such traffic does not leave the pod or node", "name another target")
    protocols = (protocol,) if protocol else _WITH_PORT if port is not None else _WITHOUT_PORT
    return [ends.flow(each, replace(server, port=port if each != "ICMP" else None)) for each in protocols for server in others]


def _to_service(ends: _Ends, service: Service) -> list[Flow]:
    if service.type == "ExternalName":
        raise UsageError(
            f"Service {service.full_name} is a name for something outside the cluster (ExternalName)", "name an address or a pod"
        )
    address = ends.target.address or first_of(service.addresses, ends.version)
    if service.addresses and address is None:
        raise NoSuchAddressError(f"Service {service.full_name} has no IPv{ends.version} address, only {', '.join(service.addresses)}")
    _refuse_unreadable(service, ends.snapshot)
    flows: list[Flow] = []
    for port in _chosen_ports(service, ends.target):
        reference = ServiceRef(address=address, port=port.port, name=service.full_name)
        servers = _servers(service, port, ends)
        flows += [ends.flow(port.protocol, server, reference) for server in servers]
        if not servers:
            flows.append(ends.flow(port.protocol, None, reference))
    return flows


def _refuse_unreadable(service: Service, snapshot: ClusterSnapshot) -> None:
    """A Service whose backends may not be read is not one without backends: its traffic would seem to vanish."""
    unread = [entry for entry in snapshot.missing if entry.startswith("endpointslices")]
    if unread and not service.backends:
        raise UsageError(
            f"the backends of Service {service.full_name} cannot be read: list {', '.join(unread)}",
            "docs/rbac.yaml has the rights that a trace needs; or name a pod: --to pod/NAMESPACE/NAME",
        )


def _chosen_ports(service: Service, target: Target) -> list[ServicePort]:
    """The ports of a Service that a target means: all, or those with its number or name, and protocol."""
    numbered = [port for port in service.ports if target.port in (None, port.port) and target.port_name in (None, port.name)]
    chosen = [port for port in numbered if target.protocol in (None, port.protocol)]
    if not chosen:
        has = ", ".join(f"{port.port}/{port.protocol}" + (f" ({port.name})" if port.name else "") for port in service.ports)
        wanted = "/".join(str(part) for part in (target.port or target.port_name, target.protocol) if part is not None)
        raise UsageError(
            f"Service {service.full_name} has no port {wanted}" if wanted else f"Service {service.full_name} has no ports",
            f"it has {has}" if has else "name one of its pods",
        )
    return chosen


def _servers(service: Service, port: ServicePort, ends: _Ends) -> tuple[Endpoint, ...]:
    """The ends behind a port of the Service that is asked for.

    Raises:
        NoSuchAddressError: none of them has an address of the client's IP version.
    """
    servers = servers_of(service, port, ends.snapshot, ends.version)
    if not servers and backends_of(service, port):
        raise NoSuchAddressError(f"Service {service.full_name} has no IPv{ends.version} backend on port {port.port}/{port.protocol}")
    return servers
