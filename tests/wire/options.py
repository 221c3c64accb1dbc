"""A small world for each thing that a real kernel or network does to packets, by name."""

from collections.abc import Sequence
from dataclasses import replace

from tests.wire.places import CLIENT, CLIENT_NODE, EPOCH, FIRST, NEIGHBOUR, NIC, PODS, SECOND, SECOND_SERVER, VXLAN, Shape
from tests.wire.reuse import SHIFT, reusing
from tests.wire.traffic import MS, Connection, Numbering, answers, datagrams, numbers, super_datagrams
from tests.wire.world import Capture, Clock, Flow, Noise, Packet, Tunnel, World

B_NODE = "ada-ec-2"
GSO = (45, 45, 45, 1, 45, 45)
SOFTWARE_GSO = (45, 45, 1, 1, 45, 45)
EARLY_GSO = (45, 1, 1, 1, 8, 8)
LATE_GRO = (45, 45, 45, 8, 16, 16)
FATES = (None, None, 3, None, 4, None, 2, None, None, 5)


def texts(count: int, size: int = 24) -> list[bytes]:
    """Different payloads of one length."""
    return [(b"packet %04d " % number).ljust(size, b".") for number in range(count)]


def asked(flow: Flow, fates: Sequence[int | None] = FATES, numbering: Numbering = Numbering.COUNTER, size: int = 24) -> World:
    """Ten questions of one socket, some of which vanish, and the answers to the others, of which one vanishes."""
    requests = datagrams(texts(len(fates), size), fates=fates, ids=numbers(numbering))
    replies = answers(requests, payload=lambda index: b"answer %04d" % index, fates=(None, 3))
    return World(flows=(flow,), packets=(*requests, *replies))


def transfer(
    merge: tuple[int, ...] = (),
    fates: dict[int, int] | None = None,
    *,
    fixed_id: bool = False,
    same_id: bool = False,
    again: int | None = None,
    mss: int = 1358,
    download: bool = False,
) -> World:
    """A TCP connection that sends 60 segments, loses some, and sends those again; `again` is the fate of the first one's second try."""
    connection = Connection(mss=mss, download=download)
    connection.handshake()
    sent = connection.send(60, fates=fates, tail=700, fixed_id=fixed_id)
    for number, index in enumerate(sorted(fates or {})):
        for _ in range(3):
            connection.acknowledge(sent[index].seq, sack=((sent[index].seq + mss, sent[index].seq + 2 * mss),))
        connection.again(sent[index], same_id=same_id, fate=again if number == 0 else None)
        if number == 0 and again is not None:
            connection.again(sent[index])
    connection.acknowledge(connection.seq)
    connection.close()
    return World(flows=(tcp().merging(merge, download=download),), packets=tuple(connection.packets))


def tcp(merge: tuple[int, ...] = ()) -> Flow:
    """A flow to a web server, with a direction of merged requests."""
    return Flow(protocol="TCP", server_port=80, merge=merge)


def quiet(*, garbage: bool = False) -> World:
    """A connection that is kept alive, whose window closes, and that is probed; a probe and an ACK vanish."""
    connection = Connection()
    connection.handshake()
    connection.send(3)
    connection.acknowledge(connection.seq, window=0)
    connection.window_probe()
    connection.window_probe(fate=3)
    connection.acknowledge(connection.seq, window=501)
    connection.send(2, tail=100)
    connection.acknowledge(connection.seq)
    for fate in (None, 4, None, 4, None):
        connection.now_ns += SECOND // 10
        connection.keepalive(garbage=garbage, fate=fate)
    connection.acknowledge(connection.seq, fate=2)
    return World(flows=(tcp(),), packets=tuple(connection.packets))


def merged_acks() -> World:
    """Data both ways: pure ACKs of the client that receive offload puts into data frames behind the wire, one that truly vanishes."""
    connection = Connection()
    connection.handshake()
    for number in range(6):
        connection.send(8)
        hidden = frozenset({5, 6}) if number in (2, 3) else frozenset()
        connection.own_acknowledgement(80_000 + number, hidden=hidden, fate=3 if number == 4 else None)
        connection.acknowledge(connection.seq)
    return World(flows=(tcp(GSO),), packets=tuple(connection.packets))


