"""What else the cluster says that a trace can do without: policies, and what the CNI keeps in the API. Read while the captures run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    EndpointPolicyObject,
    IpPoolObject,
    OwnPolicyObject,
    PolicyObject,
    SettingsObject,
)
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced
from kubectl_vxtrace.kube.rights import ALL, ALWAYS, Refusals, of_networks
from kubectl_vxtrace.model.cluster import ClusterSnapshot, CniConfiguration, NetworkPolicy
from kubectl_vxtrace.model.cni import Cni, OwnKinds, PolicyKind
from kubectl_vxtrace.model.path import Flow

Found = TypeVar("Found")

_READ_TIMEOUT_S = 3.0


def detailed(connection: Connection, snapshot: ClusterSnapshot, flows: Sequence[Flow], cnis: Sequence[Cni]) -> ClusterSnapshot:
    """`snapshot` with `policies`, `cni`, `absent`, and more in `refused`. Never raises for a cluster's failure.

    Policies are those in the namespaces of the flows' pods, and global ones; beside Kubernetes' own those of `cnis`, the networks that
    the cluster has; of what two of them keep, that of the first.
    """
    try:
        with Api(connection, read_timeout_s=_READ_TIMEOUT_S) as api:
            return _Details(api, cnis).of(snapshot, flows)
    except (VxtraceError, OSError) as error:
        unread = f"policies and the network's configuration could not be read ({error}): the bundle does not have them"
        return replace(snapshot, absent={"networkpolicies": str(error)}, refused=(*snapshot.refused, unread))


class _Details:
    """Reads one kind after the other, and notes what could not be read. Once the API does not answer, it is not asked again."""

    def __init__(self, api: Api, cnis: Sequence[Cni]) -> None:
        self._api = api
        self._cnis = cnis
        self._absent: dict[str, str] = {}
        self._refused = Refusals((*ALWAYS, *of_networks(cnis)))
        self._silent: ApiError | None = None

    def of(self, snapshot: ClusterSnapshot, flows: Sequence[Flow]) -> ClusterSnapshot:
        namespaces = _namespaces(flows)
        found = [policy for namespace in namespaces for policy in self._kubernetes_policies(namespace)]
        configuration = CniConfiguration()
        kinds = next((cni.kinds for cni in self._cnis if cni.kinds is not None), None)
        if kinds is not None:
            found += [policy for kind in kinds.policies for policy in self._own_policies(kinds.group, kind, namespaces)]
            configuration = self._own_configuration(kinds)
        config_maps = next((cni.config_maps for cni in self._cnis if cni.config_maps), ())
        if config_maps:
            configuration = replace(configuration, flannel=self._network(config_maps))
        refused = (*snapshot.refused, *self._refused.sentences())
        return replace(snapshot, policies=tuple(found), cni=configuration, absent=self._absent, refused=refused)

    def _kubernetes_policies(self, namespace: str) -> Iterable[NetworkPolicy]:
        return (item.record() for item in self._list("networkpolicies", PolicyObject, group="networking.k8s.io/v1", namespace=namespace))

    def _own_policies(self, group: str, kind: PolicyKind, namespaces: Sequence[str]) -> Iterator[NetworkPolicy]:
        name = group.partition("/")[0]
        # Kubernetes has such a kind too; those of other names are told apart by them.
        key = f"{kind.plural}.{name}" if kind.plural == "networkpolicies" else None
        for namespace in namespaces if kind.is_namespaced else (None,):
            if kind.selects_endpoints:
                for item in self._list(kind.plural, EndpointPolicyObject, group=group, namespace=namespace, key=key):
                    yield from item.records(f"{name}/{kind.kind}")
            else:
                for own in self._list(kind.plural, OwnPolicyObject, group=group, namespace=namespace, key=key):
                    yield own.record(f"{name}/{kind.kind}")

    def _own_configuration(self, kinds: OwnKinds) -> CniConfiguration:
        if kinds.settings is None:
            return CniConfiguration()
        settings: dict[str, str] = {}
        for item in self._list(kinds.settings, SettingsObject, group=kinds.group):
            settings |= item.settings()
        return CniConfiguration(
            pools=tuple(item.record() for item in self._list("ippools", IpPoolObject, group=kinds.group)),
            blocks=tuple(
                record
                for item in self._list("blockaffinities", BlockAffinityObject, group=kinds.group)
                if (record := item.record()) is not None
            ),
            felix=settings,
            felix_environment=self._environment(kinds),
        )

    def _environment(self, kinds: OwnKinds) -> dict[str, str]:
        if not kinds.agents:
            return {}
        daemon = self._first("daemonsets", kinds.agents, DaemonSetObject, group="apps/v1", key=f"daemonset {kinds.agents[0][1]}")
        return {} if daemon is None else daemon.environment(kinds.agent_variables)

    def _network(self, config_maps: Sequence[tuple[str, str]]) -> dict[str, str]:
        network = self._first("configmaps", config_maps, ConfigMapObject, group="", key=f"configmap {config_maps[0][1]}")
        return {} if network is None else policies.flattened(network.json("net-conf.json"))

    def _list(self, plural: str, type_: type[Found], *, group: str, namespace: str | None = None, key: str | None = None) -> list[Found]:
        """All of a kind; noted under `key` (by default `plural`) and its namespace where they may not be read."""
        resource = namespaced(namespace, plural, group=group)
        found = self._read(lambda: list(self._api.items(resource, type_)))
        if isinstance(found, ApiError):
            self._note(f"{key or plural}{f' in {namespace}' if namespace else ''}", found)
            self._refused.add("list", group, plural, namespace or ALL, found)
            return []
        return found

    def _first(self, plural: str, names: Sequence[tuple[str, str]], type_: type[Found], *, group: str, key: str) -> Found | None:
        """The first of the named objects that there is."""
        errors = {}
        for namespace, name in names:
            found = self._read(partial(self._object, namespaced(namespace, plural, name, group=group), type_))
            if not isinstance(found, ApiError):
                self._absent.pop(key, None)
                return found
            errors[namespace] = found
            self._note(key, found)
        for namespace, error in errors.items():
            self._refused.add("get", group, plural, namespace, error)
        return None

    def _object(self, resource: str, type_: type[Found]) -> Found:
        return self._api.decode(self._api.get(resource), type_)

    def _read(self, ask: Callable[[], Found]) -> Found | ApiError:
        if self._silent is not None:
            return self._silent
        try:
            return ask()
        except ApiError as error:
            if error.status == 0:
                self._silent = error
            return error

    def _note(self, key: str, error: ApiError) -> None:
        self._absent[key] = {403: "forbidden", 404: "not known to this API, or not there"}.get(error.status, error.message)


def _namespaces(flows: Sequence[Flow]) -> tuple[str, ...]:
    """Those of the flows' pods."""
    pods = [end.pod for flow in flows for end in (flow.client, flow.server, *flow.candidates) if end is not None and end.pod]
    return tuple(dict.fromkeys(pod.partition("/")[0] for pod in pods))
