"""Errors as the Kubernetes API words them: `ApiError` carries a Status object (k8s.io/apimachinery, api/errors)."""

from collections.abc import Sequence
from typing import Any

JsonObject = dict[str, Any]


class ApiError(Exception):
    """A request that is answered with a Status object of HTTP status `code`."""

    def __init__(self, code: int, reason: str, message: str, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        if details:
            self.status["details"] = details


def qualified(plural: str, group: str) -> str:
    """`pods`, `deployments.apps`: how messages name a resource."""
    return f"{plural}.{group}" if group else plural


def _named(plural: str, group: str, name: str) -> JsonObject:
    return {"name": name, "kind": plural} | ({"group": group} if group else {})


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404 of one object."""
    return ApiError(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', _named(plural, group, name))


def no_such_resource() -> ApiError:
    """404 of a path or a kind that the server does not have."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409 of a create."""
    return ApiError(409, "AlreadyExists", f'{qualified(plural, group)} "{name}" already exists', _named(plural, group, name))


def conflict(plural: str, group: str, name: str, why: str) -> ApiError:
    """409 of a delete whose precondition does not hold."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _named(plural, group, name))


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: credentials that nobody knows, or that have expired."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(plural: str, group: str, name: str | None, why: str) -> ApiError:
    """403; `why` follows `pods "x" is forbidden: `."""
    subject = qualified(plural, group) + (f' "{name}"' if name else "")
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", _named(plural, group, name) if name else {"kind": plural})


def gone(message: str) -> ApiError:
    """410: a resourceVersion that is older than what the server remembers."""
    return ApiError(410, "Expired", message)


def internal(message: str) -> ApiError:
    """500."""
    causes = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", causes)


def invalid(kind: str, name: str, problems: Sequence[tuple[str, str, str]]) -> ApiError:
    """422; each problem is (reason, message, field): ("FieldValueRequired", "Required value", "spec.containers")."""
    causes = [{"reason": reason, "message": message, "field": field} for reason, message, field in problems]
    texts = [f"{field}: {message}" for _, message, field in problems]
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', {"name": name, "kind": kind, "causes": causes})
