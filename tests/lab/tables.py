"""The columns that `kubectl get` shows (meta.k8s.io/v1 Table)."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from tests.lab import resources
from tests.lab.resources import Kind
from tests.lab.status import JsonObject

_Row = Callable[[JsonObject], Sequence[object]]


def _age(obj: JsonObject) -> str:
    made = datetime.strptime(obj["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    seconds = int((datetime.now(UTC) - made).total_seconds())
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m"


def _pod(pod: JsonObject) -> Sequence[object]:
    statuses = pod["status"].get("containerStatuses") or []
    state = pod["status"].get("reason") or pod["status"].get("phase")
    for status in statuses:
        ended = status["state"].get("waiting") or status["state"].get("terminated") or {}
        state = ended.get("reason") or state
    if pod["metadata"].get("deletionTimestamp"):
        state = "Terminating"
    ready = f"{sum(status['ready'] for status in statuses)}/{len(pod['spec']['containers'])}"
    restarts = sum(status["restartCount"] for status in statuses)
    return ready, state, restarts, _age(pod), pod["status"].get("podIP") or "<none>", pod["spec"].get("nodeName") or "<none>"


def _node(node: JsonObject) -> Sequence[object]:
    status = node["status"]
    ready = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in status["conditions"])
    address = next((entry["address"] for entry in status["addresses"] if entry["type"] == "InternalIP"), "<none>")
    info = status["nodeInfo"]
    return "Ready" if ready else "NotReady", "<none>", _age(node), info["kubeletVersion"], address, info["osImage"], info["kernelVersion"]


def _service(service: JsonObject) -> Sequence[object]:
    spec = service["spec"]
    ports = ",".join(f"{port['port']}/{port['protocol']}" for port in spec["ports"])
    selector = ",".join(f"{key}={value}" for key, value in (spec.get("selector") or {}).items())
    return spec["type"], spec["clusterIP"], "<none>", ports, _age(service), selector or "<none>"


def _endpoint_slice(found: JsonObject) -> Sequence[object]:
    ports = ",".join(dict.fromkeys(str(port["port"]) for port in found["ports"]))
    addresses = ",".join(address for endpoint in found["endpoints"] for address in endpoint["addresses"])
    return found["addressType"], ports, addresses or "<unset>", _age(found)


def _deployment(found: JsonObject) -> Sequence[object]:
    status = found["status"]
    return f"{status['readyReplicas']}/{found['spec']['replicas']}", status["updatedReplicas"], status["availableReplicas"], _age(found)


def _namespace(found: JsonObject) -> Sequence[object]:
    return found["status"]["phase"], _age(found)


def _event(found: JsonObject) -> Sequence[object]:
    involved = found["involvedObject"]
    return found["type"], found["reason"], f"{involved['kind'].lower()}/{involved['name']}", found["message"]


# Columns after NAME; those in lower case only with `-o wide`.
_TABLES: dict[Kind, tuple[str, _Row]] = {
    resources.PODS: ("Ready Status Restarts Age ip node", _pod),
    resources.NODES: ("Status Roles Age Version internal-ip os-image kernel-version", _node),
    resources.SERVICES: ("Type Cluster-IP External-IP Port(s) Age selector", _service),
    resources.ENDPOINT_SLICES: ("AddressType Ports Endpoints Age", _endpoint_slice),
    resources.DEPLOYMENTS: ("Ready Up-to-date Available Age", _deployment),
    resources.NAMESPACES: ("Status Age", _namespace),
    resources.EVENTS: ("Type Reason Object Message", _event),
}


def table(kind: Kind, answer: JsonObject) -> JsonObject | None:
    """A list or an object as a Table; None for kinds that have no columns of their own."""
    if kind not in _TABLES:
        return None
    columns, row = _TABLES[kind]
    items = answer.get("items", [answer])
    definitions = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    for column in columns.split():
        wide = column.islower()
        definitions.append({"name": column, "type": "string", "format": "", "description": "", "priority": int(wide)})
    rows = []
    for obj in items:
        metadata = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        rows.append({"cells": [obj["metadata"]["name"], *row(obj)], "object": metadata})
    version = {"resourceVersion": answer["metadata"].get("resourceVersion", "")}
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": version, "columnDefinitions": definitions, "rows": rows}
