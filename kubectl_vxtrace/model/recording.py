"""What one trace recorded: everything that the analysis may look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product

from kubectl_vxtrace.model.cluster import Cleanup, ClusterSnapshot
from kubectl_vxtrace.model.cni import Cni
from kubectl_vxtrace.model.facts import KernelDrop, NodeFacts
from kubectl_vxtrace.model.path import Flow, Overlay, Path, Role, Tap
from kubectl_vxtrace.model.request import ProbeKind, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureTask:
    """One tcpdump to run. `id` numbers the captures of a trace from 1; `file` is the pcap's name in the bundle.

    `argv` is empty where the interface's name cannot be used in a command. `count_filter` is set at the clients' first hops: it picks the
    packets of the flows from this capture's file, for the plan's limit on packets and to see whether there are any. `sources_but` is set
    where the filter also picks what passes from a source that is no planned end's, on the flows' ports: from any address but those in these
    networks.
    """

    id: int
    tap: Tap
    role: Role
    file: str
    filter: str | None = None
    argv: tuple[str, ...] = ()
    snaplen_bytes: int = 512
    file_bytes: int = 64 * 1024 * 1024
    count_filter: str | None = None
    sources_but: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePlan:
    """All captures of a trace. `packets` ends it early, `user_filter` is the user's own expression, which a node must accept first."""

    tasks: tuple[CaptureTask, ...]
    duration_s: float
    packets: int | None = None
    user_filter: str | None = None


