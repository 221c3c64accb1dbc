"""The kinds that the server has, and the discovery documents made from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.status import JsonObject

READ = ("get", "list", "watch")
WRITE = (*READ, "create", "delete", "deletecollection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object; `fields` are the field selectors it knows beyond metadata.name and metadata.namespace."""

    group: str = ""
    version: str = "v1"
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = WRITE
    fields: tuple[str, ...] = ()

    @property
    def group_version(self) -> str:
        """`v1`, `apps/v1`: the objects' apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version


PODS = Kind(
    kind="Pod",
    plural="pods",
    short_names=("po",),
    categories=("all",),
    fields=("spec.nodeName", "spec.restartPolicy", "status.phase", "status.podIP"),
)
NODES = Kind(kind="Node", plural="nodes", namespaced=False, short_names=("no",), verbs=READ, fields=("spec.unschedulable",))
NAMESPACES = Kind(kind="Namespace", plural="namespaces", namespaced=False, short_names=("ns",), fields=("status.phase",))
SERVICES = Kind(kind="Service", plural="services", short_names=("svc",), categories=("all",), fields=("spec.clusterIP", "spec.type"))
EVENTS = Kind(
    kind="Event",
    plural="events",
    short_names=("ev",),
    fields=("involvedObject.name", "involvedObject.namespace", "involvedObject.kind", "involvedObject.uid", "reason", "type"),
)
ENDPOINT_SLICES = Kind(group="discovery.k8s.io", kind="EndpointSlice", plural="endpointslices")
DEPLOYMENTS = Kind(group="apps", kind="Deployment", plural="deployments", short_names=("deploy",), categories=("all",))
REPLICA_SETS = Kind(group="apps", kind="ReplicaSet", plural="replicasets", short_names=("rs",), categories=("all",))
STATEFUL_SETS = Kind(group="apps", kind="StatefulSet", plural="statefulsets", short_names=("sts",), categories=("all",))
DAEMON_SETS = Kind(group="apps", kind="DaemonSet", plural="daemonsets", short_names=("ds",), categories=("all",))
NETWORK_POLICIES = Kind(group="networking.k8s.io", kind="NetworkPolicy", plural="networkpolicies", short_names=("netpol",))
CILIUM_ENDPOINTS = Kind(group="cilium.io", version="v2", kind="CiliumEndpoint", plural="ciliumendpoints", short_names=("cep",), verbs=READ)
CILIUM_POLICIES = Kind(group="cilium.io", version="v2", kind="CiliumNetworkPolicy", plural="ciliumnetworkpolicies", short_names=("cnp",))
CILIUM_WIDE_POLICIES = Kind(
    group="cilium.io",
    version="v2",
    kind="CiliumClusterwideNetworkPolicy",
    plural="ciliumclusterwidenetworkpolicies",
    namespaced=False,
    short_names=("ccnp",),
)
ACCESS_REVIEWS = Kind(
    group="authorization.k8s.io", kind="SelfSubjectAccessReview", plural="selfsubjectaccessreviews", namespaced=False, verbs=("create",)
)
SUBJECT_REVIEWS = Kind(
    group="authentication.k8s.io", kind="SelfSubjectReview", plural="selfsubjectreviews", namespaced=False, verbs=("create",)
)

KINDS: tuple[Kind, ...] = (
    PODS,
    NODES,
    NAMESPACES,
    SERVICES,
    EVENTS,
    ENDPOINT_SLICES,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    NETWORK_POLICIES,
    CILIUM_ENDPOINTS,
    CILIUM_POLICIES,
    CILIUM_WIDE_POLICIES,
    ACCESS_REVIEWS,
    SUBJECT_REVIEWS,
)
_BY_NAME = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
_SUBRESOURCES = {
    "pods": (("exec", "PodExecOptions", ("create", "get")), ("log", "Pod", ("get",))),
}

# What plain kubectl and the Python client make of the server: the version of the API whose behaviour is imitated.
VERSION: JsonObject = {
    "major": "1",
    "minor": "35",
    "gitVersion": "v1.35.0+lab",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.25.0",
    "compiler": "gc",
    "platform": "linux/amd64",
}


def find(group: str, version: str, plural: str) -> Kind | None:
    """The kind that a path names, or None."""
    return _BY_NAME.get((group, version, plural))


def core_versions() -> JsonObject:
    """The document at /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups() -> Sequence[str]:
    """The named groups, each with the one version that it has."""
    return sorted({kind.group for kind in KINDS if kind.group})


def group_document(group: str) -> JsonObject:
    """One group, as at /apis/GROUP."""
    served = next(kind.version for kind in KINDS if kind.group == group)
    version = {"groupVersion": f"{group}/{served}", "version": served}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [version], "preferredVersion": version}


def group_list() -> JsonObject:
    """The document at /apis."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group_document(group) for group in groups()]}


def resource_list(group: str, version: str) -> JsonObject | None:
    """The document at /api/v1 or /apis/GROUP/VERSION; None for a group that the server does not have."""
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    if not kinds:
        return None
    resources: list[JsonObject] = []
    for kind in kinds:
        resources.append(
            {
                "name": kind.plural,
                "singularName": kind.kind.lower(),
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": list(kind.verbs),
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
            }
        )
        for name, options, verbs in _SUBRESOURCES.get(kind.plural, ()):
            entry: JsonObject = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": True, "kind": options}
            resources.append(entry | {"verbs": list(verbs)})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": kinds[0].group_version, "resources": resources}
