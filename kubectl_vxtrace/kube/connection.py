"""One cluster as this run reaches it: address, credentials, TLS."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kubernetes.client import ApiClient, Configuration

from kubectl_vxtrace import __version__
from kubectl_vxtrace.kube.audit import Audit

USER_AGENT = f"kubectl-vxtrace/{__version__}"


class Credentials:
    """The `Authorization` header's value, renewed when it has expired; safe to share between threads.

    Args:
        read: gives the value, or None where the connection authenticates by certificate; called under a lock, so that a
            credential plugin runs once, not once for each thread.
        renew: gets new ones where the server does not take these any more; None where nothing can (a token in the kubeconfig).

    `generation` counts the renewals.
    """

    def __init__(self, read: Callable[[], str | None], renew: Callable[[], None] | None = None) -> None:
        self._read = read
        self._renew = renew
        self._lock = threading.Lock()
        self.generation = 0

    def authorization(self) -> str | None:
        """The header's value, or None. Raises CannotRunError where a credential plugin fails on renewal."""
        with self._lock:
            return self._read()

    def renew(self, generation: int) -> bool:
        """Whether there are other credentials than those of `generation`, which the server refused: another thread's, or new ones.

        Raises CannotRunError where they cannot be had.
        """
        with self._lock:
            if self._renew is None:
                return False
            if self.generation == generation:
                self._renew()
                self.generation += 1
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach one cluster; built once, so that a context switched meanwhile changes nothing.

    `namespace` is the one that kubectl would use where none is given (`-n`, else the context's), `context_namespace` the
    context's alone. `impersonation` holds `Impersonate-*` headers as (name, value), groups repeated. `request_timeout_s`
    is None where the user gave none. `audit` is told of every request.
    """

    configuration: Configuration
    server: str
    namespace: str = "default"
    context_namespace: str = "default"
    context: str | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    request_timeout_s: float | None = None
    credentials: Credentials = field(default_factory=lambda: Credentials(lambda: None))
    audit: Audit = field(default_factory=Audit)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers of every request, REST and WebSocket alike: user agent, authorization, impersonation."""
        authorization = self.credentials.authorization()
        own = (("User-Agent", USER_AGENT),) + ((("Authorization", authorization),) if authorization else ())
        return own + self.impersonation

    def api_client(self) -> ApiClient:
        """A new client; one for each thread (its connection pool is not to be shared with an exec or another thread)."""
        return ApiClient(self.configuration)

    def tls(self) -> ssl.SSLContext:
        """TLS as the configuration says: its CA, client certificate, and whether the server is verified.

        Raises OSError or ssl.SSLError where a file cannot be read.
        """
        settings = self.configuration
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not settings.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif settings.ssl_ca_cert:
            context.load_verify_locations(cafile=settings.ssl_ca_cert)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        return context
