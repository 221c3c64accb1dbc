"""Reading a node's own tables: what its kernel answered to a lookup, and who owns an address. No routing is simulated here."""

from collections.abc import Sequence
from typing import Final

from kubectl_vxtrace.model.facts import PAIR_KINDS, FdbEntry, Link, NodeFacts, RouteLookup

_BRIDGES: Final = ("bridge", "openvswitch")
# Neighbour states in which the kernel has no usable MAC (ip-neighbour(8)).
_UNUSABLE: Final = frozenset({"FAILED", "INCOMPLETE"})
LINK_LOCAL: Final = "fe80:"
"""How the link-local addresses begin that the kernel gives each IPv6 device (RFC 4291, 2.5.6)."""
_CONFIRMED: Final = frozenset({"REACHABLE", "DELAY", "PROBE"})
# RFC 2863, 6 (ifOperStatus), as iproute2 spells it.
_NO_LINK: Final = frozenset({"DOWN", "LOWERLAYERDOWN", "NOTPRESENT"})


def bare_address(text: str) -> str:
    """An address without its prefix length."""
    return text.partition("/")[0]


def lookup(facts: NodeFacts, destination: str, *, source: str | None = None) -> RouteLookup | None:
    """The kernel's answer for `destination`, None if it was not asked.

    The answer for packets from `source` is preferred, for a forwarding node may decide otherwise than for its own packets.
    """
    answers = [answer for answer in facts.lookups if answer.destination == destination]
    exact = [answer for answer in answers if source is not None and answer.source == source]
    plain = [answer for answer in answers if answer.source is None]
    return next(iter(exact or plain or answers), None)


def host_route_device(facts: NodeFacts, address: str) -> str | None:
    """The device of a route to exactly this address without a gateway: how CNIs with one route for each pod name its interface."""
    exact = (address, f"{address}/{128 if ':' in address else 32}")
    found = (route for route in facts.routes if route.destination in exact and route.type == "unicast" and route.gateway is None)
    return next((route.device for route in found if route.device is not None), None)


def usable(answer: RouteLookup | None) -> bool:
    """Whether the kernel would send: it named a device and did not refuse."""
    return answer is not None and answer.error is None and answer.type == "unicast" and answer.device is not None


def leads_to_pod(facts: NodeFacts, answer: RouteLookup, own: Sequence[str]) -> bool:
    """Whether a lookup leads to an interface that may be a pod's, or its bridge: none with a gateway, loopback, tunnel, NIC that has one of
    the node's `own` addresses, or veth whose other end is the node's own too."""
    pairs = (link.name for link in facts.links if link.peer is not None)
    others = {"lo", *pairs, *(link.name for link in vxlan_links(facts)), *(owner_of(facts, address) for address in own)}
    return usable(answer) and answer.gateway is None and answer.device not in others


def describe(answer: RouteLookup | None) -> str:
    """A lookup's answer in words."""
    if answer is None:
        return "it was not asked"
    if answer.error is not None:
        return f"the kernel says {answer.error}"
    via = f" via {answer.gateway}" if answer.gateway is not None else ""
    return f"{answer.type} route{via} dev {answer.device}"


def vxlan_links(facts: NodeFacts) -> tuple[Link, ...]:
    """The node's VXLAN devices."""
    return tuple(link for link in facts.links if link.vxlan is not None)


def hears(receiver: Link, sender: Link) -> bool:
    """Whether a VXLAN device takes what another one sends: VNI, port and family are the same. Of one in metadata mode nobody knows."""
    mine, theirs = receiver.vxlan, sender.vxlan
    if mine is None or theirs is None or mine.external or theirs.external or None in (mine.vni, mine.port):
        return False
    families = {":" in device.local for device in (mine, theirs) if device.local is not None}
    return (mine.vni, mine.port) == (theirs.vni, theirs.port) and len(families) < 2


def is_bridge(facts: NodeFacts, device: str) -> bool:
    """Whether `device` is a bridge."""
    link = facts.link(device)
    return link is not None and link.kind in _BRIDGES


def owner_of(facts: NodeFacts, address: str) -> str | None:
    """The interface that has `address`, loopback and VXLAN devices aside."""
    found = (link for link in facts.links if address in map(bare_address, link.addresses))
    return next((link.name for link in found if link.vxlan is None and link.name != "lo"), None)


def neighbour_mac(facts: NodeFacts, address: str, device: str) -> str | None:
    """The MAC that the node would send to for `address` on `device`, None if it has no usable entry."""
    found = (each for each in facts.neighbours if each.address == address and each.device == device)
    return next((each.mac.lower() for each in found if each.mac is not None and not _UNUSABLE.intersection(each.states)), None)


def _fdb(facts: NodeFacts, mac: str) -> list[FdbEntry]:
    return [entry for entry in facts.fdb if entry.mac.lower() == mac.lower()]


def fdb_destination(facts: NodeFacts, mac: str, device: str) -> str | None:
    """The underlay address that the forwarding database of a VXLAN device names for `mac`."""
    return next((entry.destination for entry in _fdb(facts, mac) if entry.device == device and entry.destination is not None), None)


def bridge_port(facts: NodeFacts, mac: str, bridge: str) -> str | None:
    """The port of `bridge` behind which `mac` was learned."""
    for entry in _fdb(facts, mac):
        link = facts.link(entry.device)
        master = entry.master or (link.master if link is not None else None)
        if master == bridge and entry.device != bridge:
            return entry.device
    return None


def recently_confirmed(facts: NodeFacts, address: str, device: str) -> bool:
    """Whether the neighbour answered within about a minute: the kernel still counts on its entry (RFC 4861, 7.3.2; arp(7))."""
    found = (each for each in facts.neighbours if (each.address, each.device) == (address, device) and each.mac is not None)
    return any(_CONFIRMED.intersection(each.states) for each in found)


def carries(facts: NodeFacts, device: str) -> bool:
    """Whether an interface is up and has a link; what is not known to be without one has one."""
    link = facts.link(device)
    return link is None or (link.up and link.operstate not in _NO_LINK)


def only_bridge(facts: NodeFacts) -> str | None:
    """The node's bridge, None if it has none or several."""
    found = [link.name for link in facts.links if link.kind in _BRIDGES]
    return found[0] if len(found) == 1 else None


def unclaimed_ports(facts: NodeFacts, bridge: str, address: str) -> tuple[str, ...]:
    """The ports of `bridge` that may be those of the pod with `address`: all but the ones behind which another address of its family is."""
    others = [each for each in facts.neighbours if each.device == bridge and each.mac is not None and each.address != address]
    same_family = [each for each in others if (":" in each.address) == (":" in address)]
    claimed = {bridge_port(facts, each.mac, bridge) for each in same_family if each.mac is not None}
    return tuple(link.name for link in facts.links if link.master == bridge and link.name not in claimed)


def neighbour_device(facts: NodeFacts, address: str) -> str | None:
    """The one pod's interface on which the node knows a neighbour with `address`."""
    devices = {each.device for each in facts.neighbours if each.address == address and each.mac is not None}
    found = [link.name for link in pod_ends(facts) if link.name in devices]
    return found[0] if len(found) == 1 else None


def pod_ends(facts: NodeFacts) -> tuple[Link, ...]:
    """The ends of pairs of interfaces that lead into other namespaces and hang on no bridge; a node's NIC, which may be such an end where
    the node itself is a container, has an address."""
    pairs = (link for link in facts.links if link.kind in PAIR_KINDS and link.peer_index is not None and link.master is None)
    return tuple(link for link in pairs if all(address.startswith(LINK_LOCAL) for address in link.addresses))
