"""The few fields of Kubernetes objects that the plugin reads, and the records made of them.

Answers are decoded straight into these shapes: unknown fields are skipped, a field of another type is an error that names it.
Go writes empty lists as null, hence `| None` wherever a list or map may be empty.
"""

import msgspec

from kubectl_vxtrace.model.cluster import Node, Pod, PodCondition, Workload

# The address that a cloud or k3s gave the node.
_ADDRESS_ANNOTATIONS = ("alpha.kubernetes.io/provided-node-ip", "k3s.io/internal-ip")
_PLACE_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class Owner(msgspec.Struct):
    """An entry of ownerReferences."""

    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(msgspec.Struct, rename="camel"):
    """ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[Owner] | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None

    @property
    def owner(self) -> str | None:
        """`kind/name` of the controller, kind in lower case."""
        return next((f"{owner.kind.lower()}/{owner.name}" for owner in self.owner_references or () if owner.controller), None)


class Condition(msgspec.Struct):
    """A condition of a node's or pod's status."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class State(msgspec.Struct, rename="camel"):
    """Why a container waits or ended."""

    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None


class States(msgspec.Struct):
    """A container's state."""

    waiting: State | None = None
    running: dict[str, str | None] | None = None
    terminated: State | None = None


class ContainerStatus(msgspec.Struct, rename="camel"):
    """What runs of one container."""

    name: str = ""
    state: States | None = None
    restart_count: int = 0


class PodIP(msgspec.Struct):
    """An entry of podIPs."""

    ip: str = ""


class PodStatus(msgspec.Struct, rename="camel"):
    """A pod's status."""

    phase: str = ""
    reason: str | None = None
    message: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    pod_ips: list[PodIP] | None = msgspec.field(name="podIPs", default=None)
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class PodSpec(msgspec.Struct, rename="camel"):
    """A pod's spec."""

    node_name: str | None = None
    host_network: bool | None = None


class PodObject(msgspec.Struct):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    def record(self) -> Pod:
        """The pod as the other rooms know it."""
        status = self.status
        addresses = [entry.ip for entry in status.pod_ips or ()] or [status.pod_ip or ""]
        ready = any(condition.type == "Ready" and condition.status == "True" for condition in status.conditions or ())
        return Pod(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            uid=self.metadata.uid,
            node=self.spec.node_name or None,
            addresses=tuple(address for address in addresses if address),
            host_network=bool(self.spec.host_network),
            phase=status.phase or "Unknown",
            ready=ready,
            reason=self._reason(),
            owner=self.metadata.owner,
            labels=self.metadata.labels or {},
            conditions=tuple(
                PodCondition(type=each.type, status=each.status, reason=each.reason or None, message=each.message or None)
                for each in status.conditions or ()
            ),
            restarts=sum(container.restart_count for container in status.container_statuses or ()),
        )

    def _reason(self) -> str | None:
        if self.metadata.deletion_timestamp:
            return "Terminating"
        if self.status.reason:
            return self.status.reason
        states = [container.state for container in self.status.container_statuses or () if container.state]
        halted = [state.waiting or state.terminated for state in states]
        return next((state.reason for state in halted if state and state.reason), None)


class NodeAddress(msgspec.Struct):
    """An address of a node."""

    type: str = ""
    address: str = ""


class NodeInfo(msgspec.Struct, rename="camel"):
    """What a node says of itself."""

    operating_system: str = "linux"
    architecture: str = "amd64"
    kubelet_version: str | None = None
    kernel_version: str | None = None


class NodeStatus(msgspec.Struct, rename="camel"):
    """A node's status."""

    addresses: list[NodeAddress] | None = None
    conditions: list[Condition] | None = None
    node_info: NodeInfo = msgspec.field(default_factory=NodeInfo)


class NodeSpec(msgspec.Struct, rename="camel"):
    """A node's spec."""

    pod_cidr: str | None = msgspec.field(name="podCIDR", default=None)
    pod_cidrs: list[str] | None = msgspec.field(name="podCIDRs", default=None)


class NodeObject(msgspec.Struct):
    """A node."""

    metadata: Metadata
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)

    def record(self, annotations: tuple[str, ...] = ()) -> Node:
        """The node as the other rooms know it; InternalIPs come first.

        Args:
            annotations: how the names of those begin that are kept. Of the others some hold secrets, or whole manifests.
        """
        status = self.status
        found = status.addresses or []
        addresses = [entry.address for type_ in ("InternalIP", "ExternalIP") for entry in found if entry.type == type_]
        ready = next((condition for condition in status.conditions or () if condition.type == "Ready"), None)
        is_ready = ready is not None and ready.status == "True"
        said = ": ".join(filter(None, (ready.reason, ready.message))) if ready else "it has never reported"
        return Node(
            name=self.metadata.name,
            addresses=tuple(dict.fromkeys(addresses)),
            pod_cidrs=tuple(self.spec.pod_cidrs or ([self.spec.pod_cidr] if self.spec.pod_cidr else [])),
            ready=is_ready,
            not_ready_reason=None if is_ready else said or "no reason given",
            os=status.node_info.operating_system or "linux",
            architecture=status.node_info.architecture or "amd64",
            kubelet=status.node_info.kubelet_version,
            kernel=status.node_info.kernel_version,
            annotations={
                key: value
                for key, value in (self.metadata.annotations or {}).items()
                if key.startswith((*annotations, *_ADDRESS_ANNOTATIONS))
            },
            labels={key: value for key, value in (self.metadata.labels or {}).items() if key in _PLACE_LABELS},
        )


class WorkloadObject(msgspec.Struct):
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet."""

    metadata: Metadata

    def record(self, kind: str) -> Workload:
        """The workload; `kind` in lower case (lists do not say it per item)."""
        return Workload(kind=kind, namespace=self.metadata.namespace, name=self.metadata.name, owner=self.metadata.owner)
