"""What else the cluster says that a trace can do without: policies, and what the CNI keeps in the API. Read while the captures run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.kube import policies
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.policies import (
    BlockAffinityObject,
    CalicoPolicyObject,
    ConfigMapObject,
    DaemonSetObject,
    FelixObject,
    IpPoolObject,
    PolicyObject,
)
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced, path
from kubectl_vxtrace.model.cluster import ClusterSnapshot, CniConfiguration, NetworkPolicy
from kubectl_vxtrace.model.path import Flow

Found = TypeVar("Found")

_CALICO = "crd.projectcalico.org"
_CALICO_V1 = f"{_CALICO}/v1"
# Where the operator and the manifests put them.
_CALICO_NAMESPACES = ("calico-system", "kube-system")
_FLANNEL_MAPS = (("kube-flannel", "kube-flannel-cfg"), ("kube-system", "kube-flannel-cfg"), ("kube-system", "canal-config"))
_READ_TIMEOUT_S = 3.0


def detailed(connection: Connection, snapshot: ClusterSnapshot, flows: Sequence[Flow]) -> ClusterSnapshot:
    """`snapshot` with `policies`, `cni` and `absent`. Never raises for a cluster's failure: what could not be read is absent.

    Policies are those in the namespaces of the flows' pods, and global ones. A CNI's kinds are asked for where its annotations
    stand on a node.
    """
    try:
        with Api(connection, read_timeout_s=_READ_TIMEOUT_S) as api:
            return _Details(api).of(snapshot, flows)
    except (VxtraceError, OSError) as error:
        return replace(snapshot, absent={"networkpolicies": str(error)})


class _Details:
    """Reads one kind after the other, and notes what could not be read. Once the API does not answer, it is not asked again."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._absent: dict[str, str] = {}
        self._silent: str | None = None

    def of(self, snapshot: ClusterSnapshot, flows: Sequence[Flow]) -> ClusterSnapshot:
        namespaces = _namespaces(flows)
        found = [policy for namespace in namespaces for policy in self._kubernetes_policies(namespace)]
        cni = CniConfiguration()
        annotations = {key for node in snapshot.nodes for key in node.annotations}
        if any(key.startswith("projectcalico.org/") for key in annotations):
            found += self._calico_policies(namespaces)
            cni = self._calico()
        if any(key.startswith("flannel.alpha.coreos.com/") for key in annotations):
            cni = replace(cni, flannel=self._flannel())
        return replace(snapshot, policies=tuple(found), cni=cni, absent=self._absent)

    def _kubernetes_policies(self, namespace: str) -> Iterable[NetworkPolicy]:
        resource = namespaced(namespace, "networkpolicies", group="networking.k8s.io/v1")
        return (item.record() for item in self._list(f"networkpolicies in {namespace}", resource, PolicyObject))

    def _calico_policies(self, namespaces: Sequence[str]) -> list[NetworkPolicy]:
        found = []
        for namespace in namespaces:
            resource = namespaced(namespace, "networkpolicies", group=_CALICO_V1)
            items = self._list(f"networkpolicies.{_CALICO} in {namespace}", resource, CalicoPolicyObject)
            found += [item.record(f"{_CALICO}/NetworkPolicy") for item in items]
        resource = namespaced(None, "globalnetworkpolicies", group=_CALICO_V1)
        items = self._list("globalnetworkpolicies", resource, CalicoPolicyObject)
        return found + [item.record(f"{_CALICO}/GlobalNetworkPolicy") for item in items]

    def _calico(self) -> CniConfiguration:
        felix: dict[str, str] = {}
        for item in self._list("felixconfigurations", namespaced(None, "felixconfigurations", group=_CALICO_V1), FelixObject):
            felix |= item.settings()
        return CniConfiguration(
            pools=tuple(item.record() for item in self._list("ippools", namespaced(None, "ippools", group=_CALICO_V1), IpPoolObject)),
            blocks=tuple(
                record
                for item in self._list("blockaffinities", namespaced(None, "blockaffinities", group=_CALICO_V1), BlockAffinityObject)
                if (record := item.record()) is not None
            ),
            felix=felix,
            felix_environment=self._felix_environment(),
        )

    def _felix_environment(self) -> dict[str, str]:
        resources = [namespaced(namespace, "daemonsets", "calico-node", group="apps/v1") for namespace in _CALICO_NAMESPACES]
        daemon = self._first("daemonset calico-node", resources, DaemonSetObject)
        return {} if daemon is None else daemon.felix_environment()

    def _flannel(self) -> dict[str, str]:
        resources = [path("api", "v1", "namespaces", namespace, "configmaps", name) for namespace, name in _FLANNEL_MAPS]
        configuration = self._first("configmap of flannel", resources, ConfigMapObject)
        return {} if configuration is None else policies.flattened(configuration.json("net-conf.json"))

    def _list(self, key: str, resource: str, type_: type[Found]) -> list[Found]:
        found = self._read(key, lambda: list(self._api.items(resource, type_)))
        return [] if found is None else found

    def _object(self, resource: str, type_: type[Found]) -> Found:
        return self._api.decode(self._api.get(resource), type_)

    def _first(self, key: str, resources: Sequence[str], type_: type[Found]) -> Found | None:
        """The first of the named objects that there is."""
        for resource in resources:
            self._absent.pop(key, None)
            found = self._read(key, partial(self._object, resource, type_))
            if found is not None:
                return found
        return None

    def _read(self, key: str, ask: Callable[[], Found]) -> Found | None:
        if self._silent is not None:
            self._absent[key] = self._silent
            return None
        try:
            return ask()
        except ApiError as error:
            words = {403: "forbidden", 404: "not known to this API, or not there"}
            self._absent[key] = words.get(error.status, error.message)
            if error.status == 0:
                self._silent = error.message
            return None


def _namespaces(flows: Sequence[Flow]) -> tuple[str, ...]:
    """Those of the flows' pods."""
    pods = [end.pod for flow in flows for end in (flow.client, flow.server, *flow.candidates) if end is not None and end.pod]
    return tuple(dict.fromkeys(pod.partition("/")[0] for pod in pods))
