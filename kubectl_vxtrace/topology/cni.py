"""The networks that are known by name, one row each. Adding one is a row here and its tests: nothing else knows a plug-in's names.

Devices are found by kind and routes are asked of the kernel, so that any VXLAN network is followed, known or not. A row names it in the
report, says what to go by where a node does not answer or a route is lost, what to read in the API, and whose rules drop packets.

Two rows may share a device or annotations. Then the first counts, unless interfaces on the nodes are of the other's pods.
"""

import hashlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.cni import Cni, ManagedRules, NodeAnnotations, OwnKinds, PodInterfaces, PolicyKind
from kubectl_vxtrace.model.protocol import VXLAN_PORTS

_IANA_PORT, _LINUX_PORT = VXLAN_PORTS

# Felix is the agent of Calico, and of Canal: felix/rules/rule_defs.go, static.go, endpoints.go.
_FELIX: Final = ManagedRules(
    chains=("cali-",),
    enforces_policy=True,
    workload_chains=("cali-fw-", "cali-tw-"),
    fingerprint="cali:",
    policy_comments=("no policies passed",),
    foreign_vxlan_comments=("VXLAN packets from non-allowed hosts", "VXLAN encapped packets originating in workloads"),
    vxlan_sets=("cali40all-vxlan-net", "cali60all-vxlan-net"),
)
# flannel, pkg/trafficmngr/iptables.
_FLANNELD: Final = ManagedRules(chains=("FLANNEL-",))
# kube-router's policy controller, which k3s runs beside flannel: pkg/controllers/netpol.
_KUBE_ROUTER: Final = ManagedRules(chains=("KUBE-NWPLCY", "KUBE-POD-FW", "KUBE-ROUTER"), enforces_policy=True)

# libcalico-go, lib/names/workloadendpoint and the CNI plug-in's VethNameForWorkload; the prefix is Felix's default.
_CALICO_PODS: Final = PodInterfaces(prefix="cali", sha1_digits=11)
_CALICO_GROUP: Final = "crd.projectcalico.org/v1"
_CALICO_POLICIES: Final = (
    PolicyKind(kind="NetworkPolicy", plural="networkpolicies", is_namespaced=True),
    PolicyKind(kind="GlobalNetworkPolicy", plural="globalnetworkpolicies", is_namespaced=False),
)
_FELIX_SETTINGS: Final = "felixconfigurations"
_FELIX_VARIABLES: Final = ("FELIX_", "IP_AUTODETECTION_METHOD", "IP6_AUTODETECTION_METHOD")
# flannel, pkg/subnet/kube/annotations.go.
_FLANNEL_SAYS: Final = NodeAnnotations(
    prefixes=("flannel.alpha.coreos.com/",),
    underlay=(
        "flannel.alpha.coreos.com/public-ip",
        "flannel.alpha.coreos.com/public-ip-overwrite",
        "flannel.alpha.coreos.com/public-ipv6",
    ),
    device="flannel.alpha.coreos.com/backend-data",
)

CNIS: Final[tuple[Cni, ...]] = (
    # felix/config/config_params.go: VXLANPort 4789, VXLANVNI 4096. Annotations: libcalico-go, lib/backend/k8s/conversion. The DaemonSet
    # stands where the operator or the manifests put it.
    Cni(
        backend="calico-vxlan",
        device="vxlan.calico",
        port=_IANA_PORT,
        vni=4096,
        annotations=NodeAnnotations(
            prefixes=("projectcalico.org/",),
            underlay=("projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"),
            tunnel="projectcalico.org/IPv4VXLANTunnelAddr",
        ),
        pod_interfaces=_CALICO_PODS,
        kinds=OwnKinds(
            group=_CALICO_GROUP,
            policies=_CALICO_POLICIES,
            settings=_FELIX_SETTINGS,
            agents=(("calico-system", "calico-node"), ("kube-system", "calico-node")),
            agent_variables=_FELIX_VARIABLES,
        ),
        rules=(_FELIX,),
    ),
    # flannel, also k3s: pkg/backend/vxlan; its CNI plug-in hands pods to `bridge`, which makes cni0 (plugins/main/bridge).
    Cni(
        backend="flannel-vxlan",
        device="flannel.*",
        port=_LINUX_PORT,
        vni=1,
        annotations=_FLANNEL_SAYS,
        bridge="cni0",
        config_maps=(("kube-flannel", "kube-flannel-cfg"), ("kube-system", "kube-flannel-cfg")),
        rules=(_FLANNELD, _KUBE_ROUTER),
    ),
    # Canal, also RKE2's: flannel carries packets between nodes, Calico links pods and enforces policy (charts/calico with network flannel;
    # rke2-charts, packages/rke2-canal). Policy-only, calico-node annotates no node (node/pkg/lifecycle/startup/startup.go).
    Cni(
        backend="canal-vxlan",
        device="flannel.*",
        port=_LINUX_PORT,
        vni=1,
        annotations=_FLANNEL_SAYS,
        pod_interfaces=_CALICO_PODS,
        kinds=OwnKinds(
            group=_CALICO_GROUP,
            policies=_CALICO_POLICIES,
            settings=_FELIX_SETTINGS,
            agents=(("kube-system", "canal"), ("kube-system", "rke2-canal")),
            agent_variables=_FELIX_VARIABLES,
        ),
        config_maps=(("kube-system", "canal-config"), ("kube-system", "rke2-canal-config")),
        rules=(_FELIX, _FLANNELD),
    ),
    # Cilium: metadata mode, the VNI is the sender's identity. Annotations: pkg/annotation/k8s.go, before 1.14 without a slash; by default
    # there are none.
    Cni(
        backend="cilium-vxlan",
        device="cilium_vxlan",
        port=_LINUX_PORT,
        vni=None,
        annotations=NodeAnnotations(prefixes=("network.cilium.io/", "io.cilium.network")),
        # pkg/datapath/connector/utils.go, Endpoint2IfName; what is hashed is in the CiliumEndpoint (external-identifiers).
        pod_interfaces=PodInterfaces(prefix="lxc", attachment_digits=12),
        kinds=OwnKinds(
            group="cilium.io/v2",
            policies=(
                PolicyKind(kind="CiliumNetworkPolicy", plural="ciliumnetworkpolicies", is_namespaced=True, selects_endpoints=True),
                PolicyKind(
                    kind="CiliumClusterwideNetworkPolicy",
                    plural="ciliumclusterwidenetworkpolicies",
                    is_namespaced=False,
                    selects_endpoints=True,
                ),
            ),
            endpoints="ciliumendpoints",
        ),
    ),
)
UNNAMED_BACKEND: Final = "vxlan"
ANNOTATION_PREFIXES: Final = unique(prefix for cni in CNIS for prefix in cni.annotations.prefixes)
BRIDGES: Final = unique(cni.bridge for cni in CNIS)


