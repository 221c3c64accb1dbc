"""The addresses that a trace must know packets by, and the connections that name some of them."""

from collections.abc import Iterable

from kubectl_vxtrace.journeys.addresses import AddressBook
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.recording import Recording


def client_addresses(recording: Recording, client: Endpoint) -> tuple[str, ...]:
    """The client's addresses: for one in the host's network also its node's VTEP, which its packets carry into the tunnel."""
    own = [vtep.address for vtep in recording.overlay.vteps if client.host_network and vtep.node == client.node and vtep.address]
    return (client.address, *own)


def address_book(recording: Recording, connections: Iterable[ConntrackEntry]) -> AddressBook:
    """All addresses that flows, VTEPs and the connections of the clients name."""
    texts: list[str] = []
    services = {flow.service.address for flow in recording.flows if flow.service}
    for flow in recording.flows:
        texts += client_addresses(recording, flow.client)
        texts += [flow.service.address] if flow.service and flow.service.address else []
        texts += [flow.server.address] if flow.server else []
    clients = set(texts)
    for entry in connections:
        if entry.original_source in clients:
            texts.append(entry.reply_destination)
            texts += [entry.reply_source] if entry.original_destination in services else []
    return AddressBook(texts)


def connections_of(recording: Recording) -> tuple[ConntrackEntry, ...]:
    """All conntrack entries of all nodes, before and after."""
    return tuple(entry for facts in (*recording.before, *recording.after) for entry in facts.conntrack)
