"""What the cluster consists of while it runs, in the records of tests/datapath, so that its faults can be switched on here."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from tests.cluster import cgroups, workloads
from tests.cluster.kubectl import Kubectl
from tests.datapath import shape
from tests.datapath.records import Lab, LabContainer, LabNode, LabPod, LabPort
from tests.datapath.tools import LabError


def lab(plan: Lab, kubectl: Kubectl) -> Lab:
    """The plan with what flannel and Kubernetes have chosen: blocks, MACs, pods' addresses. Raises LabError."""
    nodes = plan.nodes if plan.backend == "calico" else tuple(_flannel_node(node, kubectl) for node in plan.nodes)
    uid = kubectl.run("get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}")
    pods = tuple(_pod(plan.backend, item) for item in kubectl.items("pods"))
    return dataclasses.replace(plan, nodes=nodes, pods=pods, services=workloads.blueprint(plan).services, cluster_uid=uid)


def inside(pod: LabPod, command: Sequence[str]) -> list[str]:
    """The command line of a command of this machine in a pod's network namespace. Raises LabError where the pod has no process."""
    processes = cgroups.processes_of(pod.node or "", pod.uid)
    if not processes:
        raise LabError(f"{pod.namespace}/{pod.name} does not run")
    return ["nsenter", f"--target={processes[0]}", "--net", *command]


def _flannel_node(node: LabNode, kubectl: Kubectl) -> LabNode:
    """What is on the node's VXLAN device, or was when flannel last published it."""
    found = json.loads(kubectl.run("get", "node", node.name, "--output", "json"))
    backend = json.loads(found["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-data"])
    cidr = found["spec"]["podCIDR"]
    return dataclasses.replace(
        node,
        uid=found["metadata"]["uid"],
        pod_cidr=cidr,
        vtep_address=cidr.partition("/")[0],
        vtep_mac=backend["VtepMAC"],
        vni=backend["VNI"],
    )


def _pod(backend: str, item: dict[str, Any]) -> LabPod:
    """A pod of the API. The node's end of its veth is known by its name with Calico's shape only."""
    metadata, spec, status = item["metadata"], item["spec"], item["status"]
    owner = next((each for each in metadata.get("ownerReferences", []) if each.get("controller")), None)
    own_network = not spec.get("hostNetwork") and status.get("podIP") is not None
    calico = backend == "calico" and own_network
    return LabPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        node=spec.get("nodeName"),
        address=status.get("podIP"),
        netns=None,
        host_interface=shape.host_interface(backend, metadata["namespace"], metadata["name"]) if calico else None,
        labels=metadata.get("labels", {}),
        owner=None if owner is None else f"{owner['kind'].lower()}/{owner['name']}",
        host_network=bool(spec.get("hostNetwork")),
        containers=tuple(_container(each) for each in spec["containers"]),
        phase=status["phase"],
    )


def _container(item: dict[str, Any]) -> LabContainer:
    ports = tuple(
        LabPort(name=port.get("name", ""), port=port["containerPort"], protocol=port.get("protocol", "TCP"))
        for port in item.get("ports", [])
    )
    return LabContainer(name=item["name"], image=item["image"], ports=ports)
