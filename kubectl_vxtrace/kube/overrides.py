"""What kubectl's flags put over the kubeconfig's cluster and user.

The rules are client-go's (tools/clientcmd/client_config.go: getCluster and getAuthInfo; validation.go: validateClusterInfo and
validateAuthInfo; rest/url_utils.go: defaultServerUrlFor).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.request import Access

_TRUST = ("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify")


def cluster_of(access: Access, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a kubeconfig's cluster with the flags over it.

    `--server` makes the kubeconfig's tls-server-name void, `--insecure-skip-tls-verify` its authority, `--certificate-authority` both its
    authority and its leave to check nothing.

    Raises:
        UsageError: two flags contradict each other, or one names a file that is not there.
    """
    if access.insecure_skip_tls_verify and access.certificate_authority:
        raise UsageError(
            "--certificate-authority says by what to check the server, --insecure-skip-tls-verify not to check it", "leave one of them out"
        )
    result = dict(cluster)
    if access.server and "@" in access.server:  # it would stand in the bundle, and in every message that names the server
        raise UsageError("--server holds a user's name", "give --username and --password, or --token")
    if access.server:
        result["server"] = access.server
        result.pop("tls-server-name", None)
    if access.tls_server_name:
        result["tls-server-name"] = access.tls_server_name
    if access.insecure_skip_tls_verify or access.certificate_authority:
        for key in _TRUST:
            result.pop(key, None)
    if access.insecure_skip_tls_verify:
        result["insecure-skip-tls-verify"] = True
    if access.certificate_authority:
        result["certificate-authority"] = _file("--certificate-authority", access.certificate_authority)
    return result


def user_of(access: Access, user: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a kubeconfig's user with the flags over it.

    A file of a certificate or key takes the place of the kubeconfig's data, a token that of its token file and of what a plugin would give.

    Raises:
        UsageError: a token beside a user name, a certificate without a key, or a file that is not there.
    """
    result = dict(user)
    if access.token:
        result["token"] = access.token
        result.pop("tokenFile", None)
    if access.username or access.password:
        result.update(username=access.username or "", password=access.password or "")
        result.pop("exec", None)
        if result.get("token") or result.get("tokenFile"):
            raise UsageError("a token and a user name are two ways to authenticate, and only one can be used", "leave one of them out")
    for flag, name in (("client-certificate", access.client_certificate), ("client-key", access.client_key)):
        if name:
            result[flag] = _file(f"--{flag}", name)
            result.pop(f"{flag}-data", None)
    if access.client_certificate and not (result.get("client-key") or result.get("client-key-data")):
        raise UsageError("--client-certificate is given without its key", "give the key with --client-key")
    return result


def with_scheme(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> dict[str, Any]:
    """The cluster with a scheme in its server's address: `https` where anything speaks of TLS, else `http`."""
    server = str(cluster["server"])
    if "://" in server:
        return dict(cluster)
    by_certificate = any(user.get(key) for key in ("client-certificate", "client-certificate-data"))
    return {**cluster, "server": f"{'https' if by_certificate or any(map(cluster.get, _TRUST)) else 'http'}://{server}"}


def _file(flag: str, name: str) -> str:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"{flag}: there is no file {path}", "check its path")
    return str(path)
