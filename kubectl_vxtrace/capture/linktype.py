"""What libpcap makes of an interface: with Ethernet headers or without, as far as filters have to know."""

import re
from collections.abc import Iterable

from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Tap

_ETHERNET_ADDRESS = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
# Kinds of `ip -d link` whose devices carry packets without a header of a link; a tap device is of kind tun as well, and has an address.
_WITHOUT_ETHERNET = frozenset({"tun", "wireguard", "ppp", "ipip", "ip6tnl", "sit", "gre", "ip6gre", "vti", "vti6", "xfrm"})


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
