"""Which nodes, pods, services and workloads the lab has: those of the by-hand procedure, and what is needed to be named wrongly."""

import hashlib
import ipaddress
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .family import lab_address, lab_network, nth
from .records import Lab, LabContainer, LabNode, LabPod, LabPort, LabService, LabServicePort, LabWorkload

POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/12"
FABRIC = "vxlab-fabric"
NODE_MTU_BYTES = 1460  # Google Cloud's default, as on the procedure's machines
OVERHEAD_BYTES = 50  # IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348, section 5)
OVERHEAD_6_BYTES = 70  # with IPv6's 40
CLIENT = ("kotsadm", "kotsadm-58f859745b-x4nh8")

NODE_ADDRESSES = tuple(f"10.128.0.{number}" for number in (72, 95, 96, 97, 98, 99, 100, 101, 102, 103))
MIN_NODES, MAX_NODES = 2, len(NODE_ADDRESSES)
CALICO_BLOCKS = (
    *("10.244.114.64/26", "10.244.56.128/26", "10.244.106.64/26", "10.244.201.0/26", "10.244.77.192/26"),
    *("10.244.12.64/26", "10.244.33.128/26", "10.244.150.0/26", "10.244.180.64/26", "10.244.222.192/26"),
)
SUFFIXES = (
    "k2v8c",
    "m4t7d",
    "q9w5r",
    "z6x4p",
    "b8n2l",
    "c5j7h",
    "d3s9f",
    "g8v2t",
    "h6w4k",
    "j9x5m",
)  # of DaemonSet pods, one for each node

# VXLAN device, what its MAC addresses begin with, VNI (0: one for each packet), UDP port.
_DEVICES = {
    "calico": ("vxlan.calico", "66", 4096, 4789),
    "flannel": ("flannel.1", "7a", 1, 8472),
    "cilium": ("cilium_vxlan", "8e", 0, 8472),
}
# Calico and flannel make a device of its own for IPv6.
_DEVICES_6 = {"calico": "vxlan-v6.calico", "flannel": "flannel-v6.1"}
BACKENDS_6 = tuple(_DEVICES_6)
_AGENTS = {"calico": ("kube-system", "calico-node"), "flannel": ("kube-flannel", "kube-flannel-ds"), "cilium": ("kube-system", "cilium")}

_UIDS = uuid.UUID("6b1f2f5e-7f0c-4d61-9d0f-5a4c6f8f1e10")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A pod before it has addresses: `offset` is its place in its node's block, None on the node's own network or without a node."""

    namespace: str
    name: str
    node: int | None
    offset: int | None
    labels: Mapping[str, str]
    owner: str
    containers: tuple[LabContainer, ...]


def container(namespace: str, name: str) -> str:
    """The identifier of a pod's container; the same whenever the lab is made."""
    return hashlib.sha256(f"container {namespace}/{name}".encode()).hexdigest()


def design(backend: str, nodes: int, family: str = "4") -> tuple[LabNode, ...]:
    """The nodes of a lab; backend "calico", "flannel" or "cilium", family "4", or but for Cilium "6"."""
    return tuple(_node(backend, index, family) for index in range(nodes))


def lab(backend: str, nodes: int, state_dir: str, family: str = "4") -> Lab:
    """The records of a lab of `nodes` (2 to 5) nodes that is to be made."""
    members = design(backend, nodes, family)
    pods = tuple(_pod(backend, members, plan) for plan in _plans(backend, nodes))
    return Lab(
        backend=backend,
        family=family,
        cluster_uid=uid("namespace", "", "kube-system"),
        pod_cidr=lab_network(family, POD_NETWORK),
        fabric=FABRIC,
        nodes=members,
        pods=pods,
        services=_services(family),
        workloads=_workloads(backend, pods),
        state_dir=state_dir,
    )


def uid(kind: str, namespace: str, name: str) -> str:
    """The uid of an object of the lab; the same whenever the lab is made."""
    return str(uuid.uuid5(_UIDS, f"{kind}/{namespace}/{name}"))


def mac(prefix: str, name: str) -> str:
    """A MAC address that begins with `prefix` and is the same for the same name."""
    octets = prefix.split(":")
    digest = hashlib.sha1(name.encode()).digest()
    return ":".join([*octets, *(f"{octet:02x}" for octet in digest[: 6 - len(octets)])])


