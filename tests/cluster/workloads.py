"""What runs in the cluster: the pods, services and workloads of tests/datapath under the same names, and what only a cluster can have."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cluster.image import COREDNS_TAG, TOOLS_TAG
from tests.datapath import servers, shape
from tests.datapath.records import Lab, LabPod, LabService

Object = dict[str, Any]

PROGRAMS = ("ask.py", "web.py")
NODE_PORT = 30300
LOCKED = "locked"  # a namespace that takes no privileged pod
# Daemons that are no pods here: the nodes run them themselves.
_NOT_PODS = ("kube-proxy", "calico-node", "kube-flannel-ds")
_HOSTNAME = "kubernetes.io/hostname"
_COREFILE = """.:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    cache 5
}
"""
# CoreDNS can be stopped while its pod stays as it is: that is the fault "nothing-listening".
STOPPED = "/tmp/stopped"
_SERVE_DNS = (
    f'trap "exit 0" TERM; while :; do if [ -e {STOPPED} ]; then sleep 0.1; else /coredns -conf /etc/coredns/Corefile & wait $!; fi; done'
)


def blueprint(lab: Lab) -> Lab:
    """The lab of tests/datapath that this cluster follows, with its pods and services."""
    return shape.lab(lab.backend, len(lab.nodes), lab.state_dir)


def wanted(lab: Lab) -> list[LabPod]:
    """The pods of the blueprint that are made."""
    return [pod for pod in blueprint(lab).pods if pod.containers[0].name not in _NOT_PODS]


def namespaces(lab: Lab) -> list[Object]:
    """Those that there must be before anything is put into them."""
    present = {"default", "kube-system"}
    found = [_object("v1", "Namespace", name) for name in sorted({pod.namespace for pod in wanted(lab)} - present)]
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [*found, _object("v1", "Namespace", "slackernews"), _object("v1", "Namespace", LOCKED, labels=enforced)]


def foundation(lab: Lab) -> list[Object]:
    """Everything that pods use: accounts, configurations, services."""
    programs = Path(servers.PROGRAMS)
    data = {name: (programs / name).read_text() for name in PROGRAMS}
    places = sorted({pod.namespace for pod in wanted(lab)})
    found = [{**_object("v1", "ConfigMap", "programs", namespace), "data": data} for namespace in places]
    found.append({**_object("v1", "ConfigMap", "coredns", "kube-system"), "data": {"Corefile": _COREFILE}})
    found += _dns_account()
    found += [_service(service) for service in blueprint(lab).services]
    found += _more_services()
    return found


def pods(lab: Lab) -> list[Object]:
    """Pods by the names of tests/datapath, which no controller would choose; their controllers adopt them."""
    found = []
    for pod in wanted(lab):
        if not (pod.owner or "").startswith("statefulset/"):
            spec = _spec(lab, pod) | ({"nodeName": pod.node} if (pod.owner or "").startswith("daemonset/") else {"nodeSelector": _at(pod)})
            found.append({**_object("v1", "Pod", pod.name, pod.namespace, dict(pod.labels)), "spec": spec})
    return found


def replica_sets(lab: Lab) -> list[Object]:
    """Owners of the Deployments' pods, each with the name that its Deployment would have given it."""
    found: dict[str, Object] = {}
    for pod in wanted(lab):
        kind, _, name = (pod.owner or "").partition("/")
        if kind == "replicaset":
            replicas = sum(other.owner == pod.owner for other in wanted(lab))
            spec = {"replicas": replicas, "selector": {"matchLabels": dict(pod.labels)}, "template": _template(lab, pod, pod.labels)}
            found[name] = {**_object("apps/v1", "ReplicaSet", name, pod.namespace, dict(pod.labels)), "spec": spec}
    return list(found.values())


def controllers(lab: Lab) -> list[Object]:
    """Deployments (which adopt the ReplicaSets), StatefulSets, DaemonSets, and what only a cluster can have."""
    found: dict[str, Object] = {}
    for pod in wanted(lab):
        kind, _, name = (pod.owner or "").partition("/")
        replicas = sum(other.owner == pod.owner for other in wanted(lab))
        labels = {key: value for key, value in pod.labels.items() if key != "pod-template-hash"}
        base: Object = {"selector": {"matchLabels": labels}, "template": _template(lab, pod, labels)}
        if kind == "replicaset":
            name = name.removesuffix(f"-{pod.labels['pod-template-hash']}")
            found[name] = {**_object("apps/v1", "Deployment", name, pod.namespace, labels), "spec": base | {"replicas": replicas}}
        elif kind == "statefulset":
            spec = base | {"replicas": replicas, "serviceName": name}
            found[name] = {**_object("apps/v1", "StatefulSet", name, pod.namespace, labels), "spec": spec}
        elif kind == "daemonset":
            spec = base | {"updateStrategy": {"type": "OnDelete"}}  # adopted pods have no revision, and would be replaced
            found[name] = {**_object("apps/v1", "DaemonSet", name, pod.namespace, labels), "spec": spec}
    return [*found.values(), *_oddities()]


