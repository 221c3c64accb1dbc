"""What filters have to know of a node: which networks it has at home (its own addresses and its pods'), which interfaces have Ethernet."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Tap

# Each is tested twice for every packet; Calico's blocks of 64 addresses make a few of them (docs: IPAM, block size).
_MOST = 32
_ETHERNET_ADDRESS = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
# Kinds of `ip -d link` whose devices carry packets without a header of a link; a tap device is of kind tun as well, and has an address.
_WITHOUT_ETHERNET = frozenset({"tun", "wireguard", "ppp", "ipip", "ip6tnl", "sit", "gre", "ip6gre", "vti", "vti6", "xfrm"})


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


def has_ethernet(facts: Iterable[NodeFacts], tap: Tap) -> bool:
    """Whether frames at a tap have Ethernet headers, and with these perhaps VLAN tags; so where nothing is known of its interface.

    libpcap gives the others the link types RAW or LINUX_SLL (map_arphrd_to_dlt in its pcap-linux.c). Tunnels of IP have an IP address
    where `ip link` shows a hardware address.
    """
    named = (link for each in facts if each.node == tap.node for link in each.links if link.name == tap.interface)
    link = next(named, None)
    if link is None:
        return True
    if link.mac is None:
        return link.kind not in _WITHOUT_ETHERNET
    return _ETHERNET_ADDRESS.fullmatch(link.mac) is not None
