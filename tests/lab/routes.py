"""What a request's path and method mean (k8s.io/apiserver, endpoints/request: RequestInfo)."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from tests.lab.resources import Kind, find
from tests.lab.status import ApiError, no_such_resource

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A request for objects. `namespace` and `name` are "" where the path names none."""

    kind: Kind
    verb: str
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, tuple[str, ...]]

    def value(self, key: str) -> str:
        """The first value of a query parameter, "" if it is absent."""
        return self.query.get(key, ("",))[0]

    def flag(self, key: str) -> bool:
        """A query parameter that is true or false."""
        return self.value(key) in ("true", "1")


def split(target: str) -> tuple[str, Mapping[str, tuple[str, ...]]]:
    """Path and query of a request target."""
    parts = urlsplit(target)
    return parts.path, {key: tuple(values) for key, values in parse_qs(parts.query, keep_blank_values=True).items()}


def parse(method: str, path: str, query: Mapping[str, tuple[str, ...]]) -> Route:
    """What is asked for. Raises ApiError 404 or 405."""
    words = [unquote(word) for word in path.strip("/").split("/")]
    if words[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", words[2:]
    elif words[0] == "apis" and len(words) > 3:
        group, version, rest = words[1], words[2], words[3:]
    else:
        raise no_such_resource()
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    kind = find(group, version, rest[0]) if rest else None
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        raise no_such_resource()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and (kind.plural, subresource) not in (("pods", "exec"), ("pods", "log")):
        raise no_such_resource()
    verb = _verb(method, name, query)
    if not subresource and verb not in kind.verbs:
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    return Route(kind=kind, verb=verb, namespace=namespace, name=name, subresource=subresource, query=query)


def _verb(method: str, name: str, query: Mapping[str, tuple[str, ...]]) -> str:
    if method == "GET":
        if name:
            return "get"
        return "watch" if query.get("watch", ("",))[0] in ("true", "1") else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS[method]