class CaptureStatus(StrEnum):
    """How a capture ended.

    complete: ran until we stopped it, its file is whole and verified. partial: the file is there, but the capture ended by
    itself or its end is unknown. failed: no file. zero: the device was absent or down before and after, so that nothing
    can have passed. presumed: a file recorded by somebody else, without closing numbers.
    """

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    ZERO = "zero"
    PRESUMED = "presumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureResult:
    """What became of a task. Times are the node's clock in Unix ns; the three counts are tcpdump's own closing numbers.

    `file` is the pcap's name in the trace folder, None where there is none; `further_files` are those that continue it, where somebody
    else's tcpdump wrote one capture into several. `received_early`: how many of `received` came before the filter was in place; they are
    never written. A presumed capture with `stopped_ns` testifies up to then: its file ends, or is damaged, in the middle of a packet.
    `scrubbed`: payload was taken out of it but for DNS (packets/scrub.py).
    """

    task: CaptureTask
    status: CaptureStatus
    reason: str | None = None
    started_ns: int | None = None
    stopped_ns: int | None = None
    received: int | None = None
    received_early: int = 0
    captured: int | None = None
    dropped_by_kernel: int | None = None
    size_bytes: int = 0
    sha256: str | None = None
    file: str | None = None
    further_files: tuple[str, ...] = ()
    scrubbed: bool = False

    @property
    def cut_off(self) -> int:
        """Packets that the filter let pass and that are not in the file: they came when the capture was stopped."""
        return max((self.received or 0) - self.received_early - (self.captured or 0), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """When a capture ran that a script of ours made on a node, in the node's Unix ns.

    stopped_ns: None where it had ended before it was stopped, or may have begun late. dropped_by_kernel: None where tcpdump did not say.
    """

    started_ns: int
    stopped_ns: int | None = None
    dropped_by_kernel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LooseFile:
    """A capture file that somebody else recorded; where it was captured is still to be found out.

    path: where it can be read. name: how it was handed over, with its folders and archives (`ticket.tgz/ada-ec-1/pod.pcap`). node, role:
    where the user says that it was captured, None where nobody does; `fabric`: between nodes, at a switch. failure: why it cannot be read
    at all. ran: when it was captured, if a script of ours did.
    """

    path: str
    name: str
    node: str | None = None
    role: Role | None = None
    fabric: bool = False
    failure: str | None = None
    ran: Ran | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A packet that was sent in the traced pod's place, from its network namespace, and nothing else of it.

    address, port: where to; port 0 for an echo. client_port: its source port, or an echo's identifier. sent_ns: by the client's node's
    clock.
    """

    kind: ProbeKind
    address: str
    port: int
    client_port: int
    sent_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a datagram between two nodes differs from its likes. checksum: with an outer UDP checksum. size_bytes: of its IP packet."""

    port: int
    checksum: bool
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPair:
    """The datagrams that one node sends another to compare ports, checksums, sizes and outer source ports (--ab).

    sender, receiver: the nodes; source, destination: their underlay addresses. vxlan_port: the overlay's; other_port: one that nothing
    uses. checksums: those that are tried, with and without, or with alone. copies: of each variant and source port.
    first_vni: of the first datagram; each has a VNI of its own, one more than the one before it, which no device has and by which it is
    known wherever it is seen, whatever was translated. They are numbered from 0: copy by copy, in it variant by variant, in it by source
    port, so that likes are far apart in time. sent: the numbers of those that the sender's kernel took.
    """

    sender: str
    receiver: str
    source: str
    destination: str
    vxlan_port: int
    other_port: int
    checksums: tuple[bool, ...]
    sizes_bytes: tuple[int, ...]
    source_ports: tuple[int, ...]
    copies: int
    first_vni: int
    sent: tuple[int, ...] = ()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All variants, in the order in which they are sent."""
        ports = (self.vxlan_port, self.other_port)
        return tuple(
            Variant(port=port, checksum=checksum, size_bytes=size)
            for port, checksum, size in product(ports, self.checksums, self.sizes_bytes)
        )

    @property
    def count(self) -> int:
        """How many datagrams there are."""
        return self.copies * 2 * len(self.checksums) * len(self.sizes_bytes) * len(self.source_ports)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortComparison:
    """What was sent between nodes to compare ports, checksums, sizes and source ports, and the captures of it at the nodes' NICs, which
    are none of the trace's. missing: why something was not sent."""

    pairs: tuple[ComparedPair, ...] = ()
    captures: tuple[CaptureResult, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that could not be seen; `interface` is None where the whole node is meant."""

    node: str | None = None
    interface: str | None = None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One trace as recorded, the only input of the analysis.

    `request` and `snapshot` are None where only files were given. `flows` and `paths` are what was planned; `folder` is
    where `captures[].file` are. `kernel_drops_absent` holds, per node, why its kernel named no drops; a node that stands neither
    there nor in `kernel_drops` dropped nothing that it has a reason for (of files alone, both are empty and say nothing).
    `kernel_drops_logged` has, per node, from when to when its kernel was listened to (Unix ns by its own clock).
    `cnis` is what this version knows of networks, which no bundle holds: all of them, for a node may still have rules of a former one.
    `loose` files become captures once they are read; `node_addresses` are the nodes' underlay addresses that the user named with them,
    `notes` what has to be said of them. `anonymized`: pseudonyms stand for addresses and names, everywhere (see the room pseudonyms).
    `probes` were sent in the pod's place while captures ran; `unprobed` says why others were not. `ab` is what was sent between nodes, and
    captured apart from all else, when these had ended; None where it was not asked for.
    """

    session: str
    version: str
    started_ns: int
    duration_s: float = 0.0
    interrupted: bool = False
    request: Request | None = None
    snapshot: ClusterSnapshot | None = None
    overlay: Overlay
    flows: tuple[Flow, ...]
    paths: tuple[Path, ...]
    before: tuple[NodeFacts, ...] = ()
    after: tuple[NodeFacts, ...] = ()
    captures: tuple[CaptureResult, ...] = ()
    kernel_drops: tuple[KernelDrop, ...] = ()
    kernel_drops_absent: dict[str, str] = field(default_factory=dict)
    kernel_drops_logged: dict[str, tuple[int, int]] = field(default_factory=dict)
    cleanup: Cleanup | None = None
    gaps: tuple[Gap, ...] = ()
    folder: str = ""
    cnis: tuple[Cni, ...] = ()
    loose: tuple[LooseFile, ...] = ()
    node_addresses: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    anonymized: bool = False
    probes: tuple[Probe, ...] = ()
    unprobed: tuple[str, ...] = ()
    ab: PortComparison | None = None
