"""Whether a namespace exists. Lists of one that does not are empty and no error: a misspelt name would look like a quiet namespace."""

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.explain import explain
from kubectl_vxtrace.kube.rest import Api, ApiError, path


def is_absent(api: Api, name: str) -> bool:
    """Whether the API says that there is no such namespace; False where it does not let this user ask. Raises ApiError."""
    try:
        api.get(path("api", "v1", "namespaces", name))
    except ApiError as error:
        if error.status == 403 or error.says_missing(name):
            return error.status == 404
        raise
    return False


def not_found(name: str) -> UsageError:
    """The user's error, in kubectl's words."""
    return UsageError(f'namespaces "{name}" not found', "kubectl get namespaces; --context may be another cluster's")


def require(connection: Connection, name: str) -> None:
    """Make sure that a namespace exists, as far as this user may ask.

    Raises:
        UsageError: it does not.
        CannotRunError: the API cannot be asked.
    """
    try:
        with Api(connection) as api:
            absent = is_absent(api, name)
    except ApiError as error:
        raise explain(error, f"read namespace {name}") from error
    if absent:
        raise not_found(name)
