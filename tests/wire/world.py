"""A description of traffic, of what the network did to it, and of what was captured: everything that `emit` makes files of.

All times are true ones in ns; what a node's clock shows is `Clock`'s matter. Hops count from 1 in the order of a packet's own direction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from tests.wire.describe import describe
from tests.wire.places import EPOCH, FIRST, SECOND, Shape, TapName

DEFAULT_DELAYS_NS = (4_000, 3_000, 120_000, 5_000, 6_000, 4_000, 3_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A node's clock: the true time plus `offset_ns`, running `drift_ppm` fast, and set by `step_ns` at `step_at_ns`."""

    offset_ns: int = 0
    drift_ppm: int = 0
    step_at_ns: int = 0
    step_ns: int = 0

    def shows(self, time_ns: int) -> int:
        """What it shows at a true time."""
        step = self.step_ns if self.step_ns and time_ns >= self.step_at_ns else 0
        return time_ns + self.offset_ns + (time_ns - EPOCH) * self.drift_ppm // 1_000_000 + step


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What one tap's capture was like.

    start_ns, end_ns: when it ran. blind: it wrote no file. kernel_drops: ordinals of the frames (modulo their number) that the kernel
    dropped before it. tail_cut: how many of its last frames SIGINT cut off: received, never written. snaplen: bytes of a frame that it
    keeps. twice: each frame was captured twice (a bond and its member, `-i any`). cut_record: the file ends inside its last record.
    file_format: pcap, pcapng or pcap.gz. nanoseconds: else times are cut to microseconds. shuffled: records are not in order of time.
    """

    start_ns: int = EPOCH - 5 * SECOND
    end_ns: int = EPOCH + 60 * SECOND
    blind: bool = False
    kernel_drops: frozenset[int] = frozenset()
    tail_cut: int = 0
    snaplen: int = 512
    twice: bool = False
    cut_record: bool = False
    file_format: str = "pcap"
    nanoseconds: bool = True
    shuffled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What one client asks of one server; several packets of several client ports belong to it.

    protocol: UDP, TCP, ICMP or SCTP. service_port: the port asked for at the Service, None for traffic straight to the server (no DNAT).
    masquerade: the client's address is rewritten behind the client's pod (SNAT). port_shift: what is added to the client's port there,
    which NAT does without a new address as well, where another connection has the port. known: whether conntrack was read, so that its
    tuples are at hand. merge: how many segments a frame may hold at each hop of a request and merge_reply at each of a reply (offloads);
    empty for one everywhere.
    """

    protocol: str = "UDP"
    server: str = FIRST
    server_port: int = 53
    service_port: int | None = None
    masquerade: bool = False
    port_shift: int = 0
    known: bool = True
    merge: tuple[int, ...] = ()
    merge_reply: tuple[int, ...] = ()

    def merging(self, merge: tuple[int, ...], *, download: bool = False) -> "Flow":
        """The same with offloads of what is sent, by the server if it is a download."""
        return replace(self, merge_reply=merge) if download else replace(self, merge=merge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet as it would be on the wire, and its fate.

    flow: index into World.flows. client_port: the client's, before translation; of a ping its identifier. ip_id: as the sender set it;
    wire_ip_id: what the sender's NIC makes of it, if it numbers segments itself. outer_ip_id: of its encapsulation, by default counted.
    first: the hop where it comes into being. lost_after: the last hop that it passed, None if it arrived. hidden: hops where an offload
    put it into another packet's frame (a pure ACK).
    burst: packets of one number that follow each other may share a frame. jitter_ns: added to each leg's delay.
    fragment_bytes: cut by IP into parts of so many bytes of its payload (a multiple of 8), from the hop behind `whole_until` on;
    outer_fragment_bytes: its outer packet is. lost_part: the part that vanished at `lost_after`; the others go on to `parts_until`.
    parts_reversed: later parts first. copied_after: the network doubles it behind this hop; copy_lost_after: the copy's fate.
    loops: how often it comes round from the receiving node before it vanishes.
    """

    flow: int = 0
    reply: bool = False
    client_port: int = 40_000
    time_ns: int = EPOCH
    payload: bytes = b""
    ip_id: int = 0
    wire_ip_id: int | None = None
    outer_ip_id: int | None = None
    dont_fragment: bool = True
    seq: int = 0
    ack: int = 0
    flags: int = 0x10
    window: int = 64240
    sack: tuple[tuple[int, int], ...] = ()
    first: int = 1
    lost_after: int | None = None
    hidden: frozenset[int] = frozenset()
    burst: int | None = None
    jitter_ns: tuple[int, ...] = ()
    fragment_bytes: int | None = None
    whole_until: int = 0
    outer_fragment_bytes: int | None = None
    lost_part: int | None = None
    parts_until: int = 0
    parts_reversed: bool = False
    copied_after: int | None = None
    copy_lost_after: int | None = None
    loops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """How packets are encapsulated: the outer family, UDP port, VNI, the group of the Group Policy extension, and 802.1Q tags."""

    outer_six: bool = False
    port: int = 4789
    vni: int = 4096
    group: int | None = None
    outer_vlan: int | None = None
    inner_vlan: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Frames that belong to no flow, `count` of each at every tap that would see them.

    others: of other pods. same_ports: of another client with a flow's ports. other_vni, second_overlay: encapsulated, with another VNI,
    or on another port. arp: at every tap.
    """

    count: int = 0
    others: bool = False
    same_ports: bool = False
    other_vni: bool = False
    second_overlay: bool = False
    arp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All of it. `captures` names the taps that differ from Capture(); `mtu_bytes` is the overlay's MTU, None where nobody knows it."""

    flows: tuple[Flow, ...]
    packets: tuple[Packet, ...]
    shape: Shape = Shape.CALICO
    six: bool = False
    tunnel: Tunnel = Tunnel()
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    captures: Mapping[TapName, Capture] = field(default_factory=dict)
    delays_ns: tuple[int, ...] = DEFAULT_DELAYS_NS
    noise: Noise = Noise()
    mtu_bytes: int | None = 1410

    def clock(self, node: str) -> Clock:
        """A node's clock."""
        return self.clocks.get(node, Clock())

    def capture(self, tap: TapName) -> Capture:
        """A tap's capture."""
        return self.captures.get(tap, Capture())

    def _repr_pretty_(self, printer: "Printer", cycle: bool) -> None:
        """How hypothesis shows it (IPython's protocol)."""
        printer.text("..." if cycle else describe(self))


class Printer(Protocol):
    """What of a pretty printer is used."""

    def text(self, obj: str) -> None:
        """Add text."""
        ...
