"""From kubectl's flags to a connection."""

import binascii
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import urllib3
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config_from_dict

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.kube import authorities
from kubectl_vxtrace.kube.audit import Audit, Teller
from kubectl_vxtrace.kube.connection import Connection, Credentials
from kubectl_vxtrace.kube.credentials import PluginCredential, run_plugin
from kubectl_vxtrace.kube.explain import explain
from kubectl_vxtrace.kube.impersonation import impersonation
from kubectl_vxtrace.kube.keyfiles import with_files
from kubectl_vxtrace.kube.kubeconfig import Selected, select
from kubectl_vxtrace.kube.overrides import cluster_of
from kubectl_vxtrace.kube.rest import Api, ApiError
from kubectl_vxtrace.model.request import Access

# The client's loaders carry no types.
_load_in_cluster: Any = load_incluster_config
_load_dict: Any = load_kube_config_from_dict

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_RENEW_BEFORE_S = 30.0
_TOKEN_FILE_S = 60.0


class _Version(msgspec.Struct, rename="camel"):
    git_version: str


def connect(access: Access, *, environ: Mapping[str, str] | None = None, tell: Teller | None = None) -> Connection:
    """The cluster that kubectl would use with these flags; nothing is sent to it yet.

    Args:
        access: kubectl's flags.
        environ: in place of os.environ (KUBECONFIG, KUBERNETES_SERVICE_HOST).
        tell: is told of every request and command.

    Raises:
        UsageError: a context, cluster or user that the kubeconfig does not hold, or --as-group without --as.
        CannotRunError: no kubeconfig and not in a pod; an unreadable file; a credential plugin that failed.
    """
    environ = os.environ if environ is None else environ
    selected = select(access, environ)
    headers = impersonation(access, selected.user if selected else {})
    configuration = Configuration()
    if selected is None:
        context_namespace = _in_cluster(configuration, environ, access)
        credentials = Credentials(_sendable(lambda: configuration.get_api_key_with_prefix("BearerToken", alias="authorization")))
    else:
        context_namespace = selected.namespace or "default"
        credentials = _load(configuration, selected)
    configuration.host = configuration.host.rstrip("/")
    configuration.ssl_ca_cert = configuration.ssl_ca_cert or authorities.packed_program_s(environ)
    _authenticate_to_proxy(configuration)
    # Our own retries (rest.py) know which requests may be repeated; urllib3's would repeat a refused connection three times.
    configuration.retries = False
    if not configuration.verify_ssl:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    connection = Connection(
        configuration=configuration,
        server=configuration.host,
        namespace=access.namespace or context_namespace,
        context_namespace=context_namespace,
        context=selected.context if selected else None,
        impersonation=headers,
        request_timeout_s=access.request_timeout_s or None,
        credentials=credentials,
        audit=Audit(tell),
    )
    if configuration.host.startswith("https"):
        try:
            connection.tls()
        except OSError as error:  # ssl.SSLError is one
            raise CannotRunError(
                f"the kubeconfig's certificates for {connection.server} cannot be used: {error}",
                "log in again, or check them with `kubectl config view`",
            ) from error
    return connection


def server_version(connection: Connection) -> str:
    """The API server's version (`v1.34.4`). Raises VxtraceError where it does not answer."""
    try:
        with Api(connection) as api:
            return api.decode(api.get("/version"), _Version).git_version
    except ApiError as error:
        raise explain(error, "ask for the server's version") from error


