"""What the nodes' kernels said, looked up: interfaces, settings, growth of counters, VXLAN devices, addresses."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from kubectl_vxtrace.diagnosis.judgement import PLAUSIBLE_FACTOR
from kubectl_vxtrace.model.facts import Link, NodeFacts, VxlanDevice
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role, Tap, Vtep


def before(case: Case, node: str) -> NodeFacts | None:
    """What `node` said before the capture, None if it was not asked."""
    return next((facts for facts in case.recording.before if facts.node == node), None)


def after(case: Case, node: str) -> NodeFacts | None:
    """What `node` said after the capture, None if it was not asked."""
    return next((facts for facts in case.recording.after if facts.node == node), None)


def looks(case: Case, node: str) -> tuple[NodeFacts, ...]:
    """All looks at `node`, the earlier first; none, one or two."""
    return tuple(facts for facts in (before(case, node), after(case, node)) if facts is not None)


def answered(facts: NodeFacts, question: str) -> bool:
    """Whether `question` was answered: an empty table is then an empty table. Its name is that of the raw answer (`neighbours`, `fdb`)."""
    return question not in facts.absent


def grown(case: Case, node: str, counter: str) -> int | None:
    """How much a counter of /proc or ethtool grew between the two looks; None where that cannot be told (not read, reset)."""
    first, last = before(case, node), after(case, node)
    if first is None or last is None or counter not in first.counters or counter not in last.counters:
        return None
    growth = last.counters[counter] - first.counters[counter]
    return growth if growth >= 0 else None


def link_grown(case: Case, node: str, interface: str, counter: str) -> int | None:
    """How much a counter of an interface grew; None as in `grown`, or where the interface was made anew in between."""
    first, last = link(before(case, node), interface), link(after(case, node), interface)
    if first is None or last is None or first.index != last.index or counter not in first.counters or counter not in last.counters:
        return None
    growth = last.counters[counter] - first.counters[counter]
    return growth if growth >= 0 else None


def link_grown_from_zero(case: Case, node: str, interface: str, counter: str) -> int | None:
    """`link_grown` of a counter that iproute2 leaves out while it is zero; None where the last look does not have it either."""
    first, last = link(before(case, node), interface), link(after(case, node), interface)
    if first is None or last is None or first.index != last.index or not first.counters or counter not in last.counters:
        return None
    growth = last.counters[counter] - first.counters.get(counter, 0)
    return growth if growth >= 0 else None


def growths(case: Case, node: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Counters of `node` whose name starts with `prefix` and that grew, with their growth."""
    first, last = before(case, node), after(case, node)
    if first is None or last is None:
        return
    for name, value in sorted(last.counters.items()):
        if name.startswith(prefix) and name in first.counters and value > first.counters[name]:
            yield name, value - first.counters[name]


def link_growths(case: Case, node: str, interface: str) -> Iterator[tuple[str, int]]:
    """Counters of an interface that grew, with their growth."""
    last = link(after(case, node), interface)
    for name in sorted(last.counters) if last is not None else ():
        growth = link_grown(case, node, interface, name)
        if growth:
            yield name, growth


def link(facts: NodeFacts | None, interface: str) -> Link | None:
    """The interface in one look, None if the look or the interface is missing."""
    return None if facts is None else facts.link(interface)


def links_of(case: Case, hop: Hop) -> tuple[Link, ...]:
    """The hop's interface in the looks that found it, the earlier first."""
    links = (link(facts, hop.tap.interface) for facts in looks(case, hop.tap.node))
    return tuple(found for found in links if found is not None)


def sysctls(case: Case, node: str, name: str) -> tuple[str, ...]:
    """The values of a sysctl in the looks at `node` that could tell."""
    return tuple(facts.sysctls[name] for facts in looks(case, node) if name in facts.sysctls)


def mtu_bytes(case: Case, hop: Hop) -> int | None:
    """What the last look that knows it said of the MTU of the hop's interface."""
    return next((link.mtu_bytes for link in reversed(links_of(case, hop)) if link.mtu_bytes), None)


def interface_state(case: Case, hop: Hop) -> str | None:
    """`down` or `absent` if both looks at the hop's node (one, where there is but one) found its interface so."""
    told = looks(case, hop.tap.node)
    if not told or not hop.tap.interface or not all(answered(facts, "links") for facts in told):
        return None
    links = links_of(case, hop)
    if not links:
        return "absent" if any(facts.links for facts in told) else None
    return "down" if not any(link.up for link in links) else None


