"""What differs between the two IP versions in the lab: addresses, prefix lengths, and the tools that write rules.

A lab has one version, and its addresses tell which: all that is derived from a node or a pod asks its address.
"""

import ipaddress

FAMILIES = ("4", "6")


def is_six(address: str) -> bool:
    """Whether an address or a prefix is one of IPv6."""
    return ":" in address


def lab_address(family: str, four: str) -> str:
    """The lab's address in a family where it is `four` in IPv4: 10.244.114.75 is fd00:10:244::114:4b (unique local, RFC 4193)."""
    if family == "4":
        return four
    first, second, third, last = ipaddress.IPv4Address(four).packed
    return str(ipaddress.IPv6Address(f"fd00:{first}:{second}::{third}:{last:x}"))


def lab_network(family: str, four: str) -> str:
    """The same of a prefix: each of IPv4's numbers is a group of its own there. A part of the last one keeps its number of addresses."""
    if family == "4":
        return four
    network = ipaddress.IPv4Network(four)
    bits = 128 - (32 - network.prefixlen) if network.prefixlen > 24 else 112 if network.prefixlen == 24 else 48
    return str(ipaddress.IPv6Network((lab_address(family, str(network.network_address)), bits), strict=False))


def prefix_bits(address: str) -> int:
    """The prefix length of the network between nodes, and of the one that pods on a bridge share."""
    return 112 if is_six(address) else 24


def alone(address: str) -> str:
    """The prefix of one address."""
    return f"{address}/{128 if is_six(address) else 32}"


def nth(prefix: str, place: int) -> str:
    """An address of a prefix by its place, from the end if negative."""
    return str(ipaddress.ip_network(prefix)[place])


def on_device(address: str, bits: int | None = None) -> str:
    """ip-address(8): an address that counts at once, without the second in which IPv6 asks whether anybody else has it (RFC 4862, 5.4)."""
    if is_six(address):
        return f"{address}/{128 if bits is None else bits} nodad"
    return f"{address}/32" if bits is None else f"{address}/{bits} brd +"


def iptables(address: str) -> str:
    """The tool for the rules of that address's family; with `-restore` behind it the one that loads them."""
    return "ip6tables" if is_six(address) else "iptables"


def host_port(address: str, port: int) -> str:
    """ADDRESS:PORT, in brackets where the address has colons (RFC 3986, 3.2.2)."""
    return f"[{address}]:{port}" if is_six(address) else f"{address}:{port}"
