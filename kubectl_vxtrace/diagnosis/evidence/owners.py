"""Whose an address is: what the API says of it, and which interface of its node the pod that has it hangs on."""

from kubectl_vxtrace.model.cluster import Scope
from kubectl_vxtrace.model.datapath import PodInterface
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Flow


def is_nobodys(case: Case, flow: Flow) -> bool:
    """Whether the server's address was asked for as such and the API has no pod, node or Service with it.

    A node's own addresses that the API does not know are the node's. Without a listing of everything nothing is said.
    """
    snapshot, server = case.recording.snapshot, flow.server
    if snapshot is None or snapshot.scope is not Scope.WIDE or server is None or flow.service is not None:
        return False
    if server.pod is not None or server.host_network:
        return False
    known = [each.addresses for each in snapshot.pods]
    known += [each.addresses for each in snapshot.nodes] + [each.addresses for each in snapshot.services]
    return not any(server.address in addresses for addresses in known)


def all_pods_listed(case: Case) -> bool:
    """Whether the listing held the pods of all namespaces."""
    snapshot = case.recording.snapshot
    return snapshot is not None and not any(kind.startswith("pods") for kind in snapshot.missing)


def pod_interfaces(facts: NodeFacts, address: str) -> tuple[PodInterface, ...]:
    """The interfaces, loopback aside, of the network namespace on that node which has `address`; none where no such one was seen."""
    spaces = (space for space in facts.pod_namespaces if any(has_address(each, address) for each in space.interfaces))
    return next((tuple(each for each in space.interfaces if each.name != "lo") for space in spaces), ())


def has_address(interface: PodInterface, address: str) -> bool:
    """Whether a pod's interface has just that address."""
    return address in {prefix.partition("/")[0] for prefix in interface.prefixes}


def host_end(facts: NodeFacts, address: str) -> Link | None:
    """The node's end of the interface of the pod that has `address`; None where its namespace does not name it."""
    indexes = {each.host_index for each in pod_interfaces(facts, address) if has_address(each, address)} - {None}
    return next((link for link in facts.links if link.index in indexes), None)
