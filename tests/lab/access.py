"""Who a request is from and what they may do: bearer tokens, client certificates, impersonation, access reviews."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from tests.lab.control import Control, User
from tests.lab.resources import Kind
from tests.lab.status import ApiError, JsonObject, bad_request, forbidden, qualified, unauthorized

ADMIN = "kubernetes-admin"
ALL_RIGHTS_GROUP = "system:masters"
_ANONYMOUS = "system:anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user as the server sees them; `user` holds the rules of one from users.json."""

    name: str
    groups: tuple[str, ...] = ()
    user: User | None = None

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Whether they may; `resource` is `pods` or `pods/exec`, `namespace` "" for all or none."""
        return ALL_RIGHTS_GROUP in self.groups or (self.user is not None and self.user.may(verb, resource, namespace))


class Access:
    """Authentication and authorization. `token` is the one that may do everything."""

    def __init__(self, control: Control, token: str) -> None:
        self._control = control
        self._token = token

    def identify(self, headers: Message, groups: list[str], certificate: Mapping[str, Any] | None) -> Identity:
        """Who sent the request; `groups` are its Impersonate-Group headers. Raises ApiError 401 or 403."""
        real = self._authenticate(headers.get("Authorization") or "", certificate)
        name = headers.get("Impersonate-User")
        if not name:
            if groups:
                raise bad_request("requested impersonation without a user")
            return real
        for verb_on, value in (("users", name), *(("groups", group) for group in groups)):
            if not real.may("impersonate", verb_on, ""):
                raise forbidden(verb_on, "", value, denial(real, "impersonate", verb_on, "", ""))
        user = next((user for user in self._control.users() if user.name == name), None)
        given = tuple(groups) if groups else tuple(user.groups if user else ())
        return Identity(name=name, groups=(*given, "system:authenticated"), user=user)

    def _authenticate(self, authorization: str, certificate: Mapping[str, Any] | None) -> Identity:
        if authorization:
            scheme, _, token = authorization.partition(" ")
            return self._by_token(token.strip() if scheme.lower() == "bearer" else "")
        if certificate:
            subject = [pair for entry in certificate.get("subject", ()) for pair in entry]
            name = next((value for key, value in subject if key == "commonName"), "")
            groups = tuple(value for key, value in subject if key == "organizationName")
            return Identity(name=name, groups=(*groups, "system:authenticated"))
        return Identity(name=_ANONYMOUS, groups=("system:unauthenticated",))

    def _by_token(self, token: str) -> Identity:
        if hmac.compare_digest(token.encode(), self._token.encode()):
            return Identity(name=ADMIN, groups=(ALL_RIGHTS_GROUP, "system:authenticated"))
        user = next((user for user in self._control.users() if user.token == token), None)
        if user is None or user.expired:
            raise unauthorized()
        return Identity(name=user.name, groups=(*user.groups, "system:authenticated"), user=user)


def denial(who: Identity, verb: str, resource: str, group: str, namespace: str) -> str:
    """Why not, in the words of the API server's RBAC authorizer."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return f'User "{who.name}" cannot {verb} resource "{resource}" in API group "{group}" {where}'


def require(who: Identity, verb: str, kind: Kind, subresource: str, namespace: str, name: str | None) -> None:
    """Raise ApiError 403 unless `who` may do `verb`. Everybody with credentials may ask for their own rights."""
    resource = kind.plural + (f"/{subresource}" if subresource else "")
    reviews = kind.plural in ("selfsubjectaccessreviews", "selfsubjectreviews") and "system:authenticated" in who.groups
    if not reviews and not who.may(verb, resource, namespace):
        raise forbidden(kind.plural, kind.group, name, denial(who, verb, resource, kind.group, namespace))


def require_discovery(who: Identity, path: str) -> None:
    """Raise ApiError 403 unless `who` may read `path`; without credentials only version and health may be read."""
    public = ("/version", "/healthz", "/livez", "/readyz")
    if "system:authenticated" not in who.groups and path not in public:
        message = f'forbidden: User "{who.name}" cannot get path "{path}"'
        raise ApiError(403, "Forbidden", message)


def review_access(who: Identity, review: JsonObject) -> JsonObject:
    """The answer to a SelfSubjectAccessReview. Raises ApiError 400."""
    wanted = (review.get("spec") or {}).get("resourceAttributes")
    if not isinstance(wanted, dict):
        raise bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified, the lab knows the latter")
    resource = wanted.get("resource", "") + (f"/{wanted['subresource']}" if wanted.get("subresource") else "")
    namespace = wanted.get("namespace", "")
    allowed = who.may(wanted.get("verb", ""), resource, namespace)
    status: JsonObject = {"allowed": allowed}
    if not allowed:
        status["reason"] = f"no rule allows {who.name} to {wanted.get('verb')} {qualified(resource, wanted.get('group', ''))}"
    return review | {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": status}


def review_self(who: Identity) -> JsonObject:
    """The answer to a SelfSubjectReview."""
    info = {"username": who.name, "groups": list(who.groups)}
    return {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "status": {"userInfo": info}}
