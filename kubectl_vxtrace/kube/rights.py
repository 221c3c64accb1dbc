"""What is asked of the API, and what for: one table, which preflight, `check`, the report and docs/rbac.yaml share.

Everybody who is authenticated may ask for the server's version and for the own rights (system:public-info-viewer, system:basic-user).
What is asked only of those who lack a right of this table (`get pods` where they may not be listed, `list namespaces` where not all may be
read at once) is not in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cni import Cni

ALL = ""
"""In place of a namespace: all of them."""


class Where(Enum):
    """Which namespaces something is asked in: a kind without namespaces, those of the pods and Services that are asked about, that of the
    debug pods."""

    CLUSTER = "cluster"
    ASKED = "asked"
    DEBUG = "debug"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One request of the API.

    `names`: the only objects that are asked for, empty for any. `namespaces`: where these are, whatever the trace is of. `without`: what is
    not told without it; None where there is no trace without it.
    """

    verb: str
    resource: str
    where: Where
    group: str = ""
    names: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    without: str | None = None

    def __str__(self) -> str:
        resource, slash, subresource = self.resource.partition("/")
        name = f" {'|'.join(self.names)}" if self.names else ""
        return f"{self.verb} {resource}{f'.{self.group}' if self.group else ''}{slash}{subresource}{name}"

    def within(self, namespaces: Iterable[str]) -> str:
        """With the namespaces that it is asked in, ALL for all."""
        named = sorted(set(namespaces)) if self.where is not Where.CLUSTER else []
        if not named:
            return str(self)
        if ALL in named:
            return f"{self} in all namespaces"
        return f"{self} in namespace{'s' if len(named) > 1 else ''} {', '.join(named)}"


_DISCOVERY, _APPS, _NETWORKING = "discovery.k8s.io", "apps", "networking.k8s.io"
_NO_POLICIES = "the bundle does not say which policies may apply to the pods"
_NO_INTERFACES = "which interfaces of a node are the pods' is told by their packets, where there are few to watch"
_NO_CONFIGURATION = "the bundle does not say how the network is configured"

# pods/exec needs `get` since the handshake is a GET, and `create` since Kubernetes 1.35 (kubernetes#134577).
ALWAYS = (
    Need(verb="create", resource="pods", where=Where.DEBUG),
    Need(verb="list", resource="pods", where=Where.DEBUG),
    Need(verb="delete", resource="pods", where=Where.DEBUG),
    Need(verb="get", resource="pods/exec", where=Where.DEBUG),
    Need(verb="create", resource="pods/exec", where=Where.DEBUG),
    Need(verb="list", resource="events", where=Where.DEBUG, without="why a debug pod does not start may not be told in its node's words"),
    Need(
        verb="list",
        resource="resourcequotas",
        where=Where.DEBUG,
        without="`check` does not say whether the quotas leave enough for all debug pods",
    ),
    Need(verb="list", resource="nodes", where=Where.CLUSTER),
    Need(
        verb="get",
        resource="namespaces",
        where=Where.CLUSTER,
        without="a namespace that does not exist looks like an empty one, and the bundle does not say which cluster it is of",
    ),
    Need(verb="list", resource="pods", where=Where.ASKED),
    Need(verb="list", resource="services", where=Where.ASKED, without="no Service is known, neither as a target nor as a way to a backend"),
    Need(
        verb="list",
        resource="endpointslices",
        group=_DISCOVERY,
        where=Where.ASKED,
        without="the backends of Services are not known",
    ),
    *(
        Need(
            verb="list",
            resource=workloads,
            group=_APPS,
            where=Where.ASKED,
            without="such a workload is only known by the names of its pods' owners",
        )
        for workloads in ("deployments", "replicasets", "statefulsets", "daemonsets")
    ),
    Need(verb="list", resource="networkpolicies", group=_NETWORKING, where=Where.ASKED, without=_NO_POLICIES),
)
"""What is asked whatever the cluster's network is."""


def of_networks(cnis: Sequence[Cni]) -> tuple[Need, ...]:
    """What is asked about networks, each need once."""
    found: dict[tuple[str, str, str], Need] = {}
    for cni in cnis:
        for need in _of_network(cni):
            key = need.verb, need.group, need.resource
            known = found.get(key, need)
            found[key] = replace(need, names=unique((*known.names, *need.names)), namespaces=unique((*known.namespaces, *need.namespaces)))
    return tuple(found.values())


def _of_network(cni: Cni) -> Iterable[Need]:
    if cni.kinds is not None:
        group = cni.kinds.group.partition("/")[0]
        for policy in cni.kinds.policies:
            where = Where.ASKED if policy.is_namespaced else Where.CLUSTER
            yield Need(verb="list", resource=policy.plural, group=group, where=where, without=_NO_POLICIES)
        for resource in (cni.kinds.settings, "ippools", "blockaffinities") if cni.kinds.settings is not None else ():
            yield Need(verb="list", resource=resource, group=group, where=Where.CLUSTER, without=_NO_CONFIGURATION)
        if cni.kinds.endpoints is not None:
            yield Need(verb="get", resource=cni.kinds.endpoints, group=group, where=Where.ASKED, without=_NO_INTERFACES)
        if cni.kinds.agents:
            yield _named("daemonsets", _APPS, cni.kinds.agents)
    if cni.config_maps:
        yield _named("configmaps", "", cni.config_maps)


def _named(resource: str, group: str, objects: Sequence[tuple[str, str]]) -> Need:
    return Need(
        verb="get",
        resource=resource,
        group=group,
        where=Where.ASKED,
        names=unique(name for _, name in objects),
        namespaces=unique(namespace for namespace, _ in objects),
        without=_NO_CONFIGURATION,
    )


class Refusals:
    """What was asked and not given, in sentences for the report."""

    def __init__(self, needs: Sequence[Need]) -> None:
        self._needs = {(need.verb, need.group, need.resource): need for need in needs if need.where is not Where.DEBUG}
        self._namespaces: dict[tuple[Need, str], list[str]] = {}

    def add(self, verb: str, group: str, resource: str, namespace: str, error: ApiError) -> None:
        """Note a failed request; not one that found nothing.

        Args:
            verb, group, resource: what was asked; the group may bear its version.
            namespace: where it was asked, ALL for all namespaces.
            error: the answer.
        """
        if error.status != 404:
            need = self._needs[verb, group.partition("/")[0], resource]
            why = "is forbidden" if error.status == 403 else f"failed ({error.message})"
            self._namespaces.setdefault((need, why), []).append(namespace)

    def sentences(self) -> tuple[str, ...]:
        """One for each need that was refused."""
        return tuple(
            f"{need.within(namespaces)} {why}: {need.without or 'names may not be found'}"
            for (need, why), namespaces in self._namespaces.items()
        )
