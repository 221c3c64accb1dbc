"""The overlay: each node's VXLAN device, as its kernel describes it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node
from kubectl_vxtrace.model.cni import Cni
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.path import Flow, Overlay, Vtep
from kubectl_vxtrace.topology.cni import CNIS, backend_of, is_known_device
from kubectl_vxtrace.topology.ends import first_address, first_of, version_of
from kubectl_vxtrace.topology.kernel import LINK_LOCAL, bare_address, hears, lookup, vxlan_links
from kubectl_vxtrace.topology.resolve import flow_nodes

# Tunnels of other kinds, for the message where there is no VXLAN device (`ip -d link`, info_kind).
_OTHER_TUNNELS: Final = ("geneve", "ipip", "wireguard", "gre", "sit")


def read_overlay(snapshot: ClusterSnapshot | None, facts: Sequence[NodeFacts], flows: Sequence[Flow]) -> Overlay:
    """The overlay that `flows` take, with a VTEP for each node of the path.

    Of several VXLAN devices on a node the one counts that the kernel's route to the remote ends uses, unless none of the other nodes speaks
    to it and they do to another one; else the one that other nodes use, else one that any route uses. A node that answered but has no
    such device gets no VTEP: that is evidence. A node that did not answer gets one made of what the CNI has published in the API, without
    VNI, port and MTU.

    Raises:
        CannotRunError: no node of the path has a VXLAN device.
    """
    answered = {each.node: each for each in facts if each.links}
    own = {node: _device_in_use(each, flows) for node, each in answered.items()}
    voters = [node for node, each in answered.items() if _routed_devices(each, flows)]
    own |= {node: _spoken_to(answered[node], own[node], [own[other] for other in voters if other != node]) for node in voters}
    votes = Counter(link.name for node, link in own.items() if link is not None and (not voters or node in voters))
    if not votes:
        raise _no_device(facts, flows)
    elected = min(votes, key=lambda name: (-votes[name], name))
    by_name = {node.name: node for node in snapshot.nodes} if snapshot is not None else {}
    vteps: list[Vtep] = []
    for node in dict.fromkeys([*flow_nodes(flows), *answered]):
        if node not in answered:
            vteps.append(_published(node, by_name.get(node), elected))
            continue
        link = own[node] if node in voters else _named(answered[node], elected) or own[node]
        if link is not None:
            vteps.append(_vtep(link, answered[node], by_name.get(node), flows))
    first = next(vtep for vtep in vteps if vtep.interface == elected and vtep.node in answered)
    interfaces = (link.name for each in answered.values() for link in each.links)
    return Overlay(backend=backend_of(elected, first.port, first.vni, interfaces), vteps=tuple(vteps))


def published_overlay(snapshot: ClusterSnapshot, flows: Sequence[Flow]) -> Overlay:
    """The overlay as the CNI has published it in the API, for a plan that no node was asked for.

    Addresses are what the annotations say; a device that is called after its VNI is named where they say the VNI. Ports, MTUs and other
    VNIs stand nowhere in the API and stay unknown.
    """
    by_name = {node.name: node for node in snapshot.nodes}
    devices = {name: _published_device(by_name.get(name)) for name in flow_nodes(flows)}
    vteps = tuple(_published(name, by_name.get(name), device) for name, device in devices.items())
    named = Counter(device for device in devices.values() if device)
    elected = max(named, key=lambda name: (named[name], name), default=None)
    return Overlay(backend=backend_of(elected, None, None) if elected is not None else None, vteps=vteps)


def _published_device(node: Node | None) -> str:
    """The name of the VXLAN device that goes with a node's annotations; empty where they name none."""
    said = node.annotations if node is not None else {}
    for cni in CNIS:
        if version_of(bare_address(_said(said, cni.annotations.tunnel))) == 4:
            return cni.device
        vni = _said_of_device(said, cni).get("VNI")
        # A VNI has 24 bits (RFC 7348, 5).
        if type(vni) is int and 0 < vni < 2**24:
            return cni.device.replace("*", str(vni))
    return ""


def _remote_ends(node: str, flows: Sequence[Flow]) -> list[tuple[str, str]]:
    """Pairs of a local and a remote address that flows of this node join."""
    pairs: list[tuple[str, str]] = []
    for flow in flows:
        for server in (flow.server, *flow.candidates):
            if server is not None and server.node != flow.client.node:
                pairs += [(flow.client.address, server.address)] if flow.client.node == node else []
                pairs += [(server.address, flow.client.address)] if server.node == node else []
    return pairs


def _routed_devices(facts: NodeFacts, flows: Sequence[Flow]) -> Counter[str]:
    """VXLAN devices by the number of remote ends that the kernel routes to them."""
    names = {link.name for link in vxlan_links(facts)}
    answers = (lookup(facts, remote, source=local) for local, remote in _remote_ends(facts.node, flows))
    return Counter(answer.device for answer in answers if answer is not None and answer.device in names)


