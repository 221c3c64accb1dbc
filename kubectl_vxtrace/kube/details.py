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
    ConfigMapObject,
    DaemonSetObject,
    IpPoolObject,
    OwnPolicyObject,
    PolicyObject,
    SettingsObject,
)
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced, path
from kubectl_vxtrace.model.cluster import ClusterSnapshot, CniConfiguration, NetworkPolicy
from kubectl_vxtrace.model.cni import Cni, OwnKinds
from kubectl_vxtrace.model.path import Flow

Found = TypeVar("Found")

_READ_TIMEOUT_S = 3.0


def detailed(connection: Connection, snapshot: ClusterSnapshot, flows: Sequence[Flow], cnis: Sequence[Cni]) -> ClusterSnapshot:
    """`snapshot` with `policies`, `cni` and `absent`. Never raises for a cluster's failure: what could not be read is absent.

    Policies are those in the namespaces of the flows' pods, and global ones; beside Kubernetes' own those of `cnis`, the networks that
    the cluster has; of what two of them keep, that of the first.
    """
    try:
        with Api(connection, read_timeout_s=_READ_TIMEOUT_S) as api:
            return _Details(api).of(snapshot, flows, cnis)
    except (VxtraceError, OSError) as error:
        return replace(snapshot, absent={"networkpolicies": str(error)})


class _Details:
    """Reads one kind after the other, and notes what could not be read. Once the API does not answer, it is not asked again."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._absent: dict[str, str] = {}
        self._silent: str | None = None

    def of(self, snapshot: ClusterSnapshot, flows: Sequence[Flow], cnis: Sequence[Cni]) -> ClusterSnapshot:
        namespaces = _namespaces(flows)
        found = [policy for namespace in namespaces for policy in self._kubernetes_policies(namespace)]
        configuration = CniConfiguration()
        kinds = next((cni.kinds for cni in cnis if cni.kinds is not None), None)
        if kinds is not None:
            found += self._own_policies(kinds.group, namespaces)
            configuration = self._own_configuration(kinds)
        config_maps = next((cni.config_maps for cni in cnis if cni.config_maps), ())
        if config_maps:
            configuration = replace(configuration, flannel=self._network(config_maps))
        return replace(snapshot, policies=tuple(found), cni=configuration, absent=self._absent)

    def _kubernetes_policies(self, namespace: str) -> Iterable[NetworkPolicy]:
        resource = namespaced(namespace, "networkpolicies", group="networking.k8s.io/v1")
        return (item.record() for item in self._list(f"networkpolicies in {namespace}", resource, PolicyObject))

    def _own_policies(self, group: str, namespaces: Sequence[str]) -> list[NetworkPolicy]:
        name = group.partition("/")[0]
        found = []
        for namespace in namespaces:
            resource = namespaced(namespace, "networkpolicies", group=group)
            items = self._list(f"networkpolicies.{name} in {namespace}", resource, OwnPolicyObject)
            found += [item.record(f"{name}/NetworkPolicy") for item in items]
        resource = namespaced(None, "globalnetworkpolicies", group=group)
        items = self._list("globalnetworkpolicies", resource, OwnPolicyObject)
        return found + [item.record(f"{name}/GlobalNetworkPolicy") for item in items]

    def _own_configuration(self, kinds: OwnKinds) -> CniConfiguration:
        group = kinds.group
        settings: dict[str, str] = {}
        for item in self._list(kinds.settings, namespaced(None, kinds.settings, group=group), SettingsObject):
            settings |= item.settings()
        return CniConfiguration(
            pools=tuple(item.record() for item in self._list("ippools", namespaced(None, "ippools", group=group), IpPoolObject)),
            blocks=tuple(
                record
                for item in self._list("blockaffinities", namespaced(None, "blockaffinities", group=group), BlockAffinityObject)
                if (record := item.record()) is not None
            ),
            felix=settings,
            felix_environment=self._environment(kinds),
        )

    def _environment(self, kinds: OwnKinds) -> dict[str, str]:
        resources = [namespaced(namespace, "daemonsets", name, group="apps/v1") for namespace, name in kinds.agents]
        daemon = self._first(f"daemonset {kinds.agents[0][1]}", resources, DaemonSetObject)
        return {} if daemon is None else daemon.environment(kinds.agent_variables)

    def _network(self, config_maps: Sequence[tuple[str, str]]) -> dict[str, str]:
        resources = [path("api", "v1", "namespaces", namespace, "configmaps", name) for namespace, name in config_maps]
        network = self._first(f"configmap {config_maps[0][1]}", resources, ConfigMapObject)
        return {} if network is None else policies.flattened(network.json("net-conf.json"))

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
