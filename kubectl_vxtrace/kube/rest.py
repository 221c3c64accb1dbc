"""Requests to the API, as JSON bytes: no generated models (their first use costs half a second), own retries, own errors."""

import email.utils
import http.client
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import urllib3
from kubernetes.client.exceptions import ApiException

from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.kube.audit import Event
from kubectl_vxtrace.kube.connection import Connection

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
PAGE = 500  # client-go's default page size for lists
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_BACKOFF_S = (0.1, 0.4, 1.2)
LONGEST_RETRY_AFTER_S = 5.0
_NO_SUCH_PATH = "404 page not found"  # the API's own word where it serves nothing (Go's net/http, NotFound)
_TAG = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_BUILDING = threading.Lock()


@contextmanager
def failing(event: Event) -> Iterator[None]:
    """Let an event of the audit end with whatever the block raises."""
    try:
        yield
    except ApiError as error:
        event.end(status=error.status or None, error=error.message)
        raise
    except BaseException as error:
        event.end(error=type(error).__name__)
        raise


class ApiError(Exception):
    """The API refused a request, or could not be asked.

    `status` is the HTTP status, 0 where there was no answer (`__cause__` says why). `reason` is the API's own word (`Forbidden`,
    `AlreadyExists`; `Unknown` where it gave none), `about` the name of the object that it is about, both empty where it was no API that
    answered (a gateway's page); `message` is its text. `server` is the address that was asked. `sent` is False where the request cannot
    have reached the server.
    """

    def __init__(
        self,
        server: str,
        status: int,
        message: str,
        *,
        reason: str = "",
        about: str = "",
        retry_after_s: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.server = server
        self.status = status
        self.message = message
        self.reason = reason
        self.about = about
        self.retry_after_s = retry_after_s
        self.sent = sent

    def says_missing(self, name: str) -> bool:
        """Whether the API itself says that there is no object of that name. A 404 of anything on the way (a load balancer, a proxy) says
        nothing of objects."""
        return self.status == 404 and self.reason == "NotFound" and self.about == name

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later: overload, no connection, gateways that have lost the API (some say 404 then).

        What the API itself refuses, redirects, and TLS do not pass.
        """
        if self.status == 0:
            return not self.message.startswith("TLS")
        if self.status == 404:
            return not self.reason and self.message != _NO_SUCH_PATH
        return self.status in _RETRIED and self.reason != "AlreadyExists"


def decode(body: bytes | bytearray | msgspec.Raw, type_: type[T]) -> T:
    """The record that `body` says.

    One thread at a time makes a decoder: msgspec 0.22 publishes what it knows of a Struct before all of its fields' types are set
    (StructInfo_Convert in _core.c), and a second thread that meets such a one at its first use ends the process with SIGSEGV.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is not JSON of that shape.
    """
    decoder = _DECODERS.get(type_)
    if decoder is None:
        with _BUILDING:
            decoder = _DECODERS.setdefault(type_, msgspec.json.Decoder(type_))
    record: T = decoder.decode(body)
    return record


class _Details(msgspec.Struct):
    name: str | None = None


class _Status(msgspec.Struct):
    """metav1.Status."""

    kind: str | None = None
    message: str | None = None
    reason: str | None = None
    details: _Details | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    continue_: str | None = msgspec.field(name="continue", default=None)


class _Page(msgspec.Struct):
    kind: str = ""
    items: list[msgspec.Raw] | None = None
    metadata: _Metadata | None = None


def headers(connection: Connection) -> tuple[tuple[str, str], ...]:
    """The headers of a request. Raises ApiError where credentials cannot be had now: whatever gives them may be away with the API."""
    try:
        return connection.headers()
    except VxtraceError as error:
        raise ApiError(connection.server, 0, error.message, sent=False) from error


def renewed(connection: Connection, generation: int) -> bool:
    """Whether there are other credentials than those, which the server refused. Raises ApiError where they cannot be had now."""
    try:
        return connection.credentials.renew(generation)
    except VxtraceError as error:
        raise ApiError(connection.server, 0, error.message, sent=False) from error


def path(*segments: str) -> str:
    """A path of the API from its segments; each is quoted, so that a name can never reach another resource."""
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def namespaced(namespace: str | None, plural: str, *more: str, group: str = "") -> str:
    """The path of `plural` in a namespace, or in all with None. `group` is `apps/v1`; empty for the core group."""
    root = ("apis", *group.split("/")) if group else ("api", "v1")
    return path(*root, *(("namespaces", namespace) if namespace is not None else ()), plural, *more)


class Api:
    """A client for one thread; close it, or use it as a context manager.

    Args:
        connection: the cluster.
        connect_timeout_s, read_timeout_s: bounds of one attempt; the user's --request-timeout shortens or lengthens the read.
    """

    def __init__(
        self, connection: Connection, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, read_timeout_s: float | None = None
    ) -> None:
        self._connection = connection
        self._client: Any = connection.api_client()  # its methods carry no types
        asked = connection.request_timeout_s
        self._read_timeout_s = read_timeout_s or asked or READ_TIMEOUT_S
        self._connect_timeout_s = min(connect_timeout_s, asked) if asked else connect_timeout_s
        self.server_now_s = time.time()

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, resource: str, query: Sequence[tuple[str, str]] = ()) -> bytes:
        """GET, retried on 429, 5xx and a connection that broke. Raises ApiError."""
        return self._retried("GET", resource, query, None)

    def post(self, resource: str, body: Mapping[str, Any], query: Sequence[tuple[str, str]] = ()) -> bytes:
        """POST of something that leaves nothing behind (a review, a dry run), retried as a GET is. Raises ApiError."""
        return self._retried("POST", resource, query, body)

    def _retried(self, method: str, resource: str, query: Sequence[tuple[str, str]], body: Mapping[str, Any] | None) -> bytes:
        attempt = 0
        while True:
            try:
                return self.send(method, resource, query, body)
            except ApiError as error:
                if attempt >= len(_BACKOFF_S) or not _worth_retrying(error):
                    raise
                asked_s = error.retry_after_s
                time.sleep(_BACKOFF_S[attempt] if asked_s is None else min(asked_s, LONGEST_RETRY_AFTER_S))
                attempt += 1

    def items(self, resource: str, type_: type[T], query: Sequence[tuple[str, str]] = ()) -> Iterator[T]:
        """The items of a list, page by page. Raises ApiError, also where the answer has not the expected shape.

        A `continue` token that expired between two pages (410 Gone) makes the list start again, as the API asks for.
        """
        for restart in (True, False):
            found: list[T] = []
            token: str | None = ""
            try:
                while token is not None:
                    parameters = [*query, ("limit", str(PAGE)), *([("continue", token)] if token else [])]
                    page = self.decode(self.get(resource, parameters), _Page)
                    if not page.kind.endswith("List"):
                        raise ApiError(self._connection.server, 0, f"the answer is not a list: kind {page.kind!r}")
                    found += [self.decode(item, type_) for item in page.items or ()]
                    token = (page.metadata.continue_ if page.metadata else None) or None
            except ApiError as error:
                if error.status == 410 and restart:
                    continue
                raise
            yield from found
            return

    def decode(self, body: bytes | msgspec.Raw, type_: type[T]) -> T:
        """An answer as a record; ApiError where it is not what the API would say (a login page, a proxy's error)."""
        try:
            return decode(body, type_)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiError(self._connection.server, 0, f"the answer is not what a Kubernetes API says: {error}") from error

    def send(self, method: str, resource: str, query: Sequence[tuple[str, str]] = (), body: Mapping[str, Any] | None = None) -> bytes:
        """One request, not retried, but once more with new credentials where the server refuses these. Returns the body of a 2xx answer;
        raises ApiError for every other outcome."""
        generation = self._connection.credentials.generation
        try:
            return self._send(method, resource, query, body)
        except ApiError as error:
            if error.status != 401 or not renewed(self._connection, generation):
                raise
        self._client.close()
        self._client = self._connection.api_client()  # with the new certificate, if it is one
        return self._send(method, resource, query, body)

    def _send(self, method: str, resource: str, query: Sequence[tuple[str, str]], body: Mapping[str, Any] | None) -> bytes:
        event = self._connection.audit.request(method, resource, query)
        with failing(event):
            status, data = self._exchange(method, resource, query, body)
        event.end(status=status, bytes=len(data), said=data)
        return data

    def _exchange(self, method: str, resource: str, query: Sequence[tuple[str, str]], body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        """The status and the body of a 2xx answer. Raises ApiError for every other outcome."""
        server = self._connection.server
        # As kubectl sends them: in UTF-8. What is sent is the Latin-1 of what is given here (http.client).
        sent = urllib3.HTTPHeaderDict((name, value.encode().decode("latin-1")) for name, value in headers(self._connection))
        sent["Accept"] = "application/json"
        if body is not None:
            sent["Content-Type"] = "application/json"
        url = self._connection.configuration.host + resource + ("?" + urlencode(query) if query else "")
        try:
            answer = self._client.rest_client.request(
                method, url, headers=sent, body=body, _request_timeout=(self._connect_timeout_s, self._read_timeout_s)
            )
            data: bytes = answer.read()
        except ApiException as error:
            raise ApiError(server, 0, _tls_text(error), sent=False) from error
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            unsent = isinstance(error, urllib3.exceptions.ConnectTimeoutError)  # a refused connection is one, too
            raise ApiError(server, 0, _network_text(error), sent=not unsent) from error
        self._note_time(answer.headers.get("Date"))
        if 200 <= answer.status < 300:
            return int(answer.status), data
        raise refused(server, answer.status, data, answer.headers.get("Retry-After"), http_reason=answer.reason or "")

    def _note_time(self, date: str | None) -> None:
        """Keep the server's clock, so that ages of its objects are not measured with ours."""
        if date:
            parsed = email.utils.parsedate_tz(date)
            self.server_now_s = float(email.utils.mktime_tz(parsed)) if parsed else time.time()


def refused(server: str, status: int, body: bytes, retry_after: str | None = None, *, http_reason: str = "") -> ApiError:
    """The error for an answer that is not 2xx: the message of the API's Status object, else the body's beginning."""
    try:
        said = decode(body, _Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Status(message=_page_text(body) or http_reason or None)
    try:
        wait_s = float(retry_after) if retry_after else None
    except ValueError:
        wait_s = None
    if wait_s is not None and not (math.isfinite(wait_s) and wait_s >= 0):
        wait_s = None
    is_api = said.kind == "Status"
    return ApiError(
        server,
        status,
        said.message or f"HTTP status {status}",
        reason=(said.reason or "Unknown") if is_api else "",
        about=(said.details.name or "") if is_api and said.details is not None else "",
        retry_after_s=wait_s,
    )


def _page_text(body: bytes) -> str:
    """The beginning of a page, without its markup."""
    return " ".join(_TAG.sub(" ", body[:4096].decode("utf-8", "replace")).split())[:300]


def _worth_retrying(error: ApiError) -> bool:
    """Overload and gateway errors, and connections that broke; never a refused one, a time-out or TLS, which would only cost time."""
    if error.status:
        return error.may_pass
    return isinstance(error.__cause__, urllib3.exceptions.ProtocolError | http.client.HTTPException | ConnectionResetError)


def _tls_text(error: ApiException) -> str:
    """The client turns urllib3's SSLError into an ApiException with status 0 whose reason is two lines."""
    return "TLS: " + str(error.reason or error).split("\n", 1)[-1]


def _network_text(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name cannot be resolved"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.ProxyError):
        return f"the proxy: {error.original_error}"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        inner = error.__cause__ or error.__context__
        return inner.strerror or str(inner) if isinstance(inner, OSError) else str(error).split(": ", 1)[-1]
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):  # the parent of NewConnectionError
        return "no connection in time"
    return f"{type(error).__name__}: {error}"
