"""The few fields of Services and EndpointSlices that the plugin reads; see objects.py."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from kubectl_vxtrace.kube.objects import Metadata
from kubectl_vxtrace.model.cluster import Backend, Service, ServicePort

_PROTOCOLS = ("TCP", "UDP")


class ServicePortObject(msgspec.Struct, rename="camel"):
    """A port of a Service."""

    port: int
    name: str | None = None
    protocol: str = "TCP"
    node_port: int | None = None


class ServiceSpec(msgspec.Struct, rename="camel"):
    """A Service's spec."""

    type: str = "ClusterIP"
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = msgspec.field(name="clusterIPs", default=None)
    external_ips: list[str] | None = msgspec.field(name="externalIPs", default=None)
    ports: list[ServicePortObject] | None = None
    selector: dict[str, str] | None = None
    internal_traffic_policy: str | None = None
    external_traffic_policy: str | None = None
    session_affinity: str | None = None


class IngressObject(msgspec.Struct, rename="camel"):
    """An address that a load balancer gave to a Service; with `ip_mode` `Proxy` nodes leave it alone (LoadBalancerIngress in core/v1)."""

    ip: str | None = None
    ip_mode: str | None = None


class LoadBalancerStatus(msgspec.Struct):
    """What a load balancer gave to a Service."""

    ingress: list[IngressObject] | None = None


class ServiceStatus(msgspec.Struct, rename="camel"):
    """A Service's status."""

    load_balancer: LoadBalancerStatus | None = None


class ServiceObject(msgspec.Struct):
    """A Service."""

    metadata: Metadata
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus | None = None

    def record(self, backends: Sequence[Backend]) -> Service:
        """The Service with its backends; a headless one ("None") has no addresses."""
        addresses = self.spec.cluster_ips or [self.spec.cluster_ip or ""]
        balancer = self.status.load_balancer if self.status is not None else None
        balanced = (one.ip for one in (balancer.ingress if balancer is not None else None) or () if one.ip and one.ip_mode != "Proxy")
        ports = (
            ServicePort(name=port.name or None, port=port.port, protocol=port.protocol, node_port=port.node_port or None)
            for port in self.spec.ports or ()
        )
        return Service(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            type=self.spec.type,
            addresses=tuple(address for address in addresses if address not in ("", "None")),
            external_addresses=tuple(dict.fromkeys((*(self.spec.external_ips or ()), *balanced))),
            ports=tuple(port for port in ports if port.protocol in _PROTOCOLS),
            selector=self.spec.selector or {},
            backends=tuple(backends),
            internal_traffic_policy=self.spec.internal_traffic_policy or "Cluster",
            external_traffic_policy=self.spec.external_traffic_policy or "Cluster",
            session_affinity=self.spec.session_affinity or "None",
        )


class EndpointConditions(msgspec.Struct):
    """Conditions of an endpoint; null means unknown, which consumers read as ready (EndpointConditions in discovery/v1)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(msgspec.Struct):
    """The object behind an endpoint."""

    kind: str | None = None
    name: str | None = None
    namespace: str | None = None


class EndpointObject(msgspec.Struct, rename="camel"):
    """An endpoint of a slice."""

    addresses: list[str] | None = None
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    node_name: str | None = None
    target_ref: TargetRef | None = None


class EndpointPort(msgspec.Struct):
    """A port of a slice; a null `port` means every port."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class SliceObject(msgspec.Struct, rename="camel"):
    """An EndpointSlice."""

    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: list[EndpointObject] | None = None
    ports: list[EndpointPort] | None = None

    @property
    def service(self) -> tuple[str, str]:
        """(namespace, name) of the Service that it belongs to; an empty name if none."""
        return self.metadata.namespace, (self.metadata.labels or {}).get("kubernetes.io/service-name", "")

    def records(self, nodes: Mapping[str, str]) -> Iterable[Backend]:
        """Backends, one per endpoint and port.

        Only an endpoint's first address counts, as for kube-proxy (discovery/v1: consumers may use the first alone).

        Args:
            nodes: node by pod's `namespace/name`, for slices that name no node.
        """
        if self.address_type not in ("IPv4", "IPv6"):
            return
        for endpoint in self.endpoints or ():
            target = endpoint.target_ref
            pod = (
                f"{target.namespace or self.metadata.namespace}/{target.name}" if target and target.kind == "Pod" and target.name else None
            )
            for port in self.ports or ():
                protocol = port.protocol or "TCP"
                if endpoint.addresses and port.port is not None and protocol in _PROTOCOLS:
                    yield Backend(
                        address=endpoint.addresses[0],
                        port=port.port,
                        protocol=protocol,
                        port_name=port.name or None,
                        ready=endpoint.conditions.ready is not False,
                        node=endpoint.node_name or nodes.get(pod or ""),
                        pod=pod,
                        serving=endpoint.conditions.serving,
                        terminating=endpoint.conditions.terminating,
                    )
