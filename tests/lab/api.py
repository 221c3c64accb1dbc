"""The verbs on objects: create, get, list, delete."""

from typing import Any

from tests.lab import access, admission, selection
from tests.lab.access import Identity
from tests.lab.cluster import Cluster
from tests.lab.resources import NAMESPACES, PODS
from tests.lab.routes import Route
from tests.lab.status import JsonObject, already_exists, bad_request, conflict, not_found
from tests.lab.store import now


def selector(route: Route) -> selection.Predicate:
    """What the request's selectors pick. Raises ApiError 400."""
    return selection.parse(route.value("labelSelector"), route.value("fieldSelector"), route.kind.fields)


class Api:
    """Carries requests out; who may was decided before."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._store = cluster.store

    def answer(self, route: Route, who: Identity, body: JsonObject) -> tuple[int, JsonObject]:
        """HTTP status and object. Raises ApiError."""
        if route.verb == "create":
            return 201, self._create(route, who, body)
        if route.verb == "get":
            return 200, self._store.get(route.kind, route.namespace, route.name)
        if route.verb == "list":
            return 200, self._list(route)
        if route.verb == "delete":
            return 200, self._delete(route, self._store.get(route.kind, route.namespace, route.name), body)
        selects = selector(route)
        found = [obj for obj in self._store.select(route.kind, route.namespace)[0] if selects(obj)]
        return 200, self._list_of(route, [self._delete(route, obj, body) for obj in found])

    def _list_of(self, route: Route, items: list[JsonObject], version: str = "") -> JsonObject:
        kind = route.kind
        return {"kind": f"{kind.kind}List", "apiVersion": kind.group_version, "metadata": {"resourceVersion": version}, "items": items}

    def _list(self, route: Route) -> JsonObject:
        selects = selector(route)
        items, version = self._store.select(route.kind, route.namespace)
        return self._list_of(route, [obj for obj in items if selects(obj)], str(version))

    def _create(self, route: Route, who: Identity, body: JsonObject) -> JsonObject:
        if route.kind.plural == "selfsubjectaccessreviews":
            return access.review_access(who, body)
        if route.kind.plural == "selfsubjectreviews":
            return access.review_self(who)
        if route.kind.namespaced and not route.namespace:
            raise bad_request("the path names no namespace")
        if route.kind is PODS:
            return self._create_pod(route, body)
        if not isinstance(body.get("metadata"), dict) or not body["metadata"].get("name"):
            raise bad_request("metadata.name is required")
        obj: JsonObject = {"apiVersion": route.kind.group_version, "kind": route.kind.kind} | body
        if route.kind.namespaced:
            self._store.get(NAMESPACES, "", route.namespace)
            obj = obj | {"metadata": obj["metadata"] | {"namespace": route.namespace}}
        elif route.kind is NAMESPACES:
            obj = obj | {"status": {"phase": "Active"}}
        return obj if route.value("dryRun") else self._store.create(route.kind, obj)

    def _create_pod(self, route: Route, body: JsonObject) -> JsonObject:
        namespace = self._store.get(NAMESPACES, "", route.namespace)
        pod = admission.with_defaults(body, route.namespace)
        admission.validate(pod)
        admission.check_pod_security(pod, namespace)
        if route.value("dryRun"):
            name = pod["metadata"]["name"]
            if any(found["metadata"]["name"] == name for found in self._store.select(PODS, route.namespace)[0]):
                raise already_exists("pods", "", name)
            return pod
        stored = self._store.create(PODS, pod)
        if pod["spec"].get("nodeName"):
            self._cluster.kubelets.start(stored)
        return stored

    def _delete(self, route: Route, obj: JsonObject, options: JsonObject) -> JsonObject:
        metadata = obj["metadata"]
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != metadata["uid"]:
            why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {metadata['uid']}"
            raise conflict(route.kind.plural, route.kind.group, metadata["name"], why)
        if route.value("dryRun") or options.get("dryRun"):
            return obj
        if route.kind is PODS:
            return self._delete_pod(obj, _grace_s(route, options))
        return self._store.remove(route.kind, metadata.get("namespace", ""), metadata["name"]) or obj

    def _delete_pod(self, pod: JsonObject, wanted_s: int | None) -> JsonObject:
        """As the pod strategy of Kubernetes: at once where nothing runs or with a grace period of 0, else when its processes ended."""
        metadata = pod["metadata"]
        where = (metadata["namespace"], metadata["name"])
        grace_s: int = pod["spec"].get("terminationGracePeriodSeconds", 30) if wanted_s is None else wanted_s
        runner = self._cluster.kubelets.runner(pod)
        if runner is None or grace_s <= 0 or pod["status"]["phase"] in ("Succeeded", "Failed"):
            removed = self._store.remove(PODS, *where, uid=metadata["uid"])
            if runner is not None:
                runner.stop(0)
            return removed or pod

        def mark(found: JsonObject) -> None:
            left: Any = found["metadata"].get("deletionGracePeriodSeconds")
            found["metadata"].setdefault("deletionTimestamp", now())
            found["metadata"]["deletionGracePeriodSeconds"] = grace_s if left is None else min(left, grace_s)

        marked = self._store.update(PODS, *where, mark, uid=metadata["uid"])
        if marked is None:
            raise not_found("pods", "", metadata["name"])
        runner.stop(grace_s)
        return marked


def _grace_s(route: Route, options: JsonObject) -> int | None:
    value = options.get("gracePeriodSeconds")
    if value is None and route.value("gracePeriodSeconds"):
        value = route.value("gracePeriodSeconds")
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise bad_request(f"gracePeriodSeconds is no number: {value!r}") from error
