"""Names and addresses of a lab in texts that speak of it: `{ada-ec-1.address}`, `{web.host_interface}`, `{kube-dns.cluster_ip}`.

What stands before the dot is a node or a service by its name, or a pod by what it is (`ROLES`); what stands behind it is an attribute of
the records (tests/datapath/records.py), with a number in brackets an address of that network by its place. A service without an attribute
is its address and first port.
"""

import re

from tests.datapath import servers, wiring
from tests.datapath.records import Lab, LabNode, LabPod, LabService

_WORD = re.compile(r"\{([a-z][a-z0-9-]*)(?:\.([a-z_]+))?(?:\[(-?\d+)\])?\}")


def pods(lab: Lab) -> dict[str, LabPod]:
    """Pods by what they are: `client`; `web` and `dns-2` on ada-ec-2, `dns-3` on ada-ec-3, `rqlite` on the client's node; `host-N`, a
    pod on the network of ada-ec-N."""
    roles = {"client": servers.client(lab)}
    for pod in lab.pods:
        workload, place = pod.containers[0].name, (pod.node or "")[-1:]
        if workload == "slackernews":
            roles["web"] = pod
        elif workload == "kotsadm-rqlite":
            roles["rqlite"] = pod
        elif workload == "coredns":
            roles[f"dns-{place}"] = pod
        elif workload == "kube-proxy":
            roles[f"host-{place}"] = pod
    return roles


def filled(lab: Lab, text: str) -> str:
    """The text with all of them filled in; other braces stay.

    Raises:
        KeyError, AttributeError, TypeError: the lab has no such thing.
    """
    named: dict[str, LabNode | LabPod | LabService] = {node.name: node for node in lab.nodes}
    named |= {service.name: service for service in lab.services}
    named |= pods(lab)
    constants = {
        "question": servers.QUESTION,
        "pods": lab.pod_cidr,
        "gateway": wiring.GATEWAY,
        "vxlan": lab.nodes[0].vtep_interface,
        "nic": lab.nodes[0].underlay_interface,
        "port": str(lab.nodes[0].vxlan_port),
    }

    def value(match: re.Match[str]) -> str:
        name, attribute, place = match.groups()
        if attribute is None:
            found = named.get(name)
            return f"{found.cluster_ip}:{found.ports[0].port}" if isinstance(found, LabService) else constants[name]
        of = named[name]
        if place is not None and isinstance(of, LabNode):
            return wiring.address_in(of, int(place))
        return str(getattr(of, attribute))

    return _WORD.sub(value, text)


def namespace(lab: Lab, place: str) -> str:
    """The network namespace of a node, a pod or the `fabric`.

    Raises:
        KeyError: there is no such place, or the pod does not run.
    """
    if place == "fabric":
        return lab.fabric
    found = {node.name: node.netns for node in lab.nodes} | {name: pod.netns or "" for name, pod in pods(lab).items()}
    return found[place]
