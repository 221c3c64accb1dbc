"""Nodes of Cilium's shape: what its agent knows of pods and Services, and the programs that it attaches (programs/steer.py)."""

import hashlib
import json
from pathlib import Path

from . import processes, servers
from .fault_record import TO_POD, TO_TUNNEL, Action, fault
from .records import Lab, LabNode, LabPod, write_json
from .shape import container, mac
from .wiring import STEERED_HOST, pod_mac


def attachment(namespace: str, name: str) -> str:
    """What Cilium calls the attachment of a pod's first interface."""
    return f"{container(namespace, name)}:eth0"


def identity(pod: LabPod) -> int:
    """The security identity of a pod's labels, from 256 on (Cilium's documentation, "Identity")."""
    labels = json.dumps([pod.namespace, dict(pod.labels)], sort_keys=True)
    return 256 + int.from_bytes(hashlib.sha256(labels.encode()).digest()[:2], "big") % 60_000


def agent(node: LabNode) -> str:
    """Name of a node's agent process."""
    return f"agent-{node.name}"


def start_agent(lab: Lab, node: LabNode, *, denied: tuple[tuple[str, str], ...] = (), hands_to_peer: bool = False) -> None:
    """Start a node's programs anew.

    Args:
        denied: addresses of pods, each with the direction, `Ingress` or `Egress`, in which nothing passes.
        hands_to_peer: packets for pods go past the node's end of their interface, as with BPF host routing.

    Raises:
        LabError: the kernel refused them; with its words.
    """
    stop_agent(lab, node)
    path = Path(lab.state_dir) / f"{agent(node)}.json"
    write_json(path, configuration(lab, node, denied=denied, hands_to_peer=hands_to_peer))
    log = Path(lab.state_dir) / processes.LOGS / f"{agent(node)}.log"
    log.unlink(missing_ok=True)
    servers.wait_said(lab, processes.start(lab.state_dir, agent(node), node.netns, servers.program("steer", str(path))), "attached")


def stop_agent(lab: Lab, node: LabNode) -> None:
    """End a node's programs."""
    processes.stop(lab.state_dir, [each for each in processes.recorded(lab.state_dir) if each.name == agent(node)])


def configuration(lab: Lab, node: LabNode, *, denied: tuple[tuple[str, str], ...], hands_to_peer: bool) -> dict[str, object]:
    """What programs/steer.py reads."""
    own = lab.pods_on(node.name)
    others = [pod for pod in lab.pods if pod.host_interface is not None and pod.node != node.name]
    return {
        "vxlan": node.vtep_interface,
        "nic": node.underlay_interface,
        "host": STEERED_HOST,
        "hands_to_peer": hands_to_peer,
        "pods": [
            {
                "address": pod.address,
                "interface": pod.host_interface,
                "mac": pod_mac(node, pod),
                "host_mac": host_mac(pod),
                "identity": identity(pod),
            }
            for pod in own
        ],
        "elsewhere": [{"address": pod.address, "node": lab.node(pod.node or "").address} for pod in others],
        "services": [
            {
                "address": service.cluster_ip,
                "port": port.port,
                "protocol": port.protocol,
                "backends": [pod.address for pod in lab.endpoints(service)],
            }
            for service in lab.services
            for port in service.ports
            if service.cluster_ip != "None" and lab.endpoints(service)
        ],
        "denied": [{"address": address, "direction": direction} for address, direction in denied],
    }


def host_mac(pod: LabPod) -> str:
    """The MAC address of the node's end of a pod's interface, which is its gateway's for the pod."""
    return mac("ba", f"{pod.namespace}.{pod.name}")


def _deny(direction: str) -> tuple[Action, Action]:
    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        pod = servers.dns_pod(lab, node) if direction == "Ingress" else servers.client(lab)
        start_agent(lab, node, denied=((pod.address or "", direction),))

    def undo(lab: Lab, node: LabNode, percent: int) -> None:
        start_agent(lab, node)

    return apply, undo


def hand_to_peers(lab: Lab) -> None:
    """On every node, as with BPF host routing."""
    for node in lab.nodes:
        start_agent(lab, node, hands_to_peer=True)


_CILIUM = ("cilium",)
FAULTS = (
    fault("network-policy-drop@program", "request", TO_POD, _deny("Ingress"), needs=servers.dns_pod, backends=_CILIUM),
    fault("network-policy-drop@program-egress", "request", TO_TUNNEL, _deny("Egress"), at_client=True, backends=_CILIUM),
)
