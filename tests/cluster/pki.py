"""Who the cluster's components are: one authority, certificates for servers, a token for each client."""

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import places
from tests.datapath import tools
from tests.datapath.records import LabNode

SERVICE_ADDRESS = "10.96.0.1"  # the first of the service network: the API's own Service
API_PORT = 6443

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = ("-days", "30")
_LEAF = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"

# Token -> user and groups (kube-apiserver's --token-auth-file); a node's are added by name.
_CLIENTS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "flannel": ("flannel", "system:masters"),
}


def make(state: Path, nodes: tuple[LabNode, ...]) -> None:
    """Write certificates, tokens and kubeconfigs below `state`/pki, which only root may read. Raises LabError."""
    folder = state / "pki"
    folder.mkdir(mode=0o700, parents=True)
    authority = ("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"))
    usage = ("-addext", "keyUsage=critical,keyCertSign,digitalSignature")
    tools.run(["openssl", "req", "-x509", *_KEY, *_DAYS, "-subj", "/CN=vxtrace-cluster-ca", *usage, *authority])
    api = [nodes[0].address, SERVICE_ADDRESS, "127.0.0.1"]
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    _sign(folder, "apiserver", "/CN=kube-apiserver", "serverAuth", names, api)
    _sign(folder, "apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client", "clientAuth", [], [])
    for node in nodes:
        _sign(folder, node.name, f"/O=system:nodes/CN=system:node:{node.name}", "serverAuth", [node.name], [node.address])
    tools.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / "sa.key")])
    tools.run(["openssl", "ec", "-in", str(folder / "sa.key"), "-pubout", "-out", str(folder / "sa.pub")])
    _clients(folder, nodes)


def _sign(folder: Path, name: str, subject: str, usage: str, names: list[str], addresses: list[str]) -> None:
    """A certificate for `usage` (RFC 5280, 4.2.1.12)."""
    alternatives = ",".join([*(f"DNS:{each}" for each in names), *(f"IP:{each}" for each in addresses)])
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"{_LEAF}extendedKeyUsage={usage}\n" + (f"subjectAltName={alternatives}\n" if alternatives else ""))
    request = folder / f"{name}.csr"
    tools.run(["openssl", "req", "-new", *_KEY, "-subj", subject, "-keyout", str(folder / f"{name}.key"), "-out", str(request)])
    authority = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial")
    out = ("-extfile", str(extensions), "-out", str(folder / f"{name}.crt"))
    tools.run(["openssl", "x509", "-req", "-in", str(request), *authority, *_DAYS, *out])


def _clients(folder: Path, nodes: tuple[LabNode, ...]) -> None:
    clients = _CLIENTS | {f"kubelet-{node.name}": (f"system:node:{node.name}", "system:nodes") for node in nodes}
    lines = []
    authority = (folder / "ca.crt").read_bytes()
    for name, (user, group) in clients.items():
        token = secrets.token_urlsafe(24)
        lines.append(f'{token},{user},{user},"{group}"' if group else f"{token},{user},{user}")
        (folder / f"{name}.kubeconfig").write_text(json.dumps(kubeconfig(nodes[0].address, authority, name, token), indent=1) + "\n")
    (folder / "tokens.csv").write_text("\n".join(lines) + "\n")


def kubeconfig(address: str, authority: bytes, user: str, token: str) -> Mapping[str, object]:
    """A kubeconfig that needs no other file (JSON is YAML)."""
    cluster = {"server": f"https://{address}:{API_PORT}", "certificate-authority-data": base64.b64encode(authority).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "vxtrace-cluster", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "vxtrace-cluster", "context": {"cluster": "vxtrace-cluster", "user": user}}],
        "current-context": "vxtrace-cluster",
    }


def publish(state: Path) -> Path:
    """Write the administrator's kubeconfig where a user finds it; returns the path."""
    path = places.KUBECONFIG
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    scratch.touch(mode=0o600)
    scratch.write_text((state / "pki" / "admin.kubeconfig").read_text())
    scratch.replace(path)
    return path
