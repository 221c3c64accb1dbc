"""The addresses by which a node itself may send, as its interfaces have them."""

from collections.abc import Sequence
from ipaddress import ip_address

from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.facts import NodeFacts


def sending_addresses(node: str, looks: Sequence[NodeFacts]) -> tuple[str, ...]:
    """What a process in the node's own network may send to other nodes with: a route's `src`, or what it binds to, may name any of these.

    Not loopback and link-local addresses, nor those that another node has as well (docker0's), nor those of dummy interfaces: kube-proxy's
    IPVS mode and NodeLocal DNSCache put the addresses of Services there.
    """
    of_others = {address for look in looks if look.node != node for link in look.links for address in link.addresses}
    own = (address for look in looks if look.node == node for link in look.links if link.kind != "dummy" for address in link.addresses)
    return unique(address for address in own if goes_far(address) and address not in of_others)


def goes_far(text: str) -> bool:
    """Whether a node's text is an address that may be seen on another node."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return "%" not in text and not address.is_link_local and not address.is_loopback