def _device_in_use(facts: NodeFacts, flows: Sequence[Flow]) -> Link | None:
    """The node's device by the kernel's lookups, then by any route, then IPv4 before IPv6, then by the table of CNIs, then by name."""
    routed = _routed_devices(facts, flows)
    used = Counter(route.device for route in facts.routes if route.device is not None)

    def rank(link: Link) -> tuple[int, bool, bool, bool, str]:
        local = link.vxlan.local if link.vxlan is not None else None
        foreign = local is not None and version_of(local) != 4
        return (-routed[link.name], used[link.name] == 0, foreign, not is_known_device(link.name), link.name)

    return min(vxlan_links(facts), key=rank, default=None)


def _spoken_to(facts: NodeFacts, own: Link | None, peers: Sequence[Link | None]) -> Link | None:
    """The node's device that hears what the devices of its peers send: `own`, the one in use, or where that hears none of them another."""
    devices = (device for device in (own, *vxlan_links(facts)) if device is not None)
    return next((device for device in devices if any(peer is not None and hears(device, peer) for peer in peers)), own)


def _named(facts: NodeFacts, name: str) -> Link | None:
    return next((link for link in vxlan_links(facts) if link.name == name), None)


def _vtep(link: Link, facts: NodeFacts, node: Node | None, flows: Sequence[Flow]) -> Vtep:
    """In metadata mode a device has no VNI, whatever number the tool shows, and its own MTU leaves no room for outer headers: the routes to
    other nodes' pods have the one that counts."""
    device = link.vxlan
    remote = {address for _, address in _remote_ends(facts.node, flows)}
    routed = [answer.mtu_bytes for answer in facts.lookups if answer.destination in remote and answer.mtu_bytes is not None]
    is_external = device is not None and device.external
    return Vtep(
        node=facts.node,
        interface=link.name,
        address=_own_address(link, flows),
        underlay_address=(device.local if device is not None else None) or (first_address(node.addresses) if node is not None else None),
        mac=link.mac,
        vni=device.vni if device is not None and not is_external else None,
        port=device.port if device is not None else None,
        mtu_bytes=min(routed, default=link.mtu_bytes) if is_external else link.mtu_bytes,
    )


def _own_address(link: Link, flows: Sequence[Flow]) -> str | None:
    """A VXLAN device's address of the flows' IP version, else any but a link-local one, which each IPv6 device has."""
    addresses = [address for address in map(bare_address, link.addresses) if not address.startswith(LINK_LOCAL)]
    version = version_of(flows[0].client.address) if flows else None
    return (first_of(addresses, version) if version is not None else None) or first_address(addresses)


def _published(name: str, node: Node | None, interface: str) -> Vtep:
    """A VTEP made of the CNI's annotations on the node; they are foreign text, so only addresses are taken over."""
    said = node.annotations if node is not None else {}
    underlay = (bare_address(said.get(key, "")) for cni in CNIS for key in cni.annotations.underlay)
    tunnels = (bare_address(_said(said, cni.annotations.tunnel)) for cni in CNIS)
    macs = (_said_of_device(said, cni).get("VtepMAC") for cni in CNIS)
    return Vtep(
        node=name,
        interface=interface,
        address=first_address(tuple(tunnels)),
        underlay_address=first_address(tuple(underlay)) or (first_address(node.addresses) if node is not None else None),
        mac=next((mac for mac in macs if isinstance(mac, str)), None),
    )


def _said(annotations: Mapping[str, str], key: str | None) -> str:
    return annotations.get(key, "") if key is not None else ""


def _said_of_device(annotations: Mapping[str, str], cni: Cni) -> dict[str, object]:
    """The annotation that describes the device, a JSON object (`{"VNI":1,"VtepMAC":"..."}`); empty where it is anything else."""
    try:
        data = json.loads(_said(annotations, cni.annotations.device))
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _no_device(facts: Sequence[NodeFacts], flows: Sequence[Flow]) -> CannotRunError:
    """Says for every node of the path why it has no VXLAN device."""
    by_node = {each.node: each for each in facts}
    lines = [f"  {node}: {_why_none(by_node.get(node))}" for node in flow_nodes(flows)]
    if not any(each.links for each in facts):
        return CannotRunError(
            "no node of the path could be looked at:\n" + "\n".join(lines), "try again; is the debug image a whole netshoot?"
        )
    return CannotRunError(
        "no node of the path has a VXLAN device:\n" + "\n".join(lines),
        "this tool follows VXLAN overlays; look with `ip -d link show type vxlan` on the nodes, and at the CNI's configuration and pods",
    )


def _why_none(facts: NodeFacts | None) -> str:
    if facts is None:
        return "no debug pod looked"
    if not facts.links:
        reasons = "; ".join(f"{key}: {reason}" for key, reason in sorted(facts.absent.items())[:3])
        return f"its interfaces are not known{f' ({reasons})' if reasons else ''}"
    others = sorted(f"{link.name} ({link.kind})" for link in facts.links if link.kind in _OTHER_TUNNELS)
    return f"no VXLAN device; it has {', '.join(others)}" if others else "no VXLAN device"