def _in_cluster(configuration: Configuration, environ: Mapping[str, str], access: Access) -> str:
    """The pod's own service account, or what the flags say in its place; returns its namespace."""
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        raise CannotRunError("there is no kubeconfig", "give one with --kubeconfig or KUBECONFIG; kubectl's own place is ~/.kube/config")
    try:
        _load_in_cluster(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise CannotRunError(
            f"there is no kubeconfig, and the pod's service account cannot be used: {error}", "give a kubeconfig with --kubeconfig"
        ) from error
    if access.token:
        configuration.api_key["BearerToken"] = f"Bearer {access.token}"
        configuration.refresh_api_key_hook = None  # it would read the service account's token again
    if access.certificate_authority or access.insecure_skip_tls_verify:
        trust = cluster_of(access, {})
        configuration.ssl_ca_cert = trust.get("certificate-authority")
        configuration.verify_ssl = not trust.get("insecure-skip-tls-verify", False)
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def _load(configuration: Configuration, selected: Selected) -> Credentials:
    """Fill the configuration; returns the credentials."""
    user = dict(selected.user)
    plugin = user.pop("exec", None)
    if user.get("tokenFile"):
        file = _TokenFile(str(user.pop("tokenFile")))
        _apply(configuration, selected, {**user, "token": file.token})
        return Credentials(_sendable(file.authorization), file.read)
    # As in client-go, a token that stands in the kubeconfig beats the plugin.
    if not plugin or user.get("token"):
        _apply(configuration, selected, user)
        if user.get("auth-provider") and not configuration.api_key:
            provider = user["auth-provider"]
            name = provider.get("name") if isinstance(provider, Mapping) else provider
            raise CannotRunError(
                f'the auth-provider "{name}" of user "{selected.user_name}" gave no token',
                "auth-providers were removed from kubectl in 1.26; use the exec plugin of your cloud, or log in again",
            )
        return Credentials(_sendable(lambda: configuration.get_api_key_with_prefix("BearerToken", alias="authorization")))
    current = _Plugin(
        run=lambda: run_plugin(plugin, selected.cluster, selected.user_name or ""),
        apply=lambda credential: _apply(configuration, selected, {**user, **credential.as_user()}),
    )
    return Credentials(_sendable(current.authorization), current.renew)


def _sendable(read: Callable[[], str | None]) -> Callable[[], str | None]:
    """`read`, which raises CannotRunError for what no header may hold. Where it is sent it would be quoted in an error, token and all."""

    def checked() -> str | None:
        value = read()
        if value is not None and not (value.isascii() and value.isprintable()):
            raise CannotRunError("the credentials' token holds characters that a token cannot have", "log in again, or write it anew")
        return value

    return checked


class _Plugin:
    """What a credential plugin gave, a token or a certificate; asked for again when it expires."""

    def __init__(self, run: Callable[[], PluginCredential], apply: Callable[[PluginCredential], None]) -> None:
        self._run, self._apply = run, apply
        self.renew()

    def renew(self) -> None:
        """Run the plugin."""
        self._credential = self._run()
        self._apply(self._credential)

    def authorization(self) -> str | None:
        """The header's value, None for a certificate."""
        expires_s = self._credential.expires_s
        if expires_s is not None and expires_s - _RENEW_BEFORE_S <= time.time():
            self.renew()
        return f"Bearer {self._credential.token}" if self._credential.token is not None else None


class _TokenFile:
    """A file whose token somebody renews (client-go, transport/token_source.go: read again every minute)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.read()

    def read(self) -> None:
        """Read it now."""
        self.token, self._read_s = _token_file(self._name), time.monotonic()

    def authorization(self) -> str:
        """The header's value."""
        if time.monotonic() - self._read_s > _TOKEN_FILE_S:
            self.read()
        return f"Bearer {self.token}"


def _apply(configuration: Configuration, selected: Selected, user: Mapping[str, Any]) -> None:
    """Hand one cluster and one user to the client's own loader: it knows files, inline data, auth-providers, proxies."""
    try:
        document = {
            "current-context": "context",
            "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
            "clusters": [{"name": "cluster", "cluster": with_files(selected.cluster)}],
            "users": [{"name": "user", "user": with_files(user)}],
        }
        _load_dict(document, client_configuration=configuration, persist_config=False)
    except (ConfigException, OSError, binascii.Error, ValueError, TypeError, KeyError) as error:
        raise CannotRunError(
            f'the kubeconfig cannot be used (cluster "{selected.cluster_name}", user "{selected.user_name}"): {error}',
            f"check {', '.join(selected.files)} with `kubectl config view`",
        ) from error


def _authenticate_to_proxy(configuration: Configuration) -> None:
    """Send the user and password of the proxy's address to it; the client leaves them out."""
    proxy = urlsplit(configuration.proxy or "")
    if proxy.scheme in ("http", "https") and proxy.username and not configuration.proxy_headers:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        configuration.proxy_headers = urllib3.make_headers(proxy_basic_auth=pair)


def _token_file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise CannotRunError(
            f"the token file {name} of the kubeconfig cannot be read: {error}", "log in again, or check its path"
        ) from error


__all__ = ["Connection", "connect", "explain", "server_version"]
