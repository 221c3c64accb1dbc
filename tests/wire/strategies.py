"""Random small worlds: traffic, what the network does to it, and captures with the flaws that real ones have."""

from collections.abc import Sequence
from dataclasses import fields, replace

from hypothesis import strategies as st

from tests.wire.places import EPOCH, FIRST, NEIGHBOUR, SECOND, SECOND_SERVER, Shape, TapName, node_of, way
from tests.wire.reuse import SHIFT, reusing
from tests.wire.stream import stream_bytes
from tests.wire.traffic import MS, Connection, Numbering, answers, datagrams, numbers, super_datagrams
from tests.wire.world import Capture, Clock, Flow, Noise, Packet, Tunnel, World

MERGES = ((), (45, 45, 45, 1, 45, 45), (45, 45, 1, 1, 45, 45), (45, 1, 1, 1, 8, 8), (8, 8, 8, 4, 6, 6), (1, 1, 1, 1, 1, 1))
NUMBERINGS = st.sampled_from(list(Numbering))
TUNNELS = st.builds(
    Tunnel,
    outer_six=st.booleans(),
    port=st.sampled_from([4789, 8472, 8223]),
    vni=st.sampled_from([1, 4096, 2**24 - 1]),
    group=st.sampled_from([None, None, 77]),
    outer_vlan=st.sampled_from([None, None, 7]),
    inner_vlan=st.sampled_from([None, None, 8]),
)
NOISES = st.builds(
    Noise,
    count=st.integers(0, 3),
    others=st.booleans(),
    same_ports=st.booleans(),
    other_vni=st.booleans(),
    second_overlay=st.booleans(),
    arp=st.booleans(),
)


def fates(length: int, *, often: bool = False) -> st.SearchStrategy[int | None]:
    """The last hop that a packet passed, mostly None."""
    lost = st.integers(1, length - 1)
    return st.one_of(lost, st.none()) if often else st.one_of(st.none(), st.none(), st.none(), lost)


@st.composite
def nat(draw: st.DrawFn, protocol: str, port: int) -> Flow:
    """A flow straight to a server or through a Service, masqueraded or not, with or without new ports, which conntrack may not say.

    A new port is none that any client uses.
    """
    service = None if protocol == "ICMP" else draw(st.sampled_from([None, port, port + 1]))
    masquerade = draw(st.sampled_from([False, False, True]))
    shift = draw(st.sampled_from([0, 500] if masquerade else [0, 0, 0, 500]))
    known = draw(st.sampled_from([True, True, False]))
    return Flow(protocol=protocol, server_port=port, service_port=service, masquerade=masquerade, port_shift=shift, known=known)


@st.composite
def questions(draw: st.DrawFn, number: int, length: int) -> tuple[Flow, tuple[Packet, ...]]:
    """Datagrams of one socket or of many, also identical ones, and their answers; the network doubles, delays and fragments some."""
    protocol = draw(st.sampled_from(["UDP", "UDP", "ICMP", "SCTP"]))
    flow = draw(nat(protocol, 3000 + number * 10))
    count = draw(st.integers(1, 12))
    size = draw(st.sampled_from([8, 40, 300]))
    same = protocol == "UDP" and draw(st.booleans()) and draw(st.booleans())
    payloads = [b"same" if same else stream_bytes(number * 90_000 + index * 900, size) for index in range(count)]
    sockets = draw(st.booleans()) and protocol != "ICMP"
    requests = datagrams(
        payloads,
        flow=number,
        client_port=40_000 + number * 1_000,
        start_ns=EPOCH + draw(st.integers(0, 50)) * MS,
        gap_ns=draw(st.sampled_from([50_000, 10 * MS, 700 * MS])),
        ids=numbers(draw(NUMBERINGS), 1 + number * 5_000),
        fates=[draw(fates(length)) for _ in payloads],
        ports=(lambda index: 40_000 + number * 1_000 + index) if sockets else None,
    )
    requests = tuple(draw(troubles(one, length)) for one in requests)
    replied = answers(requests, payload=lambda index: b"answer %d" % index, fates=[draw(fates(length)) for _ in requests])
    return flow, (*requests, *(replied if draw(st.booleans()) else ()))


