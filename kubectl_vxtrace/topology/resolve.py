"""From what was asked for to planned flows: one for each port of a Service and each of its backends."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node, Pod, Scope, Service, ServicePort, Workload
from kubectl_vxtrace.model.path import Endpoint, Flow, ServiceRef
from kubectl_vxtrace.model.request import Request, Target
from kubectl_vxtrace.topology.ends import (
    IPV4_ONLY,
    checked_ipv4,
    first_ipv4,
    node_at,
    node_endpoint,
    pod_at,
    pod_endpoint,
    service_at,
)
from kubectl_vxtrace.topology.forms import backends_of, servers_of, through_services
from kubectl_vxtrace.topology.search import WORKLOAD_KINDS, NotFoundError, find, pods_of
from kubectl_vxtrace.topology.target import parse_target

__all__ = ["NotFoundError", "flow_nodes", "parse_target", "resolve", "resolve_source"]

_TARGET_KINDS: Final = ("service", *WORKLOAD_KINDS, "pod", "node")
# What is followed where nobody named a protocol.
_WITH_PORT: Final = ("TCP", "UDP")
_WITHOUT_PORT: Final = ("TCP", "UDP", "ICMP")


def resolve(request: Request, snapshot: ClusterSnapshot) -> tuple[Flow, ...]:
    """The flows that a request asks to follow, numbered from 1, in the order of ports and backends.

    A Service gives one flow for each port and backend: the ready backends, all if none is ready; a port without backends gives one
    flow with `server` None and no candidates. A pod, workload or node gives one flow for each protocol; without a port its
    `server.port` is None, which stands for every port. Pods are also followed in every form in which a Service leads to them (see
    `forms`). `client.port` is None always.

    Raises:
        NotFoundError: a name or address is not in `snapshot`; a wider one may hold it.
        UsageError: several things match, a pod does not run or has no IPv4 address, a port is not the Service's.
    """
    if request.target is None:
        raise UsageError("nothing was said about where the traffic goes", "name the other end with --to, for example --to kube-dns")
    home = _home(request, snapshot)
    client = _source(request.source, snapshot, home)
    ends = _Ends(client=client, snapshot=snapshot, target=request.target)
    flows = _flows(ends, home)
    return tuple(replace(flow, id=number) for number, flow in enumerate(flows, start=1))


def resolve_source(request: Request, snapshot: ClusterSnapshot) -> Endpoint:
    """The pod that a request starts at. Raises as `resolve` does."""
    return _source(request.source, snapshot, _home(request, snapshot))


def _home(request: Request, snapshot: ClusterSnapshot) -> str:
    """The namespace of names that carry none."""
    return request.source.namespace or request.access.namespace or snapshot.namespace


def flow_nodes(flows: Sequence[Flow]) -> tuple[str, ...]:
    """Names of the nodes that the ends of `flows` are on, clients' first, without doubles. Where a backend is not asked for (one of
    `candidates`), its node is none of these."""
    clients = [flow.client for flow in flows]
    servers = [flow.server for flow in flows if flow.server is not None]
    return tuple(dict.fromkeys(end.node for end in (*clients, *servers) if end.node is not None))


def _source(target: Target, snapshot: ClusterSnapshot, namespace: str) -> Endpoint:
    """The pod that sends. Of a workload the first ready pod by name is taken."""
    if target.address is not None:
        pod = pod_at(checked_ipv4(target.address), snapshot)
        if pod is None:
            raise NotFoundError(f"no pod has the address {target.address}", "kubectl get pods --all-namespaces -o wide")
        return pod_endpoint(pod)
    found = find(target, snapshot, namespace, kinds=(target.kind or "pod",), elsewhere=False).object
    if isinstance(found, Workload):
        return _running(found, snapshot)[0]
    if isinstance(found, Pod):
        return pod_endpoint(found)
    raise UsageError(f"a trace starts at a pod, not at a {target.kind}", "name a pod, or a workload as deploy/NAME")


def _running(workload: Workload, snapshot: ClusterSnapshot) -> tuple[Endpoint, ...]:
    """The ends of a workload's running pods, ready ones first, then by name.

    Raises:
        NotFoundError: none of its pods is in the snapshot.
        UsageError: none of them runs, or has an IPv4 address.
    """
    pods = sorted(pods_of(snapshot, workload), key=lambda pod: (not pod.ready, pod.name))
    what = f"{workload.kind} {workload.namespace}/{workload.name}"
    if not pods:
        raise NotFoundError(f"{what} has no pods", f"kubectl -n {workload.namespace} describe {workload.kind} {workload.name}")
    alive = [pod for pod in pods if pod.phase == "Running" and pod.node is not None and pod.addresses]
    if not alive:
        states = "\n".join(f"  {pod.full_name}: {pod.phase}{f' ({pod.reason})' if pod.reason else ''}" for pod in pods[:20])
        raise UsageError(f"no pod of {what} runs:\n{states}", f"kubectl -n {workload.namespace} describe pods")
    usable = [pod for pod in alive if first_ipv4(pod.addresses)]
    return tuple(pod_endpoint(pod) for pod in usable or alive)


class _Ends:
    """What all flows of one request share."""

    def __init__(self, *, client: Endpoint, snapshot: ClusterSnapshot, target: Target) -> None:
        self.client = client
        self.snapshot = snapshot
        self.target = target

    def flow(self, protocol: str, server: Endpoint | None, service: ServiceRef | None = None) -> Flow:
        return Flow(id=0, protocol=protocol, client=self.client, service=service, server=server)


def _flows(ends: _Ends, namespace: str) -> list[Flow]:
    target, snapshot = ends.target, ends.snapshot
    found: Service | Workload | Pod | Node | None
    if target.address is not None:
        address = checked_ipv4(target.address)
        found = service_at(address, snapshot) or pod_at(address, snapshot) or node_at(address, snapshot)
        if found is None:
            return _to_address(ends, address)
    else:
        found = find(target, snapshot, namespace, kinds=_TARGET_KINDS, elsewhere=True).object
    if isinstance(found, Service):
        return _to_service(ends, found)
    if isinstance(found, Node):
        return _to_ends(ends, [node_endpoint(found)])
    return _to_pods(ends, _running(found, snapshot) if isinstance(found, Workload) else [pod_endpoint(found)])


def _to_address(ends: _Ends, address: str) -> list[Flow]:
    """An address that is no Service's, pod's or node's: its node is unknown."""
    if ends.snapshot.scope != Scope.WIDE:
        raise NotFoundError(f"no Service, pod or node has the address {address}", "kubectl get services,pods --all-namespaces -o wide")
    return _to_pods(ends, [Endpoint(address=address)])