def quic(fates: dict[int, int] | None = None, merge: tuple[int, ...] = (20, 20, 20, 1, 1, 1), *, download: bool = False) -> World:
    """Super-packets of UDP_SEGMENT: 20 datagrams of 1,228 bytes each. Each takes one ID of the socket, so that datagrams share IDs."""
    packets = list(datagrams([b"get"], start_ns=EPOCH - MS)) if download else []
    for burst in range(5):
        mine = {index % 20: hop for index, hop in (fates or {}).items() if index // 20 == burst}
        at = EPOCH + burst * 5 * MS
        packets += super_datagrams(20, 1228, tail=900, start_ns=at, ident=100 + burst, burst=burst, fates=mine, reply=download)
    return World(flows=(Flow(server_port=443).merging(merge, download=download),), packets=tuple(packets))


def shared_ids(fates: dict[int, int] | None = None) -> tuple[Packet, ...]:
    """Three super-packets of short datagrams, the later ones with IDs that datagrams of the one before have."""
    first = super_datagrams(3, 500, tail=1, ident=100, fates=fates)
    later = (super_datagrams(2, 500, tail=1, start_ns=EPOCH + burst * MS, ident=100 + burst, burst=burst) for burst in (1, 2))
    return first + tuple(packet for burst in later for packet in burst)


def trains(*, outer: bool = False, six: bool = False, **fields: object) -> World:
    """Four datagrams in fragments; of the second and third one fragment vanishes, and the receiving node discards the others behind it."""
    found = []
    for number, (lost, last) in enumerate([(None, None), (1, 3), (0, 4), (None, None)]):
        stays = 4 if outer else 5
        packet = Packet(
            time_ns=EPOCH + number * 10 * MS, payload=bytes([number + 1]) * 1300, ip_id=number + 9, dont_fragment=False,
            fragment_bytes=None if outer else 400, outer_fragment_bytes=1000 if outer else None, lost_part=lost,
            lost_after=3 if outer and last else last, parts_until=stays,
        )  # fmt: skip
        found.append(replace(packet, **fields))  # type: ignore[arg-type]  # the caller names fields of Packet
    return World(flows=(Flow(),), packets=tuple(found), six=six)


def _changed(world: World, **fields: object) -> World:
    packets = tuple(replace(one, **fields) if index % 3 == 0 else one for index, one in enumerate(world.packets))  # type: ignore[arg-type]
    return replace(world, packets=packets)


def _unanswered(world: World) -> World:
    """Without the answers to what did not arrive: a packet that is the first of a tuple (flow, port, number) and its answer share these."""
    lost = {(packet.flow, packet.client_port, packet.seq) for packet in world.packets if not packet.reply and packet.lost_after is not None}
    kept = [packet for packet in world.packets if not packet.reply or (packet.flow, packet.client_port, packet.seq) not in lost]
    return replace(world, packets=tuple(kept))


def _captured(world: World, place: str, capture: Capture) -> World:
    """The world with the capture at the client's pod, its node's underlay, that of B, its VXLAN device or its pod changed."""
    taps = {
        "pod": (CLIENT_NODE, PODS[CLIENT]),
        "client's nic": (CLIENT_NODE, NIC),
        "nic": (B_NODE, NIC),
        "vxlan": (B_NODE, VXLAN),
        "server": (B_NODE, PODS[FIRST]),
    }
    return replace(world, captures={**world.captures, taps[place]: capture})


def _jittered(world: World) -> World:
    packets = [replace(one, jitter_ns=(0, 0, (index * 7919) % 30 * MS, 1_000, 500)) for index, one in enumerate(world.packets)]
    return replace(world, packets=tuple(packets))


def _sockets(flow: Flow) -> World:
    """Three sockets that ask the same without IP IDs, of which the last one is not answered: its question vanishes."""
    return World(
        flows=(flow,),
        packets=datagrams([b"same"] * 3, ids=numbers(Numbering.ZERO), fates=(None, None, 3), ports=lambda index: 40_000 + index),
    )


def _nameless_transfer() -> World:
    world = transfer(EARLY_GSO, {30: 3})
    flow = replace(world.flows[0], masquerade=True, port_shift=1000, known=False)
    return replace(world, flows=(flow,), packets=world.packets[3:])


def _with_new_port(world: World) -> World:
    return replace(world, flows=tuple(replace(flow, port_shift=SHIFT, known=False) for flow in world.flows))


UDP = Flow()
LOSSES = (None, 2, None, 1, None, None, 3), (None, 4, None, 3, 5)
DNS = asked(UDP)
SPREAD = datagrams(texts(40), gap_ns=SECOND // 4, fates=[3 if index % 9 == 4 else None for index in range(40)])

OPTIONS: dict[str, World] = {
    "udp": DNS,
    "tcp": transfer(fates={7: 3, 8: 3, 30: 4}),
    "icmp": asked(Flow(protocol="ICMP", server_port=0)),
    "sctp": asked(Flow(protocol="SCTP", server_port=3868)),
    "dnat": asked(Flow(service_port=53)),
    "dnat with port rewrite": asked(Flow(service_port=80, server_port=8080)),
    "snat": asked(Flow(masquerade=True)),
    "snat with port rewrite": asked(Flow(masquerade=True, port_shift=1000)),
    "dnat and snat": asked(Flow(service_port=80, server_port=8080, masquerade=True, port_shift=7)),
    "snat that nobody wrote down": asked(Flow(service_port=53, masquerade=True, known=False)),
    "snat that nobody wrote down, super-packets of udp": World(
        flows=(Flow(masquerade=True, known=False, merge=EARLY_GSO),), packets=super_datagrams(9, 1228, tail=46, ident=9, burst=0)
    ),
    "snat that nobody wrote down, super-packets of tcp whose beginning is not seen": _nameless_transfer(),
    "snat that nobody wrote down, sockets that say the same": _sockets(Flow(masquerade=True, known=False)),
    "snat with port rewrite that nobody wrote down, sockets that say the same": _sockets(
        Flow(masquerade=True, port_shift=1000, known=False)
    ),
    "new port": asked(Flow(port_shift=SHIFT)),
    "new port that nobody wrote down": asked(Flow(port_shift=SHIFT, known=False)),
    "new port that nobody wrote down, ip id zero": asked(Flow(port_shift=SHIFT, known=False), numbering=Numbering.ZERO),
    "new port that nobody wrote down, tcp super-packets": _with_new_port(transfer(GSO, {7: 3, 8: 3, 30: 3})),
    "new port that nobody wrote down, fragments": _with_new_port(trains()),
    "new port that nobody wrote down, ping": asked(Flow(protocol="ICMP", server_port=0, port_shift=SHIFT, known=False)),
    "new port that nobody wrote down, sockets that say the same": _sockets(Flow(port_shift=SHIFT, known=False)),
    "new port behind a service": asked(Flow(service_port=80, server_port=8080, port_shift=SHIFT, known=False)),
    "new port behind a bridge": replace(asked(Flow(port_shift=SHIFT, known=False), fates=(None, 2, 5, 6, 7)), shape=Shape.FLANNEL),
    **{
        f"one port for a service and its server{', bridges' * (shape is not Shape.CALICO)}, {told}{lost}": reusing(
            through, direct, shape=shape, losses=losses
        )
        for shape in (Shape.CALICO, Shape.BR_NETFILTER)
        for told, through, direct in (
            ("the latter gets another", Flow(service_port=53), Flow(port_shift=SHIFT)),
            ("the former gets another", Flow(service_port=53, port_shift=SHIFT), Flow()),
            ("the latter gets another, nobody wrote it down", Flow(service_port=53, known=False), Flow(port_shift=SHIFT, known=False)),
            ("the former gets another, nobody wrote it down", Flow(service_port=53, port_shift=SHIFT, known=False), Flow(known=False)),
        )
        for lost, losses in (("", ((), ())), (", losses", LOSSES))
    },
    "one port for a service and its server, which both keep": reusing(Flow(service_port=53), Flow(), later_ns=5 * SECOND),
    "one port for a service and its server, which both keep, losses": reusing(
        Flow(service_port=53), Flow(), later_ns=5 * SECOND, losses=LOSSES
    ),
    "one port for a service and its server, which both keep, no ip ids": reusing(
        Flow(service_port=53), Flow(), later_ns=5 * SECOND, ids=(numbers(Numbering.ZERO), numbers(Numbering.ZERO))
    ),
    **{
        f"one port for a service and its server, {shape}, which say the same": reusing(
            Flow(service_port=53), Flow(port_shift=SHIFT), ids=(numbers(Numbering.ZERO), numbers(Numbering.ZERO)),
            payloads=(b"same", b"same"), shape=shape,
        )
        for shape in (Shape.CALICO, Shape.BR_NETFILTER)
    },
    "one port for a service and its server, which both keep, an interface captured too short to compare": replace(
        reusing(Flow(service_port=53), Flow(), later_ns=5 * SECOND, losses=LOSSES),
        tunnel=Tunnel(outer_six=True, inner_vlan=8), captures={(CLIENT_NODE, NIC): Capture(snaplen=130)},
    ),
    "two servers on one node are told the same from different ports, one of which is rewritten": World(
        flows=(Flow(server_port=4000, port_shift=SHIFT, known=False), Flow(server_port=4010)),
        packets=(
            *datagrams([b"same"] * 2, flow=0, start_ns=EPOCH, ids=numbers(Numbering.COUNTER, 1), fates=[None] * 2),
            *datagrams([b"same"] * 2, flow=1, client_port=42_000, start_ns=EPOCH, ids=numbers(Numbering.COUNTER, 1), fates=[None] * 2),
        ),
    ),
    "sctp through a service": asked(Flow(protocol="SCTP", service_port=80, server_port=3868)),
    "two backends": replace(
        DNS,
        flows=(Flow(service_port=53), Flow(service_port=53, server=SECOND_SERVER)),
        packets=tuple(replace(one, flow=one.client_port % 2) for one in asked(UDP).packets),
    ),
    "tcp super-packets": transfer(GSO, {7: 3, 8: 3, 30: 3, 59: 3}),
    "tcp, data of the server": transfer(fates={7: 3, 8: 3, 30: 4}, download=True),
    "tcp super-packets of the server": transfer(GSO, {7: 3, 8: 3, 30: 3, 59: 3}, download=True),
    "tcp super-packets of the server, cut by software": transfer(SOFTWARE_GSO, {7: 2, 30: 3}, download=True),
    "tcp super-packets of the server merged at the receiver's NIC": transfer(LATE_GRO, {7: 3, 30: 3}, download=True),
    "tcp super-packets of the server, NIC numbers segments itself": transfer(GSO, {7: 3, 30: 3}, fixed_id=True, download=True),
    "tcp super-packets of the server, dropped in whole": transfer(
        (15, 15, 15, 1, 15, 15), dict.fromkeys(range(15, 30), 2), download=True
    ),
    "tcp super-packets cut by software": transfer(SOFTWARE_GSO, {7: 2, 30: 3}),
    "tcp super-packets merged at the receiver's NIC": transfer(LATE_GRO, {7: 3, 30: 3}),
    "tcp super-packets, NIC numbers segments itself": transfer(GSO, {7: 3, 30: 3}, fixed_id=True),
    "tcp super-packets, NIC numbers segments itself, one that was sent again vanishes elsewhere": transfer(
        GSO, {5: 5}, fixed_id=True, again=3
    ),
    "tcp super-packets dropped in whole": transfer((15, 15, 15, 1, 15, 15), dict.fromkeys(range(15, 30), 2)),
    "udp super-packets": quic({5: 3, 47: 4, 60: 3}),
    "udp super-packets whose first datagrams vanished": quic({0: 3, 20: 3, 40: 3}),
    "udp super-packets whose first datagrams all vanished": quic({index * 20: 3 for index in range(5)}),
    "udp super-packet of which only the shorter last datagram arrived": World(
        flows=(Flow(server_port=443, merge=SOFTWARE_GSO),), packets=super_datagrams(3, 500, tail=432, ident=9, burst=0, fates={0: 2, 1: 2})
    ),
    "udp super-packets that nobody saw in parts": quic(merge=(20,) * 6),
    "ipv6 udp super-packets of which only the ends arrive": replace(
        World(flows=(Flow(server_port=443, merge=GSO),), packets=super_datagrams(5, 1228, tail=124, fates=dict.fromkeys(range(4), 3))),
        six=True,
    ),
    "udp super-packets of the server": quic({5: 4, 30: 4, 77: 5}, download=True),
    "udp super-packets of the server that nobody saw in parts": quic(merge=(20,) * 6, download=True),
    "udp super-packets merged again": quic({5: 3}, merge=(20, 20, 20, 1, 20, 20)),
    "udp super-packet merged again in part, single datagrams cut short": replace(
        World(flows=(Flow(server_port=443, merge=(45, 1, 1, 1, 8, 8)),), packets=super_datagrams(9, 1228, tail=926, ident=100, burst=0)),
        captures={tap: Capture(snaplen=100) for tap in ((CLIENT_NODE, NIC), (B_NODE, NIC))} | {(CLIENT_NODE, VXLAN): Capture(blind=True)},
    ),
    "retransmission with the same id": transfer(fates={7: 3, 30: 4}, same_id=True),
    "retransmission that vanishes too": transfer(fates={7: 3, 30: 4}, again=4),
    "retransmission of super-packets that vanishes too": transfer(GSO, {7: 3, 30: 3}, again=3),
    "keepalive and zero window": quiet(),
    "keepalive with garbage": quiet(garbage=True),
    "ack merging": merged_acks(),
    "ip id zero": asked(UDP, numbering=Numbering.ZERO),
    "ip id wraps": asked(UDP, numbering=Numbering.WRAP),
    "ip id per host": asked(UDP, numbering=Numbering.SHARED),
    "identical datagrams": replace(DNS, packets=datagrams([b"same"] * 10, fates=FATES, ids=numbers(Numbering.ZERO))),
    "identical datagrams, equal id": replace(DNS, packets=datagrams([b"same"] * 10, fates=FATES, ids=iter([7] * 10))),
    "inner fragments": trains(),
    "inner fragments made by the client's node": trains(whole_until=1),
    "inner fragments in ipv6": trains(six=True),
    "outer fragments": trains(outer=True),
    "outer fragments in ipv6": replace(trains(outer=True), tunnel=Tunnel(outer_six=True)),
    "reordered fragments": trains(parts_reversed=True),
    "reordered outer fragments": trains(outer=True, parts_reversed=True),
    "rest of a train goes on": trains(parts_until=6),
    "ipv6 inside": replace(DNS, six=True),
    "ipv6 tcp super-packets": replace(transfer(GSO, {7: 3, 30: 3}, mss=1338), six=True),
    "ipv6 ping": replace(asked(Flow(protocol="ICMP", server_port=0)), six=True),
    "ipv6 ping, snat": replace(asked(Flow(protocol="ICMP", server_port=0, masquerade=True, port_shift=5)), six=True),
    "ipv6 outside": replace(DNS, tunnel=Tunnel(outer_six=True)),
    "ipv6 inside and outside": replace(asked(Flow(service_port=53)), six=True, tunnel=Tunnel(outer_six=True)),
    "vlan outside": replace(DNS, tunnel=Tunnel(outer_vlan=7)),
    "vlan inside": replace(DNS, tunnel=Tunnel(inner_vlan=8)),
    "vlan inside and outside": replace(trains(outer=True), tunnel=Tunnel(outer_vlan=7, inner_vlan=8)),
    "bridges": replace(asked(UDP, fates=(None, 2, 5, 6, 7, None)), shape=Shape.FLANNEL),
    "same node": replace(asked(UDP, fates=(None, 1, None)), flows=(Flow(server=NEIGHBOUR),)),
    "everything vanishes": asked(UDP, fates=(3,) * 10),
    "one vanishes on every leg": asked(UDP, fates=(1, None, 2, None, 3, None, 4, None, 5, None)),
    "one of a hundred vanishes": asked(UDP, fates=(None,) * 60 + (3,) + (None,) * 39),
    "duplication": _changed(DNS, copied_after=3),
    "duplication whose copy vanishes": _changed(asked(UDP, fates=(None,) * 10), copied_after=3, copy_lost_after=5),
    "duplication whose original vanishes": _changed(asked(UDP, fates=(None,) * 10), copied_after=3, lost_after=4),
    "duplication of identical datagrams": replace(
        _changed(replace(DNS, packets=datagrams([b"same"] * 9, ids=numbers(Numbering.ZERO), fates=FATES)), copied_after=3)
    ),
    "delay": replace(DNS, delays_ns=(4_000, 3_000, 400 * MS, 5_000, 6_000)),
    "reordering": _jittered(DNS),
    "reordering of segments": _jittered(transfer(fates={7: 3})),
    "routing loop": _unanswered(_changed(asked(UDP, fates=(None,) * 6), lost_after=5, loops=20)),
    "clock offset": replace(DNS, clocks={B_NODE: Clock(offset_ns=-3 * SECOND)}),
    "clock drift": replace(
        DNS, packets=SPREAD, clocks={B_NODE: Clock(offset_ns=5 * MS, drift_ppm=400), CLIENT_NODE: Clock(drift_ppm=-100)}
    ),
    "clock step": replace(DNS, packets=SPREAD, clocks={B_NODE: Clock(step_at_ns=EPOCH + 5 * SECOND, step_ns=2 * SECOND)}),
    "clock step back": replace(DNS, packets=SPREAD, clocks={CLIENT_NODE: Clock(step_at_ns=EPOCH + 5 * SECOND, step_ns=-2 * SECOND)}),
    "clock step back while a packet is under way": replace(
        DNS, packets=SPREAD, clocks={CLIENT_NODE: Clock(step_at_ns=EPOCH + 5 * SECOND + 2_000, step_ns=-2 * SECOND)}
    ),
    "NIC numbers segments itself, and a retransmission vanishes on a node whose clock stepped": replace(
        transfer(SOFTWARE_GSO, {5: 5, 6: 1}, fixed_id=True, again=2),
        clocks={CLIENT_NODE: Clock(step_at_ns=EPOCH + SECOND, step_ns=2 * SECOND)},
    ),
    "capture that starts late": _captured(replace(DNS, packets=SPREAD), "server", Capture(start_ns=EPOCH + 3 * SECOND)),
    "capture that starts late, identical datagrams": _captured(
        replace(DNS, packets=datagrams([b"same"] * 2, gap_ns=9 * SECOND, ids=numbers(Numbering.ZERO), fates=[None, 1])),
        "pod",
        Capture(start_ns=EPOCH + 5 * SECOND),
    ),
    "capture that ends early": _captured(replace(DNS, packets=SPREAD), "vxlan", Capture(end_ns=EPOCH + 6 * SECOND)),
    "tail that SIGINT cut": _captured(replace(DNS, packets=SPREAD), "nic", Capture(tail_cut=6)),
    "everything cut by SIGINT": _captured(replace(DNS, packets=SPREAD), "nic", Capture(tail_cut=1000)),
    "kernel drops": _captured(DNS, "nic", Capture(kernel_drops=frozenset({0, 3, 4}))),
    "kernel drops at the client": _captured(DNS, "pod", Capture(kernel_drops=frozenset({0, 3}))),
    "snaplen": _captured(_captured(asked(UDP, size=200), "nic", Capture(snaplen=160)), "pod", Capture(snaplen=100)),
    "snaplen and ip id zero": _captured(asked(UDP, size=200, numbering=Numbering.ZERO), "nic", Capture(snaplen=130)),
    "snaplen that cuts headers": replace(
        asked(UDP, size=200),
        captures={tap: Capture(snaplen=80) for tap in ((CLIENT_NODE, NIC), (B_NODE, NIC))}
        | {(B_NODE, VXLAN): Capture(blind=True), (B_NODE, PODS[FIRST]): Capture(blind=True)},
    ),
    "missing hop": _captured(DNS, "vxlan", Capture(blind=True)),
    "missing last hop": _captured(DNS, "server", Capture(blind=True)),
    "interface seen twice": _captured(DNS, "nic", Capture(twice=True)),
    "first interface seen twice": _captured(DNS, "pod", Capture(twice=True)),
    "underlay seen twice, a packet without an id that no hop before saw": _captured(
        replace(asked(UDP, fates=(None,)), six=True, captures={(CLIENT_NODE, one): Capture(blind=True) for one in (VXLAN, PODS[CLIENT])}),
        "client's nic", Capture(twice=True),
    ),
    "interface seen twice, fragments": _captured(trains(), "nic", Capture(twice=True)),
    "first interface seen twice, one super-packet of udp": _captured(
        replace(quic(merge=(20, 20, 20, 1, 20, 20)), packets=quic().packets[:20]), "pod", Capture(twice=True)
    ),
    "first interface seen twice, super-packets that share an id": _captured(
        quic(merge=(20, 20, 1, 1, 20, 20)), "pod", Capture(twice=True)
    ),
    "first interface seen twice, a super-packet and a datagram with an id of its datagrams": _captured(
        replace(quic(merge=(20, 20, 1, 1, 20, 20)), packets=(replace(quic().packets[21], burst=None), *quic().packets[40:60])),
        "pod", Capture(twice=True),
    ),
    "first interface seen twice, one super-packet of tcp": _captured(transfer(GSO), "pod", Capture(twice=True)),
    "interface seen twice, super-packets": _captured(transfer(GSO, {7: 3, 30: 3}), "nic", Capture(twice=True)),
    "last interface seen twice, super-packets that share ids": replace(
        World(flows=(Flow(server_port=443, merge=GSO),), packets=shared_ids({0: 4, 1: 3})),
        captures={(B_NODE, PODS[FIRST]): Capture(twice=True)},
    ),
    "interface seen twice, few super-packets that share ids": replace(
        World(flows=(Flow(server_port=443, merge=GSO),), packets=shared_ids()), captures={(CLIENT_NODE, NIC): Capture(twice=True)}
    ),
    "interface whose super-packets are captured too short to compare": replace(
        World(flows=(Flow(server_port=443, merge=GSO),), packets=super_datagrams(2, 500, tail=1, ident=100)),
        tunnel=Tunnel(outer_six=True, inner_vlan=8), captures={(CLIENT_NODE, NIC): Capture(snaplen=130)},
    ),
    "super-packet that arrives without its first datagram, seen in parts only too short to compare": replace(
        World(
            flows=(Flow(server_port=4000, merge=(45, 45, 1, 1, 45, 45)),),
            packets=super_datagrams(3, 500, tail=1, ident=100, burst=0, fates={0: 2}),
        ),
        tunnel=Tunnel(outer_six=True, outer_vlan=7),
        captures={(CLIENT_NODE, NIC): Capture(snaplen=130), (B_NODE, NIC): Capture(blind=True)},
    ),
    "noise of other flows": replace(DNS, noise=Noise(count=10, others=True, same_ports=True, arp=True)),
    "another vni": replace(DNS, noise=Noise(count=10, other_vni=True)),
    "second overlay on another port": replace(DNS, noise=Noise(count=10, second_overlay=True)),
    "overlay on a port of its own": replace(DNS, tunnel=Tunnel(port=8223, vni=1)),
    "group policy": replace(DNS, tunnel=Tunnel(group=77)),
    "truncated last record": _captured(DNS, "nic", Capture(cut_record=True)),
    "pcapng": _captured(DNS, "nic", Capture(file_format="pcapng")),
    "pcapng in microseconds": _captured(DNS, "vxlan", Capture(file_format="pcapng", nanoseconds=False)),
    "gzip": _captured(DNS, "nic", Capture(file_format="pcap.gz")),
    "records out of order": _captured(DNS, "nic", Capture(shuffled=True)),
}  # fmt: skip