def without_link(case: Case, hop: Hop) -> bool:
    """Whether all looks found the hop's interface set up and yet without a link: a veth's other end is down (RFC 2863, 6).

    Which of the two states the kernel says depends on whether it finds the other end in the same namespace (net/core/link_watch.c).
    """
    links = links_of(case, hop)
    return bool(links) and len(links) == len(looks(case, hop.tap.node)) and all(_has_no_carrier(link) for link in links)


def _has_no_carrier(link: Link) -> bool:
    return link.up and link.operstate in ("DOWN", "LOWERLAYERDOWN")


def vtep(case: Case, node: str) -> Vtep | None:
    """The VXLAN tunnel endpoint of `node`, as the overlay has it."""
    return next((vtep for vtep in case.recording.overlay.vteps if vtep.node == node), None)


def is_steered(case: Case, node: str) -> bool:
    """Whether programs and not routes decide where packets of pods go on `node` (NodeFacts.is_steered)."""
    return any(facts.is_steered for facts in looks(case, node))


def device_vnis(case: Case, hop: Hop) -> frozenset[int]:
    """The VNIs that the VXLAN device at `hop` was seen with; empty where unknown or in metadata mode."""
    devices, end = _vxlan_devices(case, hop)
    values = [device.vni for device in devices] if end is None else [end.vni]
    return frozenset(value for value in values if value is not None)


def device_ports(case: Case, hop: Hop) -> frozenset[int]:
    """The UDP ports that the VXLAN device at `hop` was seen with; empty where unknown."""
    devices, end = _vxlan_devices(case, hop)
    values = [device.port for device in devices] if end is None else [end.port]
    return frozenset(value for value in values if value is not None)


def _vxlan_devices(case: Case, hop: Hop) -> tuple[list[VxlanDevice], Vtep | None]:
    """What the looks said of the device at `hop`, none of it in metadata mode; where they said nothing, what the overlay knows of it."""
    devices = [link.vxlan for link in links_of(case, hop) if link.vxlan is not None]
    end = vtep(case, hop.tap.node)
    if devices or end is None or end.interface != hop.tap.interface:
        return ([] if any(device.external for device in devices) else devices), None
    return [], end


def own_addresses(case: Case, node: str) -> frozenset[str]:
    """The addresses that `node` has said of its interfaces."""
    return frozenset(address for facts in looks(case, node) for link in facts.links for address in link.addresses)


def underlay_addresses(case: Case, node: str) -> frozenset[str]:
    """Addresses on which `node` may receive the outer packet: those of its links, and the one the overlay names."""
    end = vtep(case, node)
    return own_addresses(case, node) | ({end.underlay_address} if end is not None and end.underlay_address is not None else set())


def all_addresses(case: Case, node: str) -> frozenset[str]:
    """All addresses of a node, that of its VXLAN device among them."""
    end = vtep(case, node)
    return underlay_addresses(case, node) | ({end.address} if end is not None and end.address is not None else set())


def covers(prefixes: Iterable[str], address: str) -> bool:
    """Whether an address is in one of `prefixes`; text that is none counts for nothing."""
    return any(_within(prefix, address) for prefix in prefixes)


def _within(prefix: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(prefix, strict=False)
    except ValueError:
        return False


def is_vxlan(hop: Hop | None) -> bool:
    """Whether the hop is a VXLAN device."""
    return hop is not None and hop.role is Role.VXLAN


def most_growth(case: Case, tap: Tap, packets: int) -> float | None:
    """The most that a counter between the two looks at a tap's node can have grown by so many lost packets of its capture alone, if the
    loss went on at its rate; None where the times are not known."""
    first, last = before(case, tap.node), after(case, tap.node)
    times = [
        (capture.started_ns, capture.stopped_ns)
        for capture in case.recording.captures
        if capture.task.tap == tap and capture.started_ns is not None and capture.stopped_ns is not None
    ]
    if first is None or last is None or not times or not first.taken_ns or not last.taken_ns:
        return None
    window_ns = max((times[0][1] or 0) - (times[0][0] or 0), 1)
    return packets * PLAUSIBLE_FACTOR * max((last.taken_ns - first.taken_ns) / window_ns, 1.0) + 2
