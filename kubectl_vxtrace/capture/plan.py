"""What to capture where: a tap once, however many paths pass it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kubectl_vxtrace.capture import bpf, tcpdump
from kubectl_vxtrace.capture.nodefacts import has_ethernet, local_networks
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.node_addresses import goes_far, sending_addresses
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Overlay, Path, Role, Tap
from kubectl_vxtrace.model.protocol import VXLAN_PORTS
from kubectl_vxtrace.model.recording import CapturePlan, CaptureTask
from kubectl_vxtrace.model.request import Limits


@dataclass(slots=True)
class _Watched:
    """One tap while it is planned: its role, and the flows' ends whose own interface (or bridge) it is.

    behind: the clients whose interface is the hop before it.
    """

    role: Role
    clients: dict[str, None] = field(default_factory=dict)
    servers: dict[str, None] = field(default_factory=dict)
    behind: dict[str, None] = field(default_factory=dict)


def plan_captures(
    *,
    limits: Limits,
    user_filter: str | None,
    flows: Sequence[Flow],
    paths: Sequence[Path],
    watch: Sequence[tuple[Tap, Role]],
    overlay: Overlay,
    facts: Sequence[NodeFacts],
) -> CapturePlan:
    """One capture for every tap of the paths and of `watch`, in the order in which packets pass them.

    A tap whose interface is not known, or has a name that cannot stand in a command, stays in the plan with an empty argv.

    Args:
        limits: duration, size and number of packets.
        user_filter: the user's own expression, which picks among what the client sends at its first hop.
        flows: the planned flows.
        paths: the paths of these flows.
        watch: further taps that packets may go astray to.
        overlay: VTEPs, whose addresses and ports the filters need.
        facts: what the nodes said: VXLAN devices that are nobody's VTEP have ports too, and some addresses are at home on a node.

    Raises:
        UsageError: the user's filter cannot be used.
        CannotRunError: an address is none.
    """
    users = tcpdump.checked(user_filter) if user_filter is not None else None
    flows = _without_others(flows)
    ends = _ends(flows, overlay, facts, _nic_addresses(paths, facts))
    taps = _taps(flows, paths, watch)
    firsts = _first_hops(flows, paths)
    at_home = {each.node: local_networks(each) for each in facts}
    if users is not None:
        _refuse_without_pod(flows, firsts, taps)
    tasks: list[CaptureTask] = []
    taken: set[str] = set()
    for tap, watched in taps.items():
        name = tcpdump.file_name(tap, watched.role, taken)
        taken.add(name)
        others = at_home.get(tap.node) if watched.behind else None
        expression = _expression(watched, ends, flows, others, ethernet=has_ethernet(facts, tap))
        mine = [flow for flow in flows if firsts.get(flow.id) == tap]
        if users is not None and mine:
            expression = bpf.restricted(expression, users, mine[0].client.address)
        task = _task(len(tasks) + 1, tap, watched.role, name, expression, limits, _count_filter(mine, watched.role))
        tasks.append(replace(task, sources_but=others))
    return CapturePlan(tasks=_bounded(tasks, limits), duration_s=limits.duration_s, packets=limits.packets, user_filter=users)


def _bounded(tasks: Sequence[CaptureTask], limits: Limits) -> tuple[CaptureTask, ...]:
    """The tasks with what each file may take, so that those of a node fit into its share; a pod that takes more is evicted."""
    captures = Counter(task.tap.node for task in tasks)
    return tuple(replace(task, file_bytes=min(task.file_bytes, limits.node_bytes // captures[task.tap.node])) for task in tasks)


def _without_others(flows: Sequence[Flow]) -> tuple[Flow, ...]:
    """The flows without backends that nobody asked for: where some of a Service's are, the others' packets need no filter of their own."""
    asked = {(flow.protocol, flow.service) for flow in flows if flow.server is not None}
    return tuple(replace(flow, candidates=()) if (flow.protocol, flow.service) in asked else flow for flow in flows)


def _task(number: int, tap: Tap, role: Role, name: str, expression: str, limits: Limits, count_filter: str | None) -> CaptureTask:
    usable = tcpdump.usable_interface(tap.interface)
    return CaptureTask(
        id=number,
        tap=tap,
        role=role,
        file=name,
        filter=expression,
        argv=tcpdump.argv(tap.interface, name, expression, role=role, snaplen_bytes=limits.snaplen_bytes) if usable else (),
        snaplen_bytes=limits.snaplen_bytes,
        file_bytes=limits.file_bytes,
        count_filter=count_filter,
    )


def _taps(flows: Sequence[Flow], paths: Sequence[Path], watch: Sequence[tuple[Tap, Role]]) -> dict[Tap, _Watched]:
    """All taps in the order of the requests' hops, then what only replies pass, then what is watched besides."""
    by_id = {flow.id: flow for flow in flows}
    found: dict[Tap, _Watched] = {}
    ordered = sorted(paths, key=lambda path: path.direction is Direction.REPLY)
    for path in ordered:
        flow = by_id.get(path.flow)
        for index, hop in enumerate(path.hops):
            watched = found.setdefault(hop.tap, _Watched(hop.role))
            if flow is not None and hop.role in (Role.POD, Role.BRIDGE):
                _note_ends(watched, flow, path, index)
            if flow is not None and _follows_client(path, index):
                watched.behind[flow.client.address] = None
    for tap, role in watch:
        found.setdefault(tap, _anybodys(flows) if role is Role.POD else _Watched(role))
    return found