def _to_pods(ends: _Ends, servers: Sequence[Endpoint]) -> list[Flow]:
    """Flows to pods: straight, and through every Service that leads to them."""
    return [*_to_ends(ends, servers), *through_services(ends.client, servers, ends.target, ends.snapshot)]


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
    address = ends.target.address or first_ipv4(service.addresses)
    if service.addresses and address is None:
        raise UsageError(f"Service {service.full_name} has no IPv4 address", IPV4_ONLY)
    _refuse_unreadable(service, ends.snapshot)
    flows: list[Flow] = []
    for port in _chosen_ports(service, ends.target):
        reference = ServiceRef(address=address, port=port.port, name=service.full_name)
        servers = _servers(service, port, ends.snapshot)
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
    """The ports of a Service that a target means: all, or those with its number and protocol."""
    numbered = [port for port in service.ports if target.port in (None, port.port)]
    chosen = [port for port in numbered if target.protocol in (None, port.protocol)]
    if not chosen:
        has = ", ".join(f"{port.port}/{port.protocol}" + (f" ({port.name})" if port.name else "") for port in service.ports)
        wanted = "/".join(str(part) for part in (target.port, target.protocol) if part is not None)
        raise UsageError(
            f"Service {service.full_name} has no port {wanted}" if wanted else f"Service {service.full_name} has no ports",
            f"it has {has}" if has else "name one of its pods",
        )
    return chosen


def _servers(service: Service, port: ServicePort, snapshot: ClusterSnapshot) -> tuple[Endpoint, ...]:
    """The ends behind a port of the Service that is asked for.

    Raises:
        UsageError: they have no IPv4 address.
    """
    servers = servers_of(service, port, snapshot)
    if not servers and backends_of(service, port):
        raise UsageError(f"Service {service.full_name} has only IPv6 backends on port {port.port}/{port.protocol}", IPV4_ONLY)
    return servers
