"""Small builders of snapshots and node facts, in the shapes of real clusters."""

from dataclasses import replace

from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Node, Pod, Scope, Service, ServicePort, Workload
from kubectl_vxtrace.model.facts import FdbEntry, Link, Neighbour, NodeFacts, Route, RouteLookup, VxlanDevice
from kubectl_vxtrace.model.path import Endpoint, Flow, ServiceRef

NODE_ADDRESSES = {"ada-ec-1": "10.128.0.72", "ada-ec-2": "10.128.0.95", "ada-ec-3": "10.128.0.96"}
CALICO_PODS = {"ada-ec-1": "10.244.114.75", "ada-ec-2": "10.244.56.129", "ada-ec-3": "10.244.106.65"}
CALICO_VTEPS = {"ada-ec-1": "10.244.114.64", "ada-ec-2": "10.244.56.128", "ada-ec-3": "10.244.106.64"}
CALI = {"ada-ec-1": "cali9d8b6a7d855", "ada-ec-2": "cali2b903875fe4", "ada-ec-3": "cali895d469e349"}
FLANNEL_PODS = {"ada-ec-1": "10.42.0.7", "ada-ec-2": "10.42.1.8", "ada-ec-3": "10.42.2.9"}
FLANNEL_VTEPS = {"ada-ec-1": "10.42.0.0", "ada-ec-2": "10.42.1.0", "ada-ec-3": "10.42.2.0"}
DNS = "10.96.0.10"


def vtep_mac(node: str) -> str:
    return f"66:00:00:00:00:0{node[-1]}"


def nodes() -> tuple[Node, ...]:
    return tuple(Node(name=name, addresses=(address,), annotations={}) for name, address in NODE_ADDRESSES.items())


def pod(full_name: str, node: str | None = "ada-ec-1", address: str | None = None, owner: str | None = None, **changes: object) -> Pod:
    namespace, _, name = full_name.partition("/")
    made = Pod(namespace=namespace, name=name, node=node, addresses=(address,) if address else (), owner=owner, labels={})
    return replace(made, **changes)  # type: ignore[arg-type]  # any field of Pod, as the test says


