"""Which datagrams the nodes of a trace send each other so that ports, checksums, sizes and outer source ports can be compared (--ab).

All are the same VXLAN packet to a device that looks at them, but for what is compared. No device of the nodes has its VNI, so that the
receiver's kernel drops what comes to the VXLAN port when the NIC's capture has seen it (drivers/net/vxlan/vxlan_core.c, vxlan_rcv), and
nothing inside could be taken for a packet of anybody.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import count
from typing import Final

from kubectl_vxtrace.capture import bpf, tcpdump
from kubectl_vxtrace.capture.nodefacts import has_ethernet
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import NodeAnswer, NodeCommand
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Endpoint, Flow, Overlay, Path, Role, Vtep
from kubectl_vxtrace.model.protocol import overhead_bytes
from kubectl_vxtrace.model.recording import CapturePlan, CaptureTask, ComparedPair

OTHER_PORT: Final = 64789
"""The port that VXLAN's is compared with: of those that are assigned to nobody (RFC 6335, 6: 49152 to 65535), and that Linux gives no
socket by itself (ip-sysctl.rst, ip_local_port_range: 32768 to 60999). None with a protocol of its own: NICs and switches treat RoCE's
(4791, InfiniBand Annex A17) by other rules than all else, and Geneve's (6081) and VXLAN-GPE's (4790) as tunnels."""

SOURCE_PORTS: Final = tuple(range(61001, 61001 + 16 * 283, 283))
"""Above what Linux gives sockets by itself, in the range that RFC 7348, 5, wants for outer source ports; odd and even, and far apart.
Of eight equal paths, of which one loses everything, 32 pairs of ports miss that one in one case of 70 ((7/8)^32)."""

COPIES: Final = 2
SMALL_BYTES: Final = 128
PAUSE_MS: Final = 10
"""Between two datagrams of a sender: at most a hundred of them a second."""

INTENT: Final = (
    f"--ab: when these captures have ended, each node sends each that it has a path to {COPIES * 8 * len(SOURCE_PORTS)} UDP datagrams, "
    f"{1000 // PAUSE_MS} a second, to VXLAN's port and to {OTHER_PORT}, with and without an outer checksum, of {SMALL_BYTES} bytes and as "
    f"large as the tunnel's, from {len(SOURCE_PORTS)} source ports, with VNIs that no device has; and both capture them at their NICs."
)
"""What is done, where addresses are not known yet."""

_USUAL_BYTES: Final = 1500  # IEEE 802.3
_FIRST_VNI, _VNIS = 1 << 23, 1 << 24
"""VNIs below are what people choose, and what identities of pods start with (Cilium)."""
_SNAPLEN_BYTES: Final = 192
_FILE_BYTES: Final = 8 * 1024 * 1024
_PATIENCE_S: Final = 30.0
_SLOWER: Final = 5
"""A busy node may take so many times as long as the pauses do."""
_LINE: Final = re.compile(r"\d{1,6}", re.ASCII)


def compared_pairs(
    flows: Sequence[Flow], paths: Sequence[Path], overlay: Overlay, facts: Sequence[NodeFacts], session: str
) -> tuple[tuple[ComparedPair, ...], tuple[str, ...]]:
    """Both directions between the nodes of each flow's ends; and why there are fewer than were asked for.

    session: in hexadecimal; VNIs are chosen by it, so that two traces at once mostly have others.
    """
    vteps = {vtep.node: vtep for vtep in overlay.vteps}
    told = {each.node: each for each in facts}
    found: list[ComparedPair] = []
    missing: list[str] = []
    for sender, receiver in _directions(flows):
        ends = vteps.get(sender), vteps.get(receiver)
        if (why := _unfit(*ends, told.get(receiver))) is not None:
            missing.append(f"{sender} to {receiver}: {why}")
        elif ends[0] is not None and ends[1] is not None:
            found.append(_pair(ends[0], ends[1], paths, facts, told.get(sender)))
    if not found and not missing:
        missing.append("the ends are not known to be on two nodes")
    first = _free_vnis(session, sum(pair.count for pair in found), overlay, facts)
    placed = []
    for pair in found:
        placed.append(replace(pair, first_vni=first))
        first += pair.count
    if any(":" in pair.source for pair in found):
        missing.append(
            "none without a checksum over IPv6: UDP needs one there (RFC 8200, 8.1), but in tunnels whose ends are told of it (RFC 6935)"
        )
    return tuple(placed), tuple(missing)


def _directions(flows: Sequence[Flow]) -> Iterator[tuple[str, str]]:
    """Sender and receiver, once each."""
    pairs: dict[tuple[str, str], None] = {}
    for flow in flows:
        servers: tuple[Endpoint, ...] = (flow.server,) if flow.server is not None else flow.candidates
        for server in servers:
            if flow.client.node is not None and server.node is not None and flow.client.node != server.node:
                pairs[flow.client.node, server.node] = pairs[server.node, flow.client.node] = None
    yield from pairs


def _unfit(sender: Vtep | None, receiver: Vtep | None, facts: NodeFacts | None) -> str | None:
    """Why one cannot send to the other."""
    for vtep, which in ((sender, "sender"), (receiver, "receiver")):
        if vtep is None or vtep.underlay_address is None or vtep.port is None:
            return f"the {which}'s underlay address and VXLAN port are not known"
    if sender is None or receiver is None or (":" in (sender.underlay_address or "")) != (":" in (receiver.underlay_address or "")):
        return "their underlay addresses are of different families"
    devices = [(link.name, link.vxlan) for link in (facts.links if facts is not None else ()) if link.vxlan is not None]
    takers = [name for name, device in devices if device.external and device.port in (None, receiver.port)]
    if takers:
        return f"{takers[0]} of {receiver.node} takes every VNI, so that none could be dropped at once: nothing is sent there"
    return None


def _pair(sender: Vtep, receiver: Vtep, paths: Sequence[Path], facts: Sequence[NodeFacts], told: NodeFacts | None) -> ComparedPair:
    source, port = sender.underlay_address or "", receiver.port or 0
    nics = {hop.tap.interface for path in paths for hop in path.hops if hop.role is Role.UNDERLAY and hop.tap.node == sender.node}
    links = [link for link in (told.links if told is not None else ()) if link.name in nics and link.mtu_bytes is not None]
    most = [link.mtu_bytes for link in links if link.mtu_bytes is not None]
    if sender.mtu_bytes is not None:
        most.append(sender.mtu_bytes + overhead_bytes(source))
    return ComparedPair(
        sender=sender.node,
        receiver=receiver.node,
        source=source,
        destination=receiver.underlay_address or "",
        vxlan_port=port,
        other_port=_other_port(port, facts),
        checksums=(True,) if ":" in source else (True, False),
        sizes_bytes=(SMALL_BYTES, max(min(most, default=_USUAL_BYTES), SMALL_BYTES + 1)),
        source_ports=SOURCE_PORTS,
        copies=COPIES,
        first_vni=0,
    )


def _other_port(vxlan_port: int, facts: Iterable[NodeFacts]) -> int:
    """One that nothing on the nodes uses."""
    used = {vxlan_port, *SOURCE_PORTS}
    for each in facts:
        used.update(socket.port for socket in each.udp_sockets)
        used.update(link.vxlan.port for link in each.links if link.vxlan is not None and link.vxlan.port is not None)
    return next(port for port in count(OTHER_PORT) if port not in used)


def _free_vnis(session: str, wanted: int, overlay: Overlay, facts: Iterable[NodeFacts]) -> int:
    """The first of so many VNIs that no device has."""
    used = {link.vxlan.vni for each in facts for link in each.links if link.vxlan is not None}
    used |= {vtep.vni for vtep in overlay.vteps}
    first = _FIRST_VNI + int(session, 16) % (_VNIS - _FIRST_VNI)
    while True:
        if first + wanted > _VNIS:
            first = _FIRST_VNI
        taken = [vni for vni in used if vni is not None and first <= vni < first + wanted]
        if not taken:
            return first
        first = max(taken) + 1


def capture_plan(pairs: Sequence[ComparedPair], tasks: Sequence[CaptureTask], facts: Sequence[NodeFacts]) -> CapturePlan:
    """Captures of these datagrams and of nothing else, at the NICs that the trace itself captures at. tasks: the trace's own."""
    nodes = {node for pair in pairs for node in (pair.sender, pair.receiver)}
    first, last = min(pair.first_vni for pair in pairs), max(pair.first_vni + pair.count for pair in pairs) - 1
    six = any(":" in pair.source for pair in pairs)
    made: list[CaptureTask] = []
    for task in tasks:
        if task.role is Role.UNDERLAY and task.tap.node in nodes and task.argv:
            file = f"{task.file.removesuffix('.pcap')}-ab.pcap"
            expression = bpf.marked(first, last, six=six, ethernet=has_ethernet(facts, task.tap))
            argv = tcpdump.argv(task.tap.interface, file, expression, role=task.role, snaplen_bytes=_SNAPLEN_BYTES)
            made.append(
                CaptureTask(
                    id=len(made) + 1,
                    tap=task.tap,
                    role=task.role,
                    file=file,
                    filter=expression,
                    argv=argv,
                    snaplen_bytes=_SNAPLEN_BYTES,
                    file_bytes=_FILE_BYTES,
                )
            )
    return CapturePlan(tasks=tuple(made), duration_s=sum(_timeout_s(pair) for turn in turns(pairs) for pair in turn[:1]))