def _follows_client(path: Path, index: int) -> bool:
    """Whether hop `index` is a VXLAN device right behind the interface of a client that is a pod."""
    roles = [hop.role for hop in path.hops[:2]]
    return path.direction is Direction.REQUEST and index == 1 and roles == [Role.POD, Role.VXLAN]


def _anybodys(flows: Sequence[Flow]) -> _Watched:
    """An interface that may be that of any end which is a pod."""
    clients = dict.fromkeys(flow.client.address for flow in flows if not flow.client.host_network)
    servers = dict.fromkeys(flow.server.address for flow in flows if flow.server is not None and not flow.server.host_network)
    return _Watched(Role.POD, clients=clients, servers=servers)


def _note_ends(watched: _Watched, flow: Flow, path: Path, index: int) -> None:
    """Note whose interface hop `index` is: the sender's before the first encapsulated hop, the receiver's after the last.

    Without any (one node), a pod's interface is that of the nearer end, and a bridge is everybody's.
    """
    outside = [number for number, hop in enumerate(path.hops) if hop.role in (Role.VXLAN, Role.UNDERLAY)]
    if outside:
        sending, receiving = index < outside[0], index > outside[-1]
    elif watched.role is Role.BRIDGE:
        sending, receiving = True, True
    else:
        sending, receiving = index == 0, index > 0
    client_side, server_side = (sending, receiving) if path.direction is Direction.REQUEST else (receiving, sending)
    # Without a server there is no way back to tell the sides apart: what is known of it is the client's.
    if client_side or (flow.server is None and server_side):
        watched.clients[flow.client.address] = None
    if server_side and flow.server is not None:
        watched.servers[flow.server.address] = None


def _first_hops(flows: Sequence[Flow], paths: Sequence[Path]) -> dict[int, Tap]:
    """Each flow's first hop, by its id."""
    requests = {path.flow: path for path in paths if path.direction is Direction.REQUEST and path.hops}
    return {flow.id: requests[flow.id].hops[0].tap for flow in flows if flow.id in requests}


def own_taps(flows: Sequence[Flow], paths: Sequence[Path]) -> dict[str, Tap]:
    """The clients' own interfaces by their addresses, as the paths have them; those that can stand in a command."""
    clients = {flow.id: flow.client.address for flow in flows}
    firsts = [(clients[path.flow], path.hops[0]) for path in paths if path.hops and path.direction is Direction.REQUEST]
    return {address: hop.tap for address, hop in firsts if hop.role is Role.POD and tcpdump.usable_interface(hop.tap.interface)}


def _refuse_without_pod(flows: Sequence[Flow], firsts: dict[int, Tap], taps: dict[Tap, _Watched]) -> None:
    """A filter needs a first hop where packets are the client's own; at a NIC they are inside others."""
    for flow in flows:
        tap = firsts.get(flow.id)
        if tap is None or taps[tap].role not in (Role.POD, Role.BRIDGE):
            raise UsageError(
                f"--filter cannot be applied: {flow.client.address} has no interface of its own that could be captured",
                "Trace a pod that does not use its node's network, or leave --filter out.",
            )