@st.composite
def troubles(draw: st.DrawFn, packet: Packet, length: int) -> Packet:
    """The packet with what the network does to it."""
    kind = draw(st.sampled_from(["", "", "", "jitter", "copy", "fragments", "outer fragments"]))
    if kind == "jitter":
        return replace(packet, jitter_ns=tuple(draw(st.sampled_from([0, 1_000, 30 * MS])) for _ in range(length - 1)))
    if kind == "copy" and length > 2:
        after = draw(st.integers(1, length - 1))
        until = st.one_of(st.none(), st.integers(after + 1, length - 1)) if after + 1 < length else st.none()
        return replace(packet, copied_after=after, copy_lost_after=draw(until))
    if kind == "fragments" and len(packet.payload) > 100:
        part = draw(st.integers(0, 2)) if packet.lost_after is not None else None
        return replace(
            packet, fragment_bytes=104, dont_fragment=False, ip_id=30_000 + packet.flow * 1_000 + packet.seq, lost_part=part,
            parts_until=max(packet.lost_after or 0, draw(st.integers(1, length))), parts_reversed=draw(st.booleans()),
        )  # fmt: skip
    if kind == "outer fragments" and len(packet.payload) > 100 and length > 4:
        place = length // 2
        part = draw(st.integers(0, 1)) if packet.lost_after == place else None
        return replace(packet, outer_fragment_bytes=200, lost_part=part, parts_until=place + 1, parts_reversed=draw(st.booleans()))
    return packet


@st.composite
def connections(draw: st.DrawFn, number: int, length: int) -> tuple[Flow, tuple[Packet, ...]]:
    """A TCP connection to or from the server: bursts through offloads, losses, retransmissions that may vanish too, ACKs, probes."""
    flow = draw(nat("TCP", 5000 + number * 10))
    merge = draw(st.sampled_from(MERGES)) if length == 6 else ()
    start = draw(st.sampled_from([1_000, 2**32 - 3_000]))
    download = draw(st.booleans())
    mss = draw(st.sampled_from([1338, 500]))
    connection = Connection(flow=number, client_port=40_000 + number * 1_000, download=download, seq=start, mss=mss)
    connection.ids = numbers(draw(st.sampled_from([Numbering.COUNTER, Numbering.WRAP, Numbering.SHARED])))
    fixed = draw(st.booleans()) and bool(merge)
    connection.handshake([draw(fates(length)) for _ in range(3)])
    for _ in range(draw(st.integers(1, 3))):
        count = draw(st.integers(1, 12))
        lost = draw(st.dictionaries(st.integers(0, count - 1), st.integers(1, length - 1), max_size=3))
        sent = connection.send(count, fates=lost, tail=draw(st.sampled_from([None, 100])), fixed_id=fixed)
        for index in sorted(lost):
            connection.acknowledge(sent[index].seq, sack=((sent[index].seq + 1, sent[index].seq + 9),))
            fate = draw(fates(length))
            connection.again(sent[index], same_id=draw(st.booleans()) and not fixed, fate=fate)
            if fate is not None:  # what is acknowledged has arrived
                connection.again(sent[index])
        connection.acknowledge(connection.seq, fate=draw(fates(length)))
        after = draw(st.sampled_from(["", "keepalive", "garbage", "probe", "ack"]))
        if after in ("keepalive", "garbage"):
            connection.keepalive(garbage=after == "garbage", fate=draw(fates(length)))
        elif after == "probe":
            connection.window_probe(fate=draw(fates(length)))
        elif after == "ack":
            connection.own_acknowledgement(connection.peer_seq + 5, fate=draw(fates(length)))
    connection.close()
    return flow.merging(merge, download=download), tuple(connection.packets)


@st.composite
def super_packets(draw: st.DrawFn, number: int, length: int) -> tuple[Flow, tuple[Packet, ...]]:
    """Super-packets of UDP to the server, or from it when it was asked, whose datagrams share IP IDs."""
    download = draw(st.booleans())
    port = 40_000 + number * 1_000
    packets = list(datagrams([b"asked"], flow=number, client_port=port, start_ns=EPOCH - MS)) if download else []
    size = draw(st.sampled_from([500, 1228]))
    merge = draw(st.sampled_from(MERGES[1:4])) if length == 6 else ()
    # One datagram alone can only vanish where it is alone before or behind.
    places = [hop for hop in range(1, length) if not merge or 1 in merge[hop - 1 : hop + 1]]
    for burst in range(draw(st.integers(1, 4))):
        count = draw(st.integers(2, 12))
        lost = draw(st.dictionaries(st.integers(0, count - 1), st.sampled_from(places), max_size=2))
        at = EPOCH + burst * draw(st.sampled_from([1, 5, 50])) * MS
        packets += super_datagrams(
            count, size, tail=draw(st.integers(1, size)), flow=number, client_port=port, start_ns=at, ident=100 + burst, burst=burst,
            fates=lost, reply=download,
        )  # fmt: skip
    flow = draw(nat("UDP", 4000 + number * 10))
    return flow.merging(merge, download=download), tuple(packets)


@st.composite
def reused_ports(draw: st.DrawFn, length: int) -> tuple[tuple[Flow, Flow], tuple[Packet, ...]]:
    """Sockets that ask a Service and its server directly: one of the two gets new ports, or comes when the other is forgotten."""
    known = draw(st.booleans())
    rewritten = draw(st.sampled_from(["through", "direct", "neither"]))
    through = Flow(service_port=53, port_shift=SHIFT if rewritten == "through" else 0, known=known)
    direct = Flow(port_shift=SHIFT if rewritten == "direct" else 0, known=known)
    count = draw(st.integers(1, 4))
    asked, answered = ([draw(fates(length)) for _ in range(2 * count)] for _ in range(2))
    later_ns = 5 * SECOND if rewritten == "neither" else draw(st.sampled_from([50_000, 3 * MS]))
    ids = numbers(draw(NUMBERINGS)), numbers(draw(NUMBERINGS), 900)
    world = reusing(through, direct, losses=(asked, answered), later_ns=later_ns, ids=ids, count=count, direct_first=draw(st.booleans()))
    return (through, direct), world.packets