def host_interface(backend: str, namespace: str, name: str) -> str:
    """The node's end of a pod's veth; Calico: "cali" + 11 hex digits of sha1("namespace.pod") (felix, VethNameForWorkload); Cilium: "lxc" +
    12 of sha256("CONTAINER:eth0") (pkg/datapath/connector)."""
    if backend == "cilium":
        return f"lxc{hashlib.sha256(f'{container(namespace, name)}:eth0'.encode()).hexdigest()[:12]}"
    digest = hashlib.sha1(f"{namespace}.{name}".encode()).hexdigest()
    return f"cali{digest[:11]}" if backend == "calico" else f"veth{digest[:8]}"


def _node(backend: str, index: int, family: str) -> LabNode:
    name = f"ada-ec-{index + 1}"
    four = NODE_ADDRESSES[index]
    device, prefix, vni, port = _DEVICES[backend]
    cidr = lab_network(family, CALICO_BLOCKS[index] if backend == "calico" else f"10.244.{index + 1}.0/24")
    return LabNode(
        name=name,
        uid=uid("node", "", name),
        netns=name,
        address=lab_address(family, four),
        underlay_interface="ens4",
        underlay_mac="42:01:" + ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(four).packed),
        vtep_interface=_DEVICES_6[backend] if family == "6" else device,
        # Cilium's is that of cilium_host, anywhere in the block.
        vtep_address=f"10.244.{index + 1}.223" if backend == "cilium" else cidr.partition("/")[0],
        vtep_mac=mac(prefix, f"{backend} {name}"),
        vni=vni,
        vxlan_port=port,
        mtu_bytes=NODE_MTU_BYTES - (OVERHEAD_6_BYTES if family == "6" else OVERHEAD_BYTES),
        pod_cidr=cidr,
        fabric_port=f"to-{name}",
        bridge="cni0" if backend == "flannel" else None,
        labels={"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
    )


def _pod(backend: str, nodes: tuple[LabNode, ...], plan: _Plan) -> LabPod:
    node = None if plan.node is None else nodes[plan.node]
    own_network = node is not None and plan.offset is not None
    if node is None:
        address, netns = None, None
    elif plan.offset is None:
        address, netns = node.address, node.netns
    else:
        # In a bridge's block the first address is the bridge's.
        offset = plan.offset + (node.bridge is not None)
        address, netns = nth(node.pod_cidr, offset), f"pod-{plan.name}"
    return LabPod(
        namespace=plan.namespace,
        name=plan.name,
        uid=uid("pod", plan.namespace, plan.name),
        node=None if node is None else node.name,
        address=address,
        netns=netns,
        host_interface=host_interface(backend, plan.namespace, plan.name) if own_network else None,
        labels=plan.labels,
        owner=plan.owner,
        host_network=node is not None and plan.offset is None,
        containers=plan.containers,
        phase="Pending" if node is None else "Running",
    )


def _plans(backend: str, nodes: int) -> Iterator[_Plan]:
    third = 2 if nodes > 2 else 0
    yield _deployed("kotsadm", "kotsadm", "58f859745b", "x4nh8", 0, 11, "kotsadm/kotsadm:v1.117.3", (("http", 3000, "TCP"),))
    yield _member("kotsadm", "kotsadm-rqlite", "0", "statefulset", 0, 10, "kotsadm/rqlite:8.30.2", (("rqlite", 4001, "TCP"),))
    yield _deployed("kotsadm", "slackernews", "6c9f7d5b8d", "7xqlm", 1, 3, "slackernews/web:1.0.17", (("http", 3000, "TCP"),))
    dns = (("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP"))
    for suffix, node in (("9zdn8", 1), ("kp2bk", third)):
        yield _deployed("kube-system", "coredns", "86b5dd7f68", suffix, node, 1, "registry.k8s.io/coredns/coredns:v1.11.3", dns)
    # Not scheduled: a name that can be given but not traced, and a service without endpoints.
    yield _member("kotsadm", "postgres", "0", "statefulset", None, None, "postgres:14.5", (("postgres", 5432, "TCP"),))
    agent = _AGENTS[backend]
    for node, suffix in enumerate(SUFFIXES[:nodes]):
        yield _member("default", "netshoot", suffix, "daemonset", node, 5, "docker.io/nicolaka/netshoot:v0.16")
        yield _member("kube-system", "kube-proxy", suffix, "daemonset", node, None, "registry.k8s.io/kube-proxy:v1.30.5")
        yield _member(*agent, suffix, "daemonset", node, None, f"lab/{agent[1]}:v1")


