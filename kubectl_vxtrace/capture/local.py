"""Which networks a node has at home: its own addresses and its pods'."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from kubectl_vxtrace.model.facts import NodeFacts

# Each is tested twice for every packet; Calico's blocks of 64 addresses make a few of them (docs: IPAM, block size).
_MOST = 32


def local_networks(facts: NodeFacts) -> tuple[str, ...] | None:
    """The networks that a node with a route for each pod has at home; None if they are not known, or too many to filter by.

    Those are its own addresses, the blackholes for its blocks of pod addresses, and host routes without a gateway to an interface that is
    no VXLAN device (felix/dataplane/linux/endpoint_mgr.go, vxlan_mgr.go).
    """
    if not facts.routes or "routes" in facts.absent:
        return None
    four: list[IPv4Network] = []
    six: list[IPv6Network] = []
    for text in _at_home(facts):
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            continue
        if isinstance(network, IPv4Network):
            four.append(network)
        else:
            six.append(network)
    found = [str(network) for network in collapse_addresses(four)] + [str(network) for network in collapse_addresses(six)]
    return tuple(found) if 0 < len(found) <= _MOST else None


def _at_home(facts: NodeFacts) -> Iterator[str]:
    tunnels = {link.name for link in facts.links if link.vxlan is not None}
    for link in facts.links:
        yield from (address.partition("/")[0] for address in link.addresses)
    for route in facts.routes:
        is_host = "/" not in route.destination or route.destination.endswith(("/32", "/128"))
        straight = route.type == "unicast" and route.gateway is None and route.device not in tunnels
        if route.table is None and route.destination != "default" and (route.type == "blackhole" or (straight and is_host)):
            yield route.destination
