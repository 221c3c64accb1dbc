"""The few fields of policies, and of what CNIs keep in the API, that the plugin reads; see objects.py."""

from typing import Any

import msgspec

from kubectl_vxtrace.kube.objects import Metadata
from kubectl_vxtrace.model.cluster import BlockAffinity, IpPool, NetworkPolicy, Requirement


class Expression(msgspec.Struct):
    """An entry of matchExpressions."""

    key: str
    operator: str
    values: list[str] | None = None


class Selector(msgspec.Struct, rename="camel"):
    """A LabelSelector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None


class PolicySpec(msgspec.Struct, rename="camel"):
    """A NetworkPolicy's spec; of its rules only their number is read."""

    pod_selector: Selector = msgspec.field(default_factory=Selector)
    policy_types: list[str] | None = None
    ingress: list[msgspec.Raw] | None = None
    egress: list[msgspec.Raw] | None = None


class PolicyObject(msgspec.Struct):
    """A NetworkPolicy of Kubernetes."""

    metadata: Metadata
    spec: PolicySpec = msgspec.field(default_factory=PolicySpec)

    def record(self) -> NetworkPolicy:
        """The policy; without `policyTypes` it is for ingress, and for egress if it has such rules (networking/v1)."""
        spec = self.spec
        selector = spec.pod_selector
        return NetworkPolicy(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            types=tuple(spec.policy_types or (("Ingress", "Egress") if spec.egress else ("Ingress",))),
            match_labels=selector.match_labels or {},
            requirements=tuple(
                Requirement(key=each.key, operator=each.operator, values=tuple(each.values or ()))
                for each in selector.match_expressions or ()
            ),
            ingress=len(spec.ingress or ()),
            egress=len(spec.egress or ()),
        )


class OwnPolicySpec(msgspec.Struct):
    """The spec of a CNI's own policies; without `types` they are what their rules are (projectcalico/v3)."""

    selector: str = ""
    types: list[str] | None = None
    ingress: list[msgspec.Raw] | None = None
    egress: list[msgspec.Raw] | None = None


class OwnPolicyObject(msgspec.Struct):
    """A NetworkPolicy or GlobalNetworkPolicy of a CNI's own group."""

    metadata: Metadata
    spec: OwnPolicySpec = msgspec.field(default_factory=OwnPolicySpec)

    def record(self, kind: str) -> NetworkPolicy:
        """The policy under the name of its kind."""
        spec = self.spec
        both = (("Ingress",) if spec.ingress or not spec.egress else ()) + (("Egress",) if spec.egress else ())
        return NetworkPolicy(
            kind=kind,
            namespace=self.metadata.namespace or None,
            name=self.metadata.name,
            types=tuple(spec.types or both),
            selector=spec.selector,
            ingress=len(spec.ingress or ()),
            egress=len(spec.egress or ()),
        )


class EndpointPolicySpec(msgspec.Struct, rename="camel"):
    """A rule of Cilium (pkg/policy/api/rule.go). A section that is there isolates the pods in its direction, with rules or without, unless
    `enableDefaultDeny` says otherwise; a section of denials always drops what it names."""

    endpoint_selector: Selector | None = None
    node_selector: Selector | None = None
    ingress: list[msgspec.Raw] | None = None
    ingress_deny: list[msgspec.Raw] | None = None
    egress: list[msgspec.Raw] | None = None
    egress_deny: list[msgspec.Raw] | None = None


class EndpointPolicyObject(msgspec.Struct):
    """A CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy: one rule, several, or both."""

    metadata: Metadata
    spec: EndpointPolicySpec | None = None
    specs: list[EndpointPolicySpec] | None = None

    def records(self, kind: str) -> list[NetworkPolicy]:
        """A policy for each of its rules; those for nodes select no pod and are left out."""
        rules = [*([self.spec] if self.spec is not None else []), *(self.specs or ())]
        return [self._record(kind, rule, rule.endpoint_selector) for rule in rules if rule.endpoint_selector is not None]

    def _record(self, kind: str, rule: EndpointPolicySpec, selector: Selector) -> NetworkPolicy:
        labels = {_plain_label(key): value for key, value in (selector.match_labels or {}).items()}
        namespace = labels.pop(_NAMESPACE_LABEL, None)
        directions = (("Ingress", rule.ingress, rule.ingress_deny), ("Egress", rule.egress, rule.egress_deny))
        return NetworkPolicy(
            kind=kind,
            namespace=self.metadata.namespace or namespace,
            name=self.metadata.name,
            types=tuple(name for name, allowed, denied in directions if allowed is not None or denied is not None),
            match_labels=labels,
            requirements=tuple(
                Requirement(key=_plain_label(each.key), operator=each.operator, values=tuple(each.values or ()))
                for each in selector.match_expressions or ()
            ),
            ingress=len(rule.ingress or ()),
            egress=len(rule.egress or ()),
        )


# Cilium writes a label with its source before it (`k8s:app`, `any:app`; pkg/labels), and gives each pod that of its namespace.
_LABEL_SOURCES = ("k8s:", "any:")
_NAMESPACE_LABEL = "io.kubernetes.pod.namespace"


