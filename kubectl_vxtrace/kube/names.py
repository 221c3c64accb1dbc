"""Names of what there is, for completion: asked once, with the standard library alone, as the Kubernetes client takes longer to be
imported than completion may take."""

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubectl_vxtrace.kube.credentials import run_plugin
from kubectl_vxtrace.kube.impersonation import impersonation
from kubectl_vxtrace.kube.keyfiles import with_files
from kubectl_vxtrace.kube.kubeconfig import Selected, select
from kubectl_vxtrace.model.request import Access

# Names alone, where the server can give them alone: https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches
_ACCEPT = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_MOST = 500
_PATHS = {
    "pod": "/api/v1{namespace}/pods",
    "service": "/api/v1{namespace}/services",
    "deployment": "/apis/apps/v1{namespace}/deployments",
    "statefulset": "/apis/apps/v1{namespace}/statefulsets",
    "daemonset": "/apis/apps/v1{namespace}/daemonsets",
    "node": "/api/v1/nodes",
    "namespace": "/api/v1/namespaces",
}


class Names:
    """The names that one cluster knows.

    Args:
        access: kubectl's flags.
        timeout_s: for each of connecting and reading.

    Raises whatever keeps it from asking: VxtraceError, OSError, http.client.HTTPException, ValueError.
    """

    def __init__(self, access: Access, timeout_s: float) -> None:
        selected = select(access, os.environ)
        if selected is None:
            raise ValueError("there is no kubeconfig")
        self._selected = selected
        self._timeout_s = timeout_s
        self._user, self._headers = _authenticated(access, selected)
        self.namespace = access.namespace or selected.namespace or "default"

    def of(self, kind: str, namespace: str | None = None) -> list[str]:
        """Names of at most 500 objects of a kind (`pod`, `namespace`, ...), in a namespace or of a kind without namespaces. Raises as
        above."""
        place = f"/namespaces/{namespace}" if namespace is not None else ""
        url = urlsplit(self._selected.cluster["server"])
        with closing(self._connection()) as connection:
            path = url.path.rstrip("/") + _PATHS[kind].format(namespace=place)
            connection.putrequest("GET", f"{path}?limit={_MOST}")
            for name, value in self._headers:
                connection.putheader(name, value.encode())
            connection.endheaders()
            answer = connection.getresponse()
            document = json.loads(answer.read())
        if answer.status != http.client.OK:
            raise ValueError(f"HTTP status {answer.status}")
        return sorted(str(item["metadata"]["name"]) for item in document.get("items") or ())

    def _connection(self) -> http.client.HTTPConnection:
        cluster = self._selected.cluster
        url = urlsplit(cluster["server"])
        proxy = urlsplit(str(cluster.get("proxy-url") or ""))
        host, port = url.hostname or "", url.port
        where = (proxy.hostname or "", proxy.port) if proxy.scheme == "http" else (host, port)
        if url.scheme == "https":
            connection: http.client.HTTPConnection = _Tls(*where, timeout=self._timeout_s, context=_tls(cluster, self._user))
            connection.server_hostname = str(cluster.get("tls-server-name") or host)  # type: ignore[attr-defined]
            if where[0] != host:
                connection.set_tunnel(host, port or 443)
            return connection
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)


class _Tls(http.client.HTTPSConnection):
    """TLS with a name that need not be the host's."""

    server_hostname = ""

    def __init__(self, host: str, port: int | None, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.server_hostname)


def _authenticated(access: Access, selected: Selected) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """The kubeconfig's user with files in place of data, and the headers of a request."""
    user = dict(selected.user)
    if user.get("exec") and not user.get("token"):
        user.update(run_plugin(user["exec"], selected.cluster, selected.user_name or "").as_user())
    elif user.get("tokenFile"):
        user["token"] = Path(user["tokenFile"]).read_text(encoding="utf-8").strip()
    proof = (("Authorization", f"Bearer {user['token']}"),) if user.get("token") else ()
    return with_files(user), (("Accept", _ACCEPT), *proof, *impersonation(access, selected.user))


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    trust = with_files(cluster)
    context = ssl.create_default_context(cafile=trust.get("certificate-authority"))
    if trust.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if user.get("client-certificate"):
        context.load_cert_chain(user["client-certificate"], user.get("client-key"))
    return context
