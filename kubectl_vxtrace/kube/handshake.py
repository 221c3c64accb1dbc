"""The handshake of an exec: an open WebSocket, waited for as long as that is of use."""

import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from kubernetes.client.rest import should_bypass_proxies
from websocket import WebSocket, WebSocketAddressException, WebSocketBadStatusException, WebSocketException, WebSocketTimeoutException

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.rest import CONNECT_TIMEOUT_S, LONGEST_RETRY_AFTER_S, ApiError, failing, headers, refused, renewed

SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
PATIENCE_S = 60.0
"""A debug pod waits as long for a call (manifest.py); what it holds is lost after that."""
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 3.0
_TELL_EVERY_S = 5.0


class Patience:
    """Waiting for an API that is away: for calls of which the loss would lose what was captured. Several calls may share one, and then what
    one has waited in vain the others need not wait again.

    Args:
        bound_s: so long the API may be away.
        tell: is told what is waited for, now and then.
    """

    def __init__(self, bound_s: float = PATIENCE_S, tell: Callable[[str], None] = lambda _: None) -> None:
        self.bound_s = bound_s
        self._tell = tell
        self._given_up = threading.Event()
        self._tell_at_s = 0.0
        self._away_since_s: float | None = None

    def give_up(self) -> None:
        """Nobody is to wait any more."""
        self._given_up.set()

    def is_reached(self) -> None:
        """The API has answered a call."""
        self._away_since_s = None

    def pause(self, pause_s: float, began_s: float, error: ApiError) -> bool:
        """Wait so long after an error of a call that began then; False where it is of no use, or too late."""
        if not error.may_pass:
            return False
        now_s = time.monotonic()
        self._away_since_s = min(began_s, self._away_since_s or now_s)
        waited_s = now_s - self._away_since_s
        if waited_s + pause_s >= self.bound_s:
            return False
        if waited_s >= _TELL_EVERY_S and now_s >= self._tell_at_s:
            self._tell_at_s = now_s + _TELL_EVERY_S
            self._tell(f"waiting for the API to answer ({error.message}), {self.bound_s - waited_s:.0f} s more at most")
        return not self._given_up.wait(pause_s)


def opened(connection: Connection, address: str, patience: Patience) -> Any:
    """An open WebSocket (untyped) for an exec; tried for as long as that is of use, further and further apart.

    Args:
        connection: the cluster.
        address: of the exec, with its command.
        patience: so long it is tried.

    Raises ApiError with what the last try was answered.
    """
    began_s, pause_s = time.monotonic(), _FIRST_BACKOFF_S
    while True:
        try:
            socket = _admitted(connection, address, min(CONNECT_TIMEOUT_S, patience.bound_s))
        except ApiError as error:
            asked_s = min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
            if not patience.pause(max(pause_s, asked_s), began_s, error):
                raise
            pause_s = min(2 * pause_s, _LONGEST_BACKOFF_S)
        else:
            patience.is_reached()
            return socket


def _admitted(connection: Connection, address: str, timeout_s: float) -> Any:
    """An open WebSocket; once more with new credentials where the server refuses these."""
    generation = connection.credentials.generation
    try:
        return _recorded(connection, address, timeout_s)
    except ApiError as error:
        if error.status != 401 or not renewed(connection, generation):
            raise
    return _recorded(connection, address, timeout_s)


def _recorded(connection: Connection, address: str, timeout_s: float) -> Any:
    """An open WebSocket; the audit is told. What the command is, it is told by exec.execute."""
    event = connection.audit.request("GET", urlsplit(address).path)
    with failing(event):
        socket = _connected(connection, address, timeout_s)
    event.end(status=socket.getstatus())
    return socket


def _connected(connection: Connection, address: str, timeout_s: float) -> Any:
    server = connection.server
    try:
        socket: Any = WebSocket(sslopt=_tls_options(connection), skip_utf8_validation=True)
        socket.connect(
            address,
            header=[f"{name}: {value}" for name, value in headers(connection)],
            subprotocols=list(SUBPROTOCOLS),
            suppress_origin=True,
            redirect_limit=0,  # a redirect would carry the credentials elsewhere
            timeout=timeout_s,
            **_proxy_options(connection),
        )
    except WebSocketBadStatusException as error:
        given = error.resp_headers or {}
        body = error.resp_body or b""
        body = body if isinstance(body, bytes) else str(body).encode()
        raise refused(server, error.status_code, body, given.get("retry-after"), http_reason=error.status_message or "") from error
    except (WebSocketTimeoutException, TimeoutError) as error:
        raise ApiError(server, 0, "no connection in time") from error
    except ssl.SSLError as error:
        raise ApiError(server, 0, f"TLS: {error}") from error
    except WebSocketAddressException as error:
        raise ApiError(server, 0, "its name cannot be resolved") from error
    except (WebSocketException, OSError) as error:
        raise _redirect(server, socket) or ApiError(server, 0, getattr(error, "strerror", None) or str(error)) from error
    if (redirected := _redirect(server, socket)) is not None:
        socket.shutdown()
        raise redirected
    return socket


def _redirect(server: str, socket: Any) -> ApiError | None:
    """The error of a handshake that was answered with a redirect; the library names it by words alone, or not at all."""
    answer = socket.handshake_response
    if answer is None or answer.status not in range(300, 400):
        return None
    return ApiError(server, answer.status, f"a redirect to {(answer.headers or {}).get('location', 'nowhere')}")


def _tls_options(connection: Connection) -> dict[str, Any]:
    settings = connection.configuration
    if not settings.host.startswith("https"):
        return {}
    verify: dict[str, Any] = {} if settings.verify_ssl else {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    if settings.assert_hostname is False:
        verify["check_hostname"] = False
    return {"context": connection.tls(), "server_hostname": settings.tls_server_name, **verify}


def _proxy_options(connection: Connection) -> dict[str, Any]:
    """The configuration's proxy; without one the environment must not choose another, hence the no-proxy for everything."""
    settings = connection.configuration
    if not settings.proxy or should_bypass_proxies(settings.host, settings.no_proxy or ""):
        return {"http_no_proxy": ["*"]}
    proxy = urlsplit(settings.proxy if "://" in settings.proxy else f"http://{settings.proxy}")
    if proxy.scheme not in ("http", "socks4", "socks4a", "socks5", "socks5h") or not proxy.hostname:
        raise ApiError(connection.server, 0, f"exec through a proxy of type {proxy.scheme} is not supported; give an http proxy")
    port = proxy.port or (80 if proxy.scheme == "http" else 1080)
    auth = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None
    # A no-proxy of one impossible name keeps NO_PROXY of the environment from being applied a second time by other rules.
    return {
        "proxy_type": proxy.scheme,
        "http_proxy_host": proxy.hostname,
        "http_proxy_port": port,
        "http_proxy_auth": auth,
        "http_no_proxy": ["invalid."],
    }