CLOCKS = st.builds(
    Clock,
    offset_ns=st.sampled_from([0, 5 * MS, -100_000, -3 * SECOND, 7200 * SECOND]),
    drift_ppm=st.sampled_from([0, 0, 50, -400]),
    step_at_ns=st.integers(-1_000, 9_000).map(lambda number: EPOCH + number * MS + 7_000),
    step_ns=st.sampled_from([0, 0, 0, 2 * SECOND, -2 * SECOND, 300 * MS, -40 * MS, 3600 * SECOND]),
)
CAPTURES = st.one_of(
    st.builds(Capture, file_format=st.sampled_from(["pcap", "pcapng", "pcap.gz"]), nanoseconds=st.booleans(), shuffled=st.booleans()),
    st.builds(Capture, start_ns=st.integers(0, 4).map(lambda number: EPOCH + number * SECOND)),
    st.builds(Capture, end_ns=st.integers(2, 6).map(lambda number: EPOCH + number * SECOND)),
    st.builds(Capture, tail_cut=st.sampled_from([1, 5, 1000])),
    st.builds(Capture, kernel_drops=st.frozensets(st.integers(0, 40), min_size=1, max_size=4)),
    st.builds(Capture, snaplen=st.sampled_from([96, 130, 200])),
    st.just(Capture(blind=True)),
    st.just(Capture(twice=True)),
    st.just(Capture(cut_record=True)),
)


@st.composite
def flawed(draw: st.DrawFn) -> Capture:
    """A capture with one flaw, or several."""
    mine = [draw(CAPTURES) for _ in range(draw(st.sampled_from([1, 1, 2, 3])))]
    names = [field.name for field in fields(Capture)]
    changed = {name: getattr(one, name) for one in mine for name in names if getattr(one, name) != getattr(Capture(), name)}
    return replace(Capture(), **changed)


@st.composite
def clocks_of(draw: st.DrawFn, nodes: Sequence[str]) -> dict[str, Clock]:
    """Clocks of some nodes, of which at most one is set meanwhile: two that are set alike between readings seem never to have been."""
    found = draw(st.dictionaries(st.sampled_from(nodes), CLOCKS, max_size=2))
    stepped = [node for node in found if found[node].step_ns][1:]
    return {node: replace(clock, step_ns=0) if node in stepped else clock for node, clock in found.items()}


@st.composite
def worlds(draw: st.DrawFn, *, perfect: bool = False) -> World:
    """A world of one or two flows; `perfect`: with captures that missed nothing and clocks that agree."""
    shape = draw(st.sampled_from([Shape.CALICO, Shape.CALICO, Shape.FLANNEL, Shape.BR_NETFILTER]))
    servers = [FIRST, FIRST, SECOND_SERVER] + ([NEIGHBOUR] if shape is Shape.CALICO else [])
    flows: list[Flow] = []
    packets: list[Packet] = []
    # 0: two flows from the same ports
    for number in range(draw(st.sampled_from([0, 1, 1, 2, 2, 2]))):
        server = draw(st.sampled_from(servers))
        length = len(way(server, shape=shape))
        kind = draw(st.sampled_from([questions, questions, connections, super_packets]))
        flow, mine = draw(kind(number, length))
        flows.append(replace(flow, server=server))
        packets += mine
    if not flows:
        server = draw(st.sampled_from(servers))
        both, mine = draw(reused_ports(len(way(server, shape=shape))))
        flows += [replace(flow, server=server) for flow in both]
        packets += mine
    taps = sorted({stop.tap for flow in flows for stop in way(flow.server, shape=shape)})
    return World(
        flows=tuple(flows),
        packets=tuple(packets),
        shape=shape,
        six=draw(st.sampled_from([False, False, True])),
        tunnel=draw(TUNNELS),
        clocks={} if perfect else draw(clocks_of(_nodes(flows))),
        captures={} if perfect else draw(st.dictionaries(st.sampled_from(taps), flawed(), max_size=4)),
        noise=draw(NOISES),
        mtu_bytes=draw(st.sampled_from([1410, 1410, None])),
    )


def _nodes(flows: Sequence[Flow]) -> list[str]:
    return sorted({node_of(flow.server) for flow in flows} | {tap[0] for flow in flows for tap in _taps(flow)})


def _taps(flow: Flow) -> list[TapName]:
    return [stop.tap for stop in way(flow.server)]