def _plain_label(key: str) -> str:
    source = next((source for source in _LABEL_SOURCES if key.startswith(source)), "")
    return key.removeprefix(source)


class EndpointStatus(msgspec.Struct):
    """A CiliumEndpoint's status; only what its agent was told of the pod (`cni-attachment-id`)."""

    identifiers: dict[str, Any] = msgspec.field(name="external-identifiers", default_factory=dict)


class EndpointObject(msgspec.Struct):
    """An end of a pod as its network keeps it (CiliumEndpoint, of the pod's own name)."""

    metadata: Metadata
    status: EndpointStatus = msgspec.field(default_factory=EndpointStatus)

    def attachment(self) -> str | None:
        """What its agent calls the pod's attachment, before Cilium 1.15 the container alone; None where it does not say."""
        for key in ("cni-attachment-id", "container-id"):
            value = self.status.identifiers.get(key)
            if isinstance(value, str) and value:
                return value
        return None


class IpPoolSpec(msgspec.Struct, rename="camel"):
    """An IPPool's spec."""

    cidr: str
    vxlan_mode: str | None = None
    ipip_mode: str | None = None
    nat_outgoing: bool | None = None
    disabled: bool | None = None
    block_size: int | None = None


class IpPoolObject(msgspec.Struct):
    """A pool of pod addresses (projectcalico/v3, IPPool)."""

    metadata: Metadata
    spec: IpPoolSpec

    def record(self) -> IpPool:
        """The pool."""
        spec = self.spec
        return IpPool(
            name=self.metadata.name,
            cidr=spec.cidr,
            vxlan_mode=spec.vxlan_mode or "Never",
            ipip_mode=spec.ipip_mode or "Never",
            nat_outgoing=bool(spec.nat_outgoing),
            disabled=bool(spec.disabled),
            block_size=spec.block_size,
        )


class BlockAffinitySpec(msgspec.Struct):
    """A BlockAffinity's spec; `deleted` is a string."""

    cidr: str
    node: str
    state: str = ""
    deleted: str = "false"


class BlockAffinityObject(msgspec.Struct):
    """A block of a pool that a node has (projectcalico/v3, BlockAffinity)."""

    metadata: Metadata
    spec: BlockAffinitySpec

    def record(self) -> BlockAffinity | None:
        """The affinity; None for one that is being deleted."""
        if self.spec.deleted == "true":
            return None
        return BlockAffinity(cidr=self.spec.cidr, node=self.spec.node, state=self.spec.state)


class SettingsObject(msgspec.Struct):
    """The settings of a CNI's agents: `default`, or those of one node, `node.<name>` (projectcalico/v3, FelixConfiguration)."""

    metadata: Metadata
    spec: dict[str, Any] = msgspec.field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """Its settings as text; those of a node begin with `<name>/`."""
        prefix = f"{self.metadata.name.removeprefix('node.')}/" if self.metadata.name.startswith("node.") else ""
        return {prefix + key: value for key, value in flattened(self.spec).items()}


class Variable(msgspec.Struct):
    """An environment variable; one from elsewhere has no value here."""

    name: str
    value: str | None = None


class ContainerObject(msgspec.Struct):
    """A container of a template."""

    env: list[Variable] | None = None


class TemplateSpec(msgspec.Struct):
    """The pods' spec of a workload."""

    containers: list[ContainerObject] | None = None


class Template(msgspec.Struct):
    """A workload's template."""

    spec: TemplateSpec = msgspec.field(default_factory=TemplateSpec)


class DaemonSetSpec(msgspec.Struct):
    """A DaemonSet's spec."""

    template: Template = msgspec.field(default_factory=Template)


class DaemonSetObject(msgspec.Struct):
    """A DaemonSet, for the environment of its containers."""

    metadata: Metadata
    spec: DaemonSetSpec = msgspec.field(default_factory=DaemonSetSpec)

    def environment(self, wanted: tuple[str, ...]) -> dict[str, str]:
        """Variables that begin with one of `wanted`; nothing else, which may be a secret."""
        containers = self.spec.template.spec.containers or ()
        variables = [variable for container in containers for variable in container.env or () if variable.value is not None]
        return {variable.name: variable.value or "" for variable in variables if variable.name.startswith(wanted)}


class ConfigMapObject(msgspec.Struct):
    """A ConfigMap."""

    metadata: Metadata
    data: dict[str, str] | None = None

    def json(self, key: str) -> Any:
        """The JSON under `key`; None where there is none."""
        try:
            return msgspec.json.decode((self.data or {}).get(key, "null"))
        except msgspec.DecodeError:
            return None


def flattened(value: Any, prefix: str = "") -> dict[str, str]:
    """The scalars of a JSON object by their dotted path, as text; lists are left out. Anything but an object is empty."""
    found: dict[str, str] = {}
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            found |= flattened(inner, f"{prefix}{key}.")
        elif isinstance(inner, str | int | float):
            found[prefix + str(key)] = str(inner).lower() if isinstance(inner, bool) else str(inner)
    return found
