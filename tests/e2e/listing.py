"""Every object of a cluster, asked without the plugin's code."""

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

# What others write all the time: what happened, and who is alive.
_PASSING = {"events", "leases"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API server: `host:port`, how to know it, and a token that it takes."""

    address: str
    tls: ssl.SSLContext
    token: str


def endpoint(kubeconfig: Path) -> Endpoint:
    """The API server of a kubeconfig's first cluster, as its first user, who has a token."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    tls = ssl.create_default_context(cadata=authority)
    return Endpoint(urlsplit(cluster["server"]).netloc, tls, config["users"][0]["user"]["token"])


class _Api:
    def __init__(self, kubeconfig: Path) -> None:
        there = endpoint(kubeconfig)
        self._connection = http.client.HTTPSConnection(there.address, context=there.tls, timeout=10)
        self._headers = {"Authorization": f"Bearer {there.token}", "Accept": "application/json"}

    def get(self, path: str) -> dict[str, Any]:
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        text = response.read()
        assert response.status == 200, f"{path}: {response.status} {text[:300]!r}"
        found: dict[str, Any] = json.loads(text)
        return found

    def names(self, path: str) -> set[str]:
        """`namespace/name uid` of everything in a list."""
        found = [item["metadata"] for item in self.get(path)["items"]]
        return {f"{one.get('namespace', '')}/{one['name']} {one['uid']}" for one in found if "uid" in one}

    def delete(self, path: str) -> None:
        """Ask for a deletion; that it is gone already is as good."""
        self._connection.request("DELETE", path, headers=self._headers)
        response = self._connection.getresponse()
        text = response.read()
        assert response.status in (200, 202, 404), f"{path}: {response.status} {text[:300]!r}"

    def close(self) -> None:
        self._connection.close()


def get(kubeconfig: Path, path: str) -> dict[str, Any]:
    """What the API answers to a GET of a path, with its query."""
    api = _Api(kubeconfig)
    try:
        return api.get(path)
    finally:
        api.close()


def pods(kubeconfig: Path) -> set[str]:
    """`namespace/name uid` of every pod."""
    api = _Api(kubeconfig)
    try:
        return api.names("/api/v1/pods")
    finally:
        api.close()


def delete_pod(kubeconfig: Path, name: str) -> None:
    """Ask for the deletion of a pod, `namespace/name`."""
    api = _Api(kubeconfig)
    namespace, _, pod = name.partition("/")
    try:
        api.delete(f"/api/v1/namespaces/{namespace}/pods/{pod}")
    finally:
        api.close()


def objects(kubeconfig: Path) -> set[str]:
    """`path of its kind namespace/name uid` of every object that can be listed, but for events and leases."""
    api = _Api(kubeconfig)
    try:
        groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in api.get("/apis")["groups"]]
        kinds = {
            f"{group}/{resource['name']}"
            for group in ("/api/v1", *groups)
            for resource in api.get(group)["resources"]
            if "list" in resource["verbs"] and resource["name"] not in _PASSING
        }
        return {f"{kind} {name}" for kind in sorted(kinds) for name in api.names(kind)}
    finally:
        api.close()
