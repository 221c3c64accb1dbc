"""Whose an address is: what the API says of it, and which interface of its node the pod that has it hangs on."""

from kubectl_vxtrace.model.cluster import Scope
from kubectl_vxtrace.model.datapath import PodInterface
from kubectl_vxtrace.model.facts import NodeFacts
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
    spaces = facts.namespaces_with(address)
    return tuple(each for each in spaces[0].interfaces if each.name != "lo") if spaces else ()