def _expression(watched: _Watched, ends: bpf.Ends, flows: Sequence[Flow], others: Sequence[str] | None, *, ethernet: bool) -> str:
    """`others`: all networks but these may send what the filter of a VXLAN device picks; None: it picks what is the ends' alone."""
    if watched.role is Role.VXLAN:
        mine = [flow for flow in flows if flow.client.address in watched.behind]
        return bpf.overlay(ends) if others is None else bpf.any_of([bpf.overlay(ends), bpf.passing(_ports(mine), others)])
    if watched.role is Role.UNDERLAY:
        return bpf.underlay(ends, ethernet=ethernet)
    own = []
    for client in watched.clients:
        mine = [flow for flow in flows if flow.client.address == client]
        own.append(bpf.client_pod(client, _ports(mine)))
        # A bridge carries other pods' packets as well, and so does an interface that may be anybody's.
        if watched.role is Role.POD and len(watched.clients) == 1 and not watched.servers:
            own.append(bpf.foreign(client, [_peers(flow)[0] for flow in mine if _peers(flow)], _ports(mine)))
    own += [bpf.server_pod(server, ends) for server in watched.servers]
    return bpf.any_of(own) or bpf.overlay(ends)


def _count_filter(flows: Sequence[Flow], role: Role) -> str | None:
    """What of the flows passes the client's first hop: a limit on packets counts it, and it tells whether the pod is silent; None where
    there is nothing to count."""
    if role not in (Role.POD, Role.BRIDGE):
        return None
    parts = [
        bpf.between(flow.client.address, _peers(flow), () if flow.protocol == "ICMP" else _ports([flow]), flow.protocol) for flow in flows
    ]
    return bpf.any_of(parts) or None


def _peers(flow: Flow) -> tuple[str, ...]:
    service = (flow.service.address,) if flow.service is not None and flow.service.address is not None else ()
    return (*service, *(server.address for server in _servers(flow)))


def _servers(flow: Flow) -> tuple[Endpoint, ...]:
    return (flow.server,) if flow.server is not None else flow.candidates


def _ports(flows: Sequence[Flow]) -> tuple[int, ...]:
    """The ports that the flows' packets may have at their service and server; none if one of them has no port."""
    found: dict[int, None] = {}
    for flow in flows:
        service = flow.service.port if flow.service is not None else None
        ports = [port for port in (service, *(server.port for server in _servers(flow))) if port is not None]
        if flow.protocol not in ("TCP", "UDP") or not ports:
            return ()
        found.update(dict.fromkeys(ports))
    return tuple(found)


def _nic_addresses(paths: Sequence[Path], facts: Sequence[NodeFacts]) -> list[str]:
    """All addresses of the NICs on the paths, under which a node may send what is not encapsulated; link-local ones go no further."""
    nics = {hop.tap for path in paths for hop in path.hops if hop.role is Role.UNDERLAY}
    links = [link for each in facts for link in each.links if Tap(node=each.node, interface=link.name) in nics]
    return [address for link in links for address in link.addresses if goes_far(address)]


def _ends(flows: Sequence[Flow], overlay: Overlay, facts: Sequence[NodeFacts], nics: Sequence[str]) -> bpf.Ends:
    servers = [server for flow in flows for server in _servers(flow)]
    devices = [link.vxlan for each in facts for link in each.links if link.vxlan is not None]
    ports = [vtep.port for vtep in overlay.vteps] + [device.port for device in devices]
    nodes = [vtep.underlay_address for vtep in overlay.vteps] + [device.local for device in devices] + [*nics]
    tunnels = [vtep.address for vtep in overlay.vteps]
    services = [flow.service.address for flow in flows if flow.service is not None]

    def is_bare(end: Endpoint) -> bool:
        """Whether what an end sends goes bare; the address of a VXLAN device is inside the tunnel, as pods' are."""
        return end.host_network and end.address not in tunnels

    def of_node(client: Endpoint) -> tuple[str, ...]:
        """The client's address, and the others by which its node may send."""
        return (client.address, *(sending_addresses(client.node, facts) if client.node is not None else ()))

    return bpf.Ends(
        clients=unique(flow.client.address for flow in flows if not is_bare(flow.client)),
        servers=unique(server.address for server in servers if not is_bare(server)),
        host_clients=unique(address for flow in flows if is_bare(flow.client) for address in of_node(flow.client)),
        host_servers=unique(server.address for server in servers if is_bare(server)),
        # a node's own address is asked for a node port: all that the node sends has it
        services=unique(address for address in services if address not in nodes),
        masquerades=unique([*tunnels, *nodes]),
        nodes=unique(nodes),
        ports=_ports(flows),
        vxlan_ports=tuple(dict.fromkeys(port for port in (*ports, *VXLAN_PORTS) if port is not None)),
    )