def backend_of(device: str | None, port: int | None, vni: int | None, interfaces: Iterable[str] = ()) -> str:
    """The network that a VXLAN device's name gives away, else its port and VNI together; `vxlan` where neither does.

    Args:
        device, port, vni: of the device, as far as they are known.
        interfaces: all interfaces of the nodes; those of pods tell apart networks whose devices are alike.
    """
    named = [cni for cni in CNIS if device and fnmatchcase(device, cni.device)]
    numbered = [cni for cni in CNIS if cni.vni is not None and (port, vni) == (cni.port, cni.vni)]
    candidates = named or numbered
    names = tuple(interfaces)
    linked = [cni for cni in candidates if cni.pod_interfaces and any(name.startswith(cni.pod_interfaces.prefix) for name in names)]
    return next((cni.backend for cni in (*linked, *candidates)), UNNAMED_BACKEND)


def is_known_device(name: str) -> bool:
    """Whether an interface is called as a known network calls its VXLAN device."""
    return any(fnmatchcase(name, cni.device) for cni in CNIS)


def has_bridge(backend: str | None) -> bool:
    """Whether pods of that network hang on a bridge."""
    return any(cni.bridge is not None for cni in CNIS if cni.backend == backend)


def pod_interfaces(pod: str) -> tuple[str, ...]:
    """What the host's end of a pod (`NAMESPACE/NAME`) is called by networks that compute it from the pod's name."""
    digest = hashlib.sha1(pod.replace("/", ".", 1).encode(), usedforsecurity=False).hexdigest()
    rules = [cni.pod_interfaces for cni in CNIS if cni.pod_interfaces is not None]
    return unique(f"{rule.prefix}{digest[: rule.sha1_digits]}" for rule in rules if rule.sha1_digits is not None)


def network(backend: str | None) -> Cni | None:
    """The row of a network; None for one that has none."""
    return next((cni for cni in CNIS if cni.backend == backend), None)


def attached_interface(cni: Cni, attachment: str) -> str | None:
    """What the node's end of a pod's interface is called that the network's own object gives that attachment; None where none follows."""
    rule = cni.pod_interfaces
    if rule is None or rule.attachment_digits is None:
        return None
    return rule.prefix + hashlib.sha256(attachment.encode()).hexdigest()[: rule.attachment_digits]


def publishing(nodes: Sequence[Node], backend: str | None) -> tuple[Cni, ...]:
    """The networks whose annotations stand on a node, the overlay's `backend` first; of two that share them one: the overlay's, if any.

    The overlay's own is among them as well where it annotates no node.
    """
    keys = {key for node in nodes for key in node.annotations}
    by_annotations: dict[NodeAnnotations, Cni] = {}
    for cni in sorted(CNIS, key=lambda cni: cni.backend != backend):
        by_annotations.setdefault(cni.annotations, cni)

    def has_published(cni: Cni) -> bool:
        silent = cni.backend == backend and not cni.annotations.underlay
        return silent or any(key.startswith(cni.annotations.prefixes) for key in keys)

    return tuple(filter(has_published, by_annotations.values()))