def _oddities() -> Iterator[Object]:
    """A web server on its node's own network, and a pod that ends as often as it is started."""
    labels = {"app": "node-web"}
    container = _container("node-web", TOOLS_TAG, ["python3", "/programs/web.py", "node-web", "8080"])
    spec = _common() | {"hostNetwork": True, "nodeSelector": {_HOSTNAME: "ada-ec-3"}, "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    yield {**_object("apps/v1", "Deployment", "node-web", "default", labels), "spec": deployment}
    failing = _container("crashing", TOOLS_TAG, ["sh", "-c", "echo giving up; exit 3"])
    yield {**_object("v1", "Pod", "crashing", "default", {"app": "crashing"}), "spec": _common() | {"containers": [failing]}}


def _more_services() -> list[Object]:
    """The web server once more by a port of every node and without an address, and the server on a node's own network."""
    ports = [{"port": 3000, "targetPort": 3000, "protocol": "TCP"}]
    selector = {"app": "slackernews"}
    by_node = {"type": "NodePort", "selector": selector, "ports": [ports[0] | {"nodePort": NODE_PORT}]}
    own = {"selector": {"app": "node-web"}, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}
    return [
        {**_object("v1", "Service", "slackernews-node-port", "kotsadm"), "spec": by_node},
        {
            **_object("v1", "Service", "slackernews-headless", "kotsadm"),
            "spec": {"clusterIP": "None", "selector": selector, "ports": ports},
        },
        {**_object("v1", "Service", "node-web", "default"), "spec": own},
    ]


def _service(service: LabService) -> Object:
    ports = [
        {"port": port.port, "targetPort": port.target_port, "protocol": port.protocol} | ({"name": port.name} if port.name else {})
        for port in service.ports
    ]
    selector = {key: value for key, value in service.selector.items() if key != "pod-template-hash"}
    spec = {"clusterIP": service.cluster_ip, "selector": selector, "ports": ports}
    return {**_object("v1", "Service", service.name, service.namespace), "spec": spec}


def _dns_account() -> list[Object]:
    """CoreDNS may read what it answers from (its kubernetes plug-in's manual)."""
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    group = "rbac.authorization.k8s.io"
    binding = {
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
    }
    return [
        _object("v1", "ServiceAccount", "coredns", "kube-system"),
        {**_object(f"{group}/v1", "ClusterRole", "system:coredns"), "rules": rules},
        {**_object(f"{group}/v1", "ClusterRoleBinding", "system:coredns"), **binding},
    ]


def _template(lab: Lab, pod: LabPod, labels: Mapping[str, str]) -> Object:
    """A pod template; a replacement of its pod goes to one of the nodes that the pods of that owner are on."""
    spec = _spec(lab, pod)
    nodes = sorted({other.node for other in wanted(lab) if other.owner == pod.owner and other.node is not None})
    if not nodes:
        spec["nodeSelector"] = _at(pod)
    elif not (pod.owner or "").startswith("daemonset/"):
        term = {"matchExpressions": [{"key": _HOSTNAME, "operator": "In", "values": nodes}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    return {"metadata": {"labels": dict(labels)}, "spec": spec}


def _at(pod: LabPod) -> Object:
    """Where a pod goes; one without a node wants what no node has."""
    return {_HOSTNAME: pod.node} if pod.node is not None else {"vxtrace/nowhere": "true"}


def _spec(lab: Lab, pod: LabPod) -> Object:
    app = pod.containers[0].name
    if app == "coredns":
        return _dns_spec()
    commands = [f"python3 /programs/web.py {pod.name} {port.port}" for container in pod.containers for port in container.ports]
    if (pod.namespace, pod.name) == shape.CLIENT:
        target = servers.service_address(blueprint(lab), "kube-system", "kube-dns")
        commands.append(f"python3 /programs/ask.py dns {target} {servers.QUESTION} --rate {servers.QUESTIONS_PER_S}")
    script = " ".join([*(f"{command} &" for command in commands), "wait"]) if commands else "exec sleep infinity"
    container = _container(app, TOOLS_TAG, ["sh", "-c", f'trap "exit 0" TERM; {script}'])
    container["ports"] = [{"name": port.name, "containerPort": port.port, "protocol": port.protocol} for port in pod.containers[0].ports]
    return _common() | {"containers": [container]}


def _dns_spec() -> Object:
    container = _container("coredns", COREDNS_TAG, ["sh", "-c", _SERVE_DNS])
    container["volumeMounts"] = [{"name": "coredns", "mountPath": "/etc/coredns"}]
    # Ready once it serves; after that it stays an endpoint, also while it is stopped.
    probe = {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1, "failureThreshold": 100000}
    container["readinessProbe"] = probe
    spec = _common() | {"serviceAccountName": "coredns", "automountServiceAccountToken": True, "dnsPolicy": "Default"}
    return spec | {"containers": [container], "volumes": [{"name": "coredns", "configMap": {"name": "coredns"}}]}


def _container(name: str, image: str, command: list[str]) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "command": command,
        "volumeMounts": [{"name": "programs", "mountPath": "/programs"}],
    }


def _common() -> Object:
    volumes = [{"name": "programs", "configMap": {"name": "programs"}}]
    return {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "volumes": volumes}


def _object(version: str, kind: str, name: str, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> Object:
    metadata: Object = {"name": name} | ({"namespace": namespace} if namespace else {}) | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
