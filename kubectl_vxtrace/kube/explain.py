"""What a failed request means to the user, and what to do next."""

from kubectl_vxtrace.errors import CannotRunError, UsageError, VxtraceError
from kubectl_vxtrace.kube.rest import ApiError

RIGHTS_HINT = "docs/rbac.yaml holds the rights that a trace needs; `kubectl auth whoami` says who you are"


_TOO_LONG = frozenset({413, 414, 431})


def explain(error: Exception, doing: str = "") -> VxtraceError:
    """The user's error for any failure of this room; every caller that gives up raises what this returns.

    Args:
        error: an ApiError, an OSError, or a VxtraceError (returned as it is).
        doing: what was tried ("list nodes"), put before the API's own words.
    """
    if isinstance(error, VxtraceError):
        return error
    if isinstance(error.__cause__, VxtraceError):
        return error.__cause__
    if not isinstance(error, ApiError):
        return CannotRunError(f"{doing or 'the cluster could not be asked'}: {type(error).__name__}: {error}")
    prefix = f"cannot {doing}: " if doing else ""
    if error.status == 0:
        return _no_answer(error)
    if error.status == 401:
        return CannotRunError(
            f"{error.server} does not accept the credentials (401 Unauthorized): they have expired or are wrong",
            "log in again, then try `kubectl auth whoami`; --context or --user choose others",
        )
    if error.status == 403:
        return UsageError(f"{prefix}{error.message}", RIGHTS_HINT)
    if 300 <= error.status < 400:
        return CannotRunError(
            f"{prefix}{error.server} answered {error.status}, a redirect, as no Kubernetes API does: {error.message}",
            "something in between wants a login, or has another address: log in again, and check the server's address and the proxy",
        )
    if error.status == 404 and not error.reason:
        return CannotRunError(
            f"{prefix}{error.server} answered 404, and not as a Kubernetes API does: {error.message}",
            "check the server's address and the proxy",
        )
    if error.status == 404:
        return UsageError(f"{prefix}{error.message}", "check the name and the namespace, and that --context is the cluster you mean")
    if error.status == 429 or error.status >= 500:
        return CannotRunError(
            f"{prefix}{error.server} answered {error.status}: {error.message}",
            "the API server is overloaded or ill; try again, or `kubectl get --raw /readyz`",
        )
    return CannotRunError(f"{prefix}{error.server} answered {error.status}: {error.message}")


def explain_exec(error: ApiError) -> VxtraceError:
    """The user's error where no command could be begun in a pod; what the handshake was answered says who refused it.

    The API answers with a v1 Status. What answers otherwise stands between: it may pass requests on and yet no WebSocket.
    """
    what = f"{error.status}: {error.message}"
    if error.status in _TOO_LONG:
        return CannotRunError(
            f"something before the API takes no request line as long as an exec needs, 2 KB ({what})",
            "raise its limit (nginx: large_client_header_buffers, HAProxy: tune.bufsize), or choose a way past it with --context",
        )
    if error.reason and "denied the request" in error.message:  # an admission webhook's, with any status
        return UsageError(
            f"a policy of this cluster refuses exec ({what})",
            "ask its owner for an exception, or choose another namespace with --debug-namespace",
        )
    if error.status == 403 and error.reason:
        return UsageError(f"the API refuses exec ({what})", f"`get` and `create` of pods/exec are needed; {RIGHTS_HINT}")
    if error.status == 404 and error.reason:
        return CannotRunError(f"the API knows no such pod any more ({what})", "somebody or something removed the debug pod: try again")
    if error.status in (0, 401) or (error.may_pass and error.status != 404):
        return explain(error)
    who = "the API" if error.reason else "something before the API"
    return CannotRunError(
        f"{who} refuses the WebSocket that an exec needs ({what})",
        "a login page, load balancer, firewall or proxy in between must let WebSocket upgrades pass to the API (`kubectl exec` needs them "
        "as well): log in again, ask its owner, or choose a way past it with --context",
    )


def _no_answer(error: ApiError) -> VxtraceError:
    if error.message.startswith("TLS"):
        return CannotRunError(
            f"no trusted connection to {error.server}: {error.message}",
            "certificate authority, client certificate or server name in the kubeconfig do not fit this server; compare `kubectl version`",
        )
    if error.message.startswith("the answer is not"):
        return CannotRunError(
            f"{error.server} is no Kubernetes API, or something stands in between: {error.message}",
            "check the server's address and the proxy",
        )
    return CannotRunError(
        f"cannot reach the API at {error.server}: {error.message}",
        "check the address, the VPN or proxy, and --context; `kubectl version` should name the server's version",
    )
