"""The lab's records as Kubernetes objects, in the shape of a real cluster's (kubeadm with Calico or flannel)."""

import json
import os
import uuid
from collections.abc import Collection, Iterator, Mapping

from tests.datapath import family, steering
from tests.datapath.records import Lab, LabNode, LabPod, LabService, LabWorkload
from tests.datapath.shape import container
from tests.lab import resources
from tests.lab.resources import Kind
from tests.lab.status import JsonObject
from tests.lab.store import now

ENFORCE = "pod-security.kubernetes.io/enforce"
_WORKLOADS = {
    "deployment": resources.DEPLOYMENTS,
    "replicaset": resources.REPLICA_SETS,
    "statefulset": resources.STATEFUL_SETS,
    "daemonset": resources.DAEMON_SETS,
}
_STARTED = now()
DEBUG_IMAGE = "docker.io/nicolaka/netshoot:v0.16"


def stable_uid(lab: Lab, *parts: str) -> str:
    """A uid that is the same each time the records are read."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((lab.cluster_uid, *parts))))


def condition(kind: str, status: str, reason: str | None = None, message: str | None = None) -> JsonObject:
    """An entry of status.conditions; `status` is "True", "False" or "Unknown"."""
    found: JsonObject = {"type": kind, "status": status, "lastTransitionTime": now()}
    return found | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def image_id(image: str) -> str:
    """The imageID of an image: a digest that only depends on its name, since the lab holds no images."""
    return "sha256:" + uuid.uuid5(uuid.NAMESPACE_URL, image).hex * 2


def _object(kind: Kind, uid: str, name: str, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> JsonObject:
    metadata: JsonObject = {"name": name, "uid": uid, "creationTimestamp": _STARTED, "labels": dict(labels or {})}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.group_version, "kind": kind.kind, "metadata": metadata}


def _cilium_endpoint(lab: Lab, pod: LabPod) -> JsonObject:
    found = _object(resources.CILIUM_ENDPOINTS, stable_uid(lab, "ciliumendpoint", pod.namespace, pod.name), pod.name, pod.namespace)
    return found | {
        "status": {
            "external-identifiers": {
                "cni-attachment-id": steering.attachment(pod.namespace, pod.name),
                "container-id": container(pod.namespace, pod.name),
                "k8s-namespace": pod.namespace,
                "k8s-pod-name": pod.name,
                "pod-name": f"{pod.namespace}/{pod.name}",
            },
            "identity": {"id": steering.identity(pod), "labels": [f"k8s:{key}={value}" for key, value in pod.labels.items()]},
            "networking": {"addressing": [{"ipv4": pod.address}], "node": lab.node(pod.node or "").address},
            "state": "ready",
        }
    }


def _cni_annotations(lab: Lab, node: LabNode) -> dict[str, str]:
    if lab.backend == "cilium":
        return {}
    if lab.backend == "calico":
        return {
            f"projectcalico.org/IPv{lab.family}Address": f"{node.published or node.address}/{family.prefix_bits(node.address)}",
            f"projectcalico.org/IPv{lab.family}VXLANTunnelAddr": node.vtep_address,
        }
    prefix, six = "flannel.alpha.coreos.com/", lab.family == "6"
    return {
        prefix + ("backend-v6-data" if six else "backend-data"): json.dumps({"VNI": node.vni, "VtepMAC": node.vtep_mac}),
        prefix + "backend-type": "vxlan",
        prefix + "kube-subnet-manager": "true",
        prefix + ("public-ipv6" if six else "public-ip"): node.published or node.address,
    }


def _node(lab: Lab, node: LabNode, not_ready: Collection[str]) -> JsonObject:
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    found = _object(resources.NODES, node.uid, node.name, labels=labels | dict(node.labels))
    found["metadata"]["annotations"] = _cni_annotations(lab, node)
    found["spec"] = {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]}
    ready = condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    if node.name in not_ready:
        ready = condition("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        taint = "node.kubernetes.io/unreachable"
        found["spec"]["taints"] = [{"key": taint, "effect": "NoSchedule"}, {"key": taint, "effect": "NoExecute"}]
    system = os.uname()
    found["status"] = {
        "addresses": [{"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name}],
        "conditions": [ready],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": "amd64",
            "operatingSystem": "linux",
            "kernelVersion": system.release,
            "osImage": "vxtrace lab",
            "containerRuntimeVersion": "lab://1",
            "kubeletVersion": resources.VERSION["gitVersion"],
            "kubeProxyVersion": "",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }
    return found


def _namespaces(lab: Lab) -> Iterator[JsonObject]:
    names = {"default", "kube-system", "kotsadm", "slackernews", "locked"} | {pod.namespace for pod in lab.pods}
    names |= {service.namespace for service in lab.services}
    for name in sorted(names):
        uid = lab.cluster_uid if name == "kube-system" else stable_uid(lab, "namespace", name)
        labels = {"kubernetes.io/metadata.name": name} | ({ENFORCE: "restricted"} if name == "locked" else {})
        yield _object(resources.NAMESPACES, uid, name, labels=labels) | {
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }


def _owner_references(lab: Lab, namespace: str, owner: str | None) -> list[JsonObject]:
    if not owner:
        return []
    kind_name, _, name = owner.partition("/")
    kind = _WORKLOADS[kind_name]
    wanted = (kind_name, namespace, name)
    known = {(workload.kind, workload.namespace, workload.name): workload.uid for workload in lab.workloads}
    uid = known.get(wanted) or stable_uid(lab, *wanted)
    return [{"apiVersion": kind.group_version, "kind": kind.kind, "name": name, "uid": uid, "controller": True, "blockOwnerDeletion": True}]


def _pod_status(lab: Lab, pod: LabPod) -> JsonObject:
    if pod.phase != "Running" or pod.node is None:
        scheduled = condition("PodScheduled", "True")
        if pod.node is None:
            scheduled = condition("PodScheduled", "False", "Unschedulable", f"0/{len(lab.nodes)} nodes are available.")
        return {"phase": pod.phase, "conditions": [scheduled], "qosClass": "BestEffort"}
    host = lab.node(pod.node).address
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": pod.phase,
        "conditions": [condition(kind, "True") for kind in kinds],
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "startTime": _STARTED,
        "qosClass": "BestEffort",
        "containerStatuses": [
            {
                "name": container.name,
                "image": container.image,
                "imageID": image_id(container.image),
                "containerID": f"lab://{pod.uid}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "lastState": {},
                "state": {"running": {"startedAt": _STARTED}},
            }
            for container in pod.containers
        ],
    }


def _pod(lab: Lab, pod: LabPod) -> JsonObject:
    found = _object(resources.PODS, pod.uid, pod.name, pod.namespace, pod.labels)
    if references := _owner_references(lab, pod.namespace, pod.owner):
        found["metadata"]["ownerReferences"] = references
    containers = [
        {
            "name": container.name,
            "image": container.image,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": port.name, "containerPort": port.port, "protocol": port.protocol} for port in container.ports],
            "resources": {},
        }
        for container in pod.containers
    ]
    found["spec"] = {
        "containers": containers,
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
    }
    found["spec"] |= ({"nodeName": pod.node} if pod.node else {}) | ({"hostNetwork": True} if pod.host_network else {})
    return found | {"status": _pod_status(lab, pod)}


def _service(lab: Lab, service: LabService) -> JsonObject:
    found = _object(resources.SERVICES, service.uid, service.name, service.namespace, service.selector)
    ports = [{"name": port.name, "port": port.port, "protocol": port.protocol, "targetPort": port.target_port} for port in service.ports]
    if service.node_port:
        ports[0]["nodePort"] = service.node_port
    found["spec"] = {
        "type": "LoadBalancer" if service.load_balancer else "NodePort" if service.node_port else "ClusterIP",
        "clusterIP": service.cluster_ip,
        "clusterIPs": [service.cluster_ip],
        "ipFamilies": [f"IPv{lab.family}"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Local" if service.local else "Cluster",
        "sessionAffinity": "None",
        "ports": ports,
    }
    if service.load_balancer or service.node_port:
        found["spec"]["externalTrafficPolicy"] = "Local" if service.external_local else "Cluster"
    if service.selector:
        found["spec"]["selector"] = dict(service.selector)
    return found | {"status": {"loadBalancer": {"ingress": [{"ip": service.load_balancer}]} if service.load_balancer else {}}}


def _endpoint_slice(lab: Lab, service: LabService) -> JsonObject:
    suffix = stable_uid(lab, "slice", service.namespace, service.name)[:5]
    labels = {"kubernetes.io/service-name": service.name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    uid = stable_uid(lab, "endpointslice", service.namespace, service.name)
    found = _object(resources.ENDPOINT_SLICES, uid, f"{service.name}-{suffix}", service.namespace, labels)
    endpoints = [
        {
            "addresses": [pod.address],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": pod.node,
            "targetRef": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
        }
        for pod in lab.endpoints(service)
        if pod.address
    ]
    ports = [{"name": port.name, "port": port.target_port, "protocol": port.protocol} for port in service.ports]
    return found | {"addressType": f"IPv{lab.family}", "endpoints": endpoints, "ports": ports}


def _workload(lab: Lab, workload: LabWorkload) -> JsonObject:
    found = _object(_WORKLOADS[workload.kind], workload.uid, workload.name, workload.namespace, workload.selector)
    if references := _owner_references(lab, workload.namespace, workload.owner):
        found["metadata"]["ownerReferences"] = references
    template = {"metadata": {"labels": dict(workload.selector)}, "spec": {"containers": []}}
    found["spec"] = {"selector": {"matchLabels": dict(workload.selector)}, "template": template}
    count = workload.replicas
    if workload.kind == "daemonset":
        found["status"] = {"desiredNumberScheduled": count, "currentNumberScheduled": count, "numberReady": count, "numberMisscheduled": 0}
        return found
    found["spec"]["replicas"] = count
    found["status"] = {"replicas": count, "readyReplicas": count, "availableReplicas": count, "updatedReplicas": count}
    return found


def objects(lab: Lab, not_ready: Collection[str] = ()) -> Iterator[tuple[Kind, JsonObject]]:
    """Every object that the records stand for; nodes named in `not_ready` are as if their kubelet had gone."""
    yield from ((resources.NAMESPACES, namespace) for namespace in _namespaces(lab))
    yield from ((resources.NODES, _node(lab, node, not_ready)) for node in lab.nodes)
    yield from ((resources.PODS, _pod(lab, pod)) for pod in lab.pods)
    if lab.backend == "cilium":
        linked = (pod for pod in lab.pods if pod.host_interface is not None)
        yield from ((resources.CILIUM_ENDPOINTS, _cilium_endpoint(lab, pod)) for pod in linked)
    for service in lab.services:
        yield resources.SERVICES, _service(lab, service)
        if service.selector:
            yield resources.ENDPOINT_SLICES, _endpoint_slice(lab, service)
    yield from ((_WORKLOADS[workload.kind], _workload(lab, workload)) for workload in lab.workloads)
