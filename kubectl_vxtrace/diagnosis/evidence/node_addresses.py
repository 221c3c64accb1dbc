"""Which underlay addresses a node has, which are published for it, and who else has or claims them."""

from ipaddress import ip_interface

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.journeys import Case

# Where Calico (libcalico-go, lib/backend/k8s/conversion) and flannel (pkg/subnet/kube) publish a node's underlay address.
_PUBLISHED = (
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ip-overwrite",
    "flannel.alpha.coreos.com/public-ipv6",
)


def owned_addresses(case: Case, node: str) -> frozenset[str]:
    """The addresses of a node: those that it has said of its interfaces, else the one that is known of its VTEP."""
    return node_facts.own_addresses(case, node) or node_facts.underlay_addresses(case, node)


def _records(case: Case, node: str) -> list[Node]:
    snapshot = case.recording.snapshot
    return [record for record in snapshot.nodes if record.name == node] if snapshot is not None else []


def is_node_address(case: Case, address: str) -> bool:
    """Whether an address is that of a node and not of a pod: an outer one of its tunnel, or one that the API has."""
    snapshot, vteps = case.recording.snapshot, case.recording.overlay.vteps
    in_api = any(address in node.addresses for node in snapshot.nodes) if snapshot is not None else False
    return in_api or any(vtep.underlay_address == address for vtep in vteps)


def recorded_addresses(case: Case, node: str) -> frozenset[str]:
    """The node's InternalIPs and ExternalIPs, as the API has them."""
    return frozenset(address for record in _records(case, node) for address in record.addresses)


def published_addresses(case: Case, node: str) -> frozenset[str]:
    """The underlay addresses that the CNI has published for a node; empty where none was read. Text that is no address is left out."""
    texts = [record.annotations[key] for record in _records(case, node) for key in _PUBLISHED if key in record.annotations]
    return frozenset(address for text in texts if (address := _address(text)) is not None)


def _address(text: str) -> str | None:
    try:
        return str(ip_interface(text).ip)
    except ValueError:
        return None


def other_owners(case: Case, address: str, receiver: str) -> dict[str, str]:
    """Nodes but `receiver` that have an underlay address or claim it, each with how that is known; interfaces come before claims.

    A claim of a node that is not ready is that of a machine that this one may have replaced.
    """
    owners: dict[str, str] = {}
    for facts in (*case.recording.after, *case.recording.before):
        for link in facts.links:
            if facts.node != receiver and address in link.addresses:
                owners.setdefault(facts.node, f"{facts.node}/{link.name} has the address {address}")
    snapshot = case.recording.snapshot
    for node in snapshot.nodes if snapshot is not None else ():
        if node.name != receiver and node.ready and address in published_addresses(case, node.name) | set(node.addresses):
            owners.setdefault(node.name, f"the API says that {address} is {node.name}'s")
    return owners


def right_address(case: Case, node: str, outer: str) -> str:
    """The address to which packets for `node` should go: one that it has, and that is published, its InternalIP, or its VTEP's."""
    end, owned = node_facts.vtep(case, node), owned_addresses(case, node) - {outer}
    own = {end.underlay_address} if end is not None and end.underlay_address is not None else set()
    best = next((known & owned for known in (published_addresses(case, node), recorded_addresses(case, node), own) if known & owned), owned)
    return ", ".join(sorted(best)) or "not known"