_Ports = tuple[tuple[str, int, str], ...]


def _deployed(namespace: str, app: str, template: str, suffix: str, node: int, offset: int, image: str, ports: _Ports) -> _Plan:
    """A pod of a Deployment's ReplicaSet."""
    plan = _member(namespace, app, f"{template}-{suffix}", "replicaset", node, offset, image, ports)
    return _Plan(
        namespace=namespace,
        name=plan.name,
        node=node,
        offset=offset,
        labels={**plan.labels, "pod-template-hash": template},
        owner=f"replicaset/{app}-{template}",
        containers=plan.containers,
    )


def _member(
    namespace: str, app: str, suffix: str, kind: str, node: int | None, offset: int | None, image: str, ports: _Ports = ()
) -> _Plan:
    """A pod of a workload of the same name."""
    container = LabContainer(
        name=app, image=image, ports=tuple(LabPort(name=name, port=port, protocol=protocol) for name, port, protocol in ports)
    )
    return _Plan(
        namespace=namespace,
        name=f"{app}-{suffix}",
        node=node,
        offset=offset,
        labels=_labels(app),
        owner=f"{kind}/{app}",
        containers=(container,),
    )


def _labels(app: str) -> dict[str, str]:
    """CoreDNS keeps the label of its predecessor, by which the service kube-dns finds it."""
    return {"k8s-app": "kube-dns"} if app == "coredns" else {"app": app}


def _services(family: str) -> tuple[LabService, ...]:
    dns = (("dns", 53, "UDP", 53), ("dns-tcp", 53, "TCP", 53), ("metrics", 9153, "TCP", 9153))
    return (
        _service("kube-system", "kube-dns", lab_address(family, "10.96.0.10"), _labels("coredns"), *dns),
        _service("kotsadm", "kotsadm", lab_address(family, "10.99.230.140"), _labels("kotsadm"), ("", 3000, "TCP", 3000)),
        _service("kotsadm", "kotsadm-rqlite", lab_address(family, "10.97.116.105"), _labels("kotsadm-rqlite"), ("", 4001, "TCP", 4001)),
        _service("kotsadm", "kotsadm-rqlite-headless", "None", _labels("kotsadm-rqlite"), ("", 4001, "TCP", 4001)),
        _service("kotsadm", "slackernews", lab_address(family, "10.106.0.218"), _labels("slackernews"), ("", 3000, "TCP", 3000)),
        _service("kotsadm", "postgres", lab_address(family, "10.105.80.214"), _labels("postgres"), ("", 5432, "TCP", 5432)),
    )


def _service(namespace: str, name: str, address: str, selector: Mapping[str, str], *ports: tuple[str, int, str, int]) -> LabService:
    return LabService(
        namespace=namespace,
        name=name,
        uid=uid("service", namespace, name),
        cluster_ip=address,
        ports=tuple(
            LabServicePort(name=title, port=port, protocol=protocol, target_port=target) for title, port, protocol, target in ports
        ),
        selector=selector,
    )


def _workloads(backend: str, pods: tuple[LabPod, ...]) -> tuple[LabWorkload, ...]:
    """The owners of the pods, and the Deployments that own the ReplicaSets, each once."""
    found: dict[tuple[str, str, str], LabWorkload] = {}
    for pod in pods:
        kind, _, name = (pod.owner or "").partition("/")
        template = pod.labels.get("pod-template-hash")
        deployment = name.removesuffix(f"-{template}") if kind == "replicaset" else None
        peers = sum(other.owner == pod.owner and other.namespace == pod.namespace for other in pods)
        if deployment is not None:
            selector = {key: value for key, value in pod.labels.items() if key != "pod-template-hash"}
            found["deployment", pod.namespace, deployment] = _workload("deployment", pod.namespace, deployment, None, selector, peers)
        owner = None if deployment is None else f"deployment/{deployment}"
        found[kind, pod.namespace, name] = _workload(kind, pod.namespace, name, owner, pod.labels, peers)
    return tuple(found.values())


def _workload(kind: str, namespace: str, name: str, owner: str | None, selector: Mapping[str, str], replicas: int) -> LabWorkload:
    return LabWorkload(
        kind=kind, namespace=namespace, name=name, uid=uid(kind, namespace, name), owner=owner, selector=dict(selector), replicas=replicas
    )