def turns(pairs: Sequence[ComparedPair]) -> tuple[tuple[ComparedPair, ...], ...]:
    """The pairs in an order in which no sender has two at once: each sender's first ones, then the second ones."""
    of_sender: dict[str, list[ComparedPair]] = {}
    for pair in pairs:
        of_sender.setdefault(pair.sender, []).append(pair)
    most = max((len(each) for each in of_sender.values()), default=0)
    return tuple(tuple(each[turn] for each in of_sender.values() if turn < len(each)) for turn in range(most))


def _timeout_s(pair: ComparedPair) -> float:
    return _PATIENCE_S + _SLOWER * pair.count * PAUSE_MS / 1000


def command(pair: ComparedPair) -> NodeCommand:
    """Send the datagrams of a pair."""
    script = files(__package__).joinpath("port_comparison.sh").read_text(encoding="utf-8")
    words = [pair.source, pair.destination, str(PAUSE_MS), str(pair.first_vni), str(pair.copies), ",".join(map(str, pair.source_ports))]
    words += [f"{each.port},{int(each.checksum)},{each.size_bytes}" for each in pair.variants]
    argv = ("sh", "-c", script, "vxtrace-ab", *words)
    return NodeCommand(node=pair.sender, key="ab", argv=argv, timeout_s=_timeout_s(pair))


def read(pair: ComparedPair, answer: NodeAnswer) -> tuple[ComparedPair, str | None]:
    """The pair with what was sent, and why that is less than was to be, if so."""
    lines = answer.stdout.decode("ascii", "replace").splitlines()
    numbers = {int(line) for line in lines if _LINE.fullmatch(line) is not None}
    sent = tuple(sorted(number for number in numbers if number < pair.count))
    if len(sent) == pair.count:
        return replace(pair, sent=sent), None
    said = unique(answer.stderr.decode("utf-8", "replace").strip().splitlines())
    why = "; ".join(said[:3]) or answer.reason or "the node did not say why"
    return replace(pair, sent=sent), f"{pair.sender} to {pair.receiver}: {pair.count - len(sent)} of {pair.count} not sent: {why}"
