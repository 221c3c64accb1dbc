"""Every pod of a cluster, asked without the plugin's code."""

import base64
import json
import ssl
import urllib.request
from pathlib import Path

import yaml


def pods(kubeconfig: Path) -> set[str]:
    """`namespace/name uid` of every pod, with the first cluster and user of `kubeconfig`."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    request = urllib.request.Request(f"{cluster['server']}/api/v1/pods", headers={"Authorization": f"Bearer {user['token']}"})
    with urllib.request.urlopen(request, context=ssl.create_default_context(cadata=authority), timeout=10) as response:
        items = json.load(response)["items"]
    return {f"{item['metadata']['namespace']}/{item['metadata']['name']} {item['metadata']['uid']}" for item in items}