def snapshot(**changes: object) -> ClusterSnapshot:
    """The procedure's cluster: kotsadm on the first node, CoreDNS on the others, kube-dns before it."""
    pods = (
        pod("kotsadm/kotsadm-58f859745b-x4nh8", "ada-ec-1", "10.244.114.75", "replicaset/kotsadm-58f859745b"),
        pod("kotsadm/kotsadm-rqlite-0", "ada-ec-1", "10.244.114.74", "statefulset/kotsadm-rqlite"),
        pod("kotsadm/kurl-proxy-kotsadm-6549dc76b4-wtfjf", "ada-ec-1", "10.244.114.73", "replicaset/kurl-proxy-kotsadm-6549dc76b4"),
        pod("kube-system/coredns-86b5dd7f68-9zdn8", "ada-ec-2", "10.244.56.129", "replicaset/coredns-86b5dd7f68"),
        pod("kube-system/coredns-86b5dd7f68-kp2bk", "ada-ec-3", "10.244.106.65", "replicaset/coredns-86b5dd7f68"),
        pod("kube-system/kube-proxy-abcde", "ada-ec-2", "10.128.0.95", "daemonset/kube-proxy", host_network=True),
    )
    made = ClusterSnapshot(
        scope=Scope.WIDE,
        namespace="default",
        nodes=nodes(),
        pods=pods,
        services=(kube_dns(), Service(namespace="kotsadm", name="kotsadm", addresses=("10.99.230.140",), selector={})),
        workloads=(
            Workload(kind="deployment", namespace="kube-system", name="coredns"),
            Workload(kind="replicaset", namespace="kube-system", name="coredns-86b5dd7f68", owner="deployment/coredns"),
            Workload(kind="statefulset", namespace="kotsadm", name="kotsadm-rqlite"),
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # any field of ClusterSnapshot, as the test says


def kube_dns(**changes: object) -> Service:
    ports = (
        ServicePort(name="dns", port=53, protocol="UDP"),
        ServicePort(name="dns-tcp", port=53, protocol="TCP"),
        ServicePort(name="metrics", port=9153, protocol="TCP"),
    )
    backends = tuple(
        Backend(address=address, port=port.port, protocol=port.protocol, port_name=port.name, node=node, pod=f"kube-system/{name}")
        for port in ports
        for address, node, name in (
            ("10.244.56.129", "ada-ec-2", "coredns-86b5dd7f68-9zdn8"),
            ("10.244.106.65", "ada-ec-3", "coredns-86b5dd7f68-kp2bk"),
        )
    )
    made = Service(namespace="kube-system", name="kube-dns", addresses=(DNS,), ports=ports, backends=backends, selector={})
    return replace(made, **changes)  # type: ignore[arg-type]  # any field of Service, as the test says


def flow(client: str = "ada-ec-1", server: str | None = "ada-ec-2", pods: dict[str, str] | None = None, number: int = 1) -> Flow:
    """A DNS question from the pod of one node to that of another, through the Service."""
    addresses = pods or CALICO_PODS
    end = Endpoint(address=addresses[server], port=53, pod=f"kube-system/dns-{server}", node=server) if server is not None else None
    return Flow(
        id=number,
        protocol="UDP",
        client=Endpoint(address=addresses[client], pod=f"kotsadm/client-{client}", node=client),
        service=ServiceRef(address=DNS, port=53, name="kube-system/kube-dns"),
        server=end,
    )


def calico(node: str) -> NodeFacts:
    """A node as Calico sets it up: a route for each pod, a neighbour and a forwarding entry for each other node."""
    others = [name for name in NODE_ADDRESSES if name != node]
    own = CALICO_PODS[node]
    vxlan = VxlanDevice(vni=4096, port=4789, local=NODE_ADDRESSES[node], device="ens4")
    return NodeFacts(
        node=node,
        links=(
            Link(name="lo", index=1, addresses=("127.0.0.1/8",)),
            Link(name="ens4", index=2, kind="veth", mtu_bytes=1460, addresses=(f"{NODE_ADDRESSES[node]}/24",)),
            Link(
                name="vxlan.calico",
                index=3,
                kind="vxlan",
                mac=vtep_mac(node),
                mtu_bytes=1410,
                addresses=(f"{CALICO_VTEPS[node]}/32",),
                vxlan=vxlan,
            ),
            Link(name=CALI[node], index=4, kind="veth", mac="ee:ee:ee:ee:ee:ee"),
        ),
        routes=(
            Route(destination=own, device=CALI[node]),
            *(Route(destination=CALICO_PODS[other], gateway=CALICO_VTEPS[other], device="vxlan.calico") for other in others),
        ),
        lookups=(
            RouteLookup(destination=own, device=CALI[node]),
            *(
                RouteLookup(
                    destination=CALICO_PODS[other], source=own, input=CALI[node], gateway=CALICO_VTEPS[other], device="vxlan.calico"
                )
                for other in others
            ),
            *(RouteLookup(destination=NODE_ADDRESSES[other], device="ens4") for other in others),
        ),
        neighbours=tuple(Neighbour(address=CALICO_VTEPS[o], device="vxlan.calico", mac=vtep_mac(o), states=("PERMANENT",)) for o in others),
        fdb=tuple(FdbEntry(mac=vtep_mac(o), device="vxlan.calico", destination=NODE_ADDRESSES[o]) for o in others),
    )


def flannel(node: str) -> NodeFacts:
    """A node as flannel sets it up: veths on the bridge cni0, a route for each other node."""
    others = [name for name in NODE_ADDRESSES if name != node]
    own, pod_mac, veth = FLANNEL_PODS[node], f"0a:00:00:00:00:0{node[-1]}", f"veth{node[-1]}"
    vxlan = VxlanDevice(vni=1, port=8472, local=NODE_ADDRESSES[node], device="eth0")
    return NodeFacts(
        node=node,
        links=(
            Link(name="eth0", index=2, addresses=(f"{NODE_ADDRESSES[node]}/24",)),
            Link(name="flannel.1", index=3, kind="vxlan", mac=vtep_mac(node), addresses=(f"{FLANNEL_VTEPS[node]}/32",), vxlan=vxlan),
            Link(name="cni0", index=4, kind="bridge", addresses=(f"{own.rsplit('.', 1)[0]}.1/24",)),
            Link(name=veth, index=5, kind="veth", master="cni0"),
        ),
        lookups=(
            RouteLookup(destination=own, device="cni0"),
            *(
                RouteLookup(destination=FLANNEL_PODS[o], source=own, input="cni0", gateway=FLANNEL_VTEPS[o], device="flannel.1")
                for o in others
            ),
            *(RouteLookup(destination=NODE_ADDRESSES[o], device="eth0") for o in others),
        ),
        neighbours=(
            Neighbour(address=own, device="cni0", mac=pod_mac, states=("REACHABLE",)),
            *(Neighbour(address=FLANNEL_VTEPS[o], device="flannel.1", mac=vtep_mac(o), states=("PERMANENT",)) for o in others),
        ),
        fdb=(
            FdbEntry(mac=pod_mac, device=veth, master="cni0"),
            *(FdbEntry(mac=vtep_mac(o), device="flannel.1", destination=NODE_ADDRESSES[o]) for o in others),
        ),
    )


def canal(node: str) -> NodeFacts:
    """A node as Canal sets it up: flannel's device, forwarding and routes between nodes, Calico's interface and route for each pod."""
    facts, pod = flannel(node), FLANNEL_PODS[node]
    kept = tuple(link for link in facts.links if link.name in ("eth0", "flannel.1"))
    return replace(
        facts,
        links=(*kept, Link(name=CALI[node], index=4, kind="veth", mac="ee:ee:ee:ee:ee:ee")),
        routes=(Route(destination=pod, device=CALI[node]),),
        lookups=(
            RouteLookup(destination=pod, device=CALI[node]),
            *(replace(each, input=CALI[node] if each.input else None) for each in facts.lookups if each.destination != pod),
        ),
        neighbours=tuple(each for each in facts.neighbours if each.device == "flannel.1"),
        fdb=tuple(each for each in facts.fdb if each.device == "flannel.1"),
    )


def answer_instead(facts: NodeFacts, changed: RouteLookup) -> NodeFacts:
    """`facts` with every answer for that destination replaced by one."""
    kept = tuple(each for each in facts.lookups if each.destination != changed.destination)
    return replace(facts, lookups=(*kept, changed))
