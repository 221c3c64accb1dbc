"""The report: the contract's JSON, field for field. A field called `from_` is `from` there."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kubectl_vxtrace.model.cluster import CleanupState
from kubectl_vxtrace.model.path import Direction, Role


class Verdict(StrEnum):
    """Verdict of a packet, a direction or a whole report; the worst stands first."""

    DROPPED = "dropped"
    LOST = "lost"
    REJECTED = "rejected"
    UNANSWERED = "unanswered"
    UNDETERMINED = "undetermined"
    NO_TRAFFIC = "no-traffic"
    DELIVERED = "delivered"
    NOT_APPLICABLE = "not-applicable"


BROKEN = frozenset({Verdict.DROPPED, Verdict.LOST, Verdict.REJECTED, Verdict.UNANSWERED})
"""Verdicts of traffic that does not get through."""

WORST_FIRST = tuple(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst verdict; `no-traffic` counts only where there is nothing but it and directions that cannot exist."""
    telling = [verdict for verdict in verdicts if verdict not in (Verdict.NO_TRAFFIC, Verdict.NOT_APPLICABLE)]
    return min(telling, key=WORST_FIRST.index) if telling else Verdict.NO_TRAFFIC


class Impact(StrEnum):
    """How much of the traffic is hurt."""

    TOTAL = "total"
    PARTIAL = "partial"
    RECOVERED = "recovered"
    NONE = "none"


class Confidence(StrEnum):
    """How sure a finding is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Severity(StrEnum):
    """error: explains packets of this trace; warning: will hurt; info: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class EvidenceKind(StrEnum):
    """What a piece of evidence is made of."""

    PACKETS = "packets"
    COUNTER = "counter"
    CONFIG = "config"
    KERNEL = "kernel"
    ABSENCE = "absence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """With what a trace was made: the command, versions of the plugin, of kubelets and kernels (each once), the network (`calico-vxlan`),
    the debug pods' image and profile, and the user's filter."""

    command: str
    plugin: str
    kubernetes: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    cni: str | None = None
    image: str
    profile: str
    filter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """About the trace itself; `started` is RFC 3339 UTC. `context` is None where only files are given. `anonymized`: pseudonyms stand for
    addresses and names."""

    session: str
    started: str
    duration_s: float
    version: str
    ticket: str | None = None
    context: Context | None = None
    anonymized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """Something that could not be seen."""

    node: str | None
    interface: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """Whether everything that was to be seen could be seen."""

    complete: bool
    blind: tuple[Blind, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayDevice:
    """A VXLAN device as the report shows it; `mtu` in bytes."""

    node: str
    interface: str | None = None
    vni: int | None = None
    port: int | None = None
    mtu: int | None = None
    address: str | None = None
    underlay_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayReport:
    """The overlay as the report shows it."""

    backend: str | None
    devices: tuple[OverlayDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReport:
    """One end of a flow."""

    address: str | None = None
    port: int | None = None
    pod: str | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """The Service of a flow."""

    address: str | None = None
    port: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """The encapsulation seen at a hop."""

    source: str
    destination: str
    port: int
    vni: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HopCount:
    """What one hop saw of one direction. `capture` is the capture's id; `control` counts other packets that prove the tap alive."""

    hop: int
    role: Role
    node: str
    interface: str | None
    expected: bool = True
    capture: int | None = None
    packets: int = 0
    frames: int = 0
    control: int = 0
    witness: bool = True
    reason: str | None = None
    tuple: str | None = None
    outer: Outer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Latency of a leg, in ns; none is finer than `uncertainty`."""

    min: int
    median: int
    max: int
    uncertainty: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LegTally:
    """What became of packets between two neighbouring witnesses. `to` is None where nothing names the next hop."""

    from_: int
    to: int | None
    sent: int
    arrived: int
    lost: int
    undetermined: int = 0
    latency_ns: Latency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionReport:
    """One direction of one flow."""

    direction: Direction
    verdict: Verdict
    hops: tuple[HopCount, ...]
    legs: tuple[LegTally, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReport:
    """One flow, both directions."""

    id: int
    protocol: str
    connections: int
    client: EndpointReport
    server: EndpointReport | None
    candidates: tuple[EndpointReport, ...]
    service: ServiceReport | None
    directions: tuple[DirectionReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SightingReport:
    """One packet at one hop; `time` is RFC 3339 UTC with nanoseconds, in the clock of the hop's node."""

    hop: int
    time: str
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketLine:
    """One packet over all hops. `dissection` is tshark's, for the shown ones, where there is one."""

    id: int
    flow: int
    direction: Direction
    client_port: int | None
    summary: str
    outcome: Verdict
    sightings: tuple[SightingReport, ...]
    dissection: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A leg as a finding names it."""

    from_: int
    to: int | None


BEFORE_TAP = "can take packets before they are seen here"
"""How the reason of a hop ends that a program makes blind (HopCount.reason)."""

PAST_TAP = "hands packets to the pod past this tap (the kernel dropped none)"
"""How it ends where the packets are known to have arrived all the same."""

LossPlace = tuple[int | None, Direction | None, Leg | None]
"""What a finding speaks of: a flow's id, a direction, a leg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRef:
    """A frame of a capture file: what somebody opens in Wireshark."""

    capture: int
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One proof of a finding."""

    kind: EvidenceKind
    text: str
    frames: tuple[FrameRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A cause, with what proves it. `not_ruled_out` says what else it could be."""

    cause: str
    confidence: Confidence
    severity: Severity
    packets: int
    summary: str
    flow: int | None = None
    direction: Direction | None = None
    leg: Leg | None = None
    evidence: tuple[Evidence, ...] = ()
    remediation: str | None = None
    not_ruled_out: tuple[str, ...] = ()

    @property
    def place(self) -> LossPlace:
        """The flow, direction and leg that the finding speaks of."""
        return self.flow, self.direction, self.leg


def first_error(findings: Iterable[Finding]) -> Finding | None:
    """The error finding that comes first: the cause of what is broken. `findings` are sorted, the best first."""
    return next((finding for finding in findings if finding.severity is Severity.ERROR), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetBound:
    """Bounds of a node's clock minus the reference's, in ns; None where nothing bounds it."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockBound:
    """What can be claimed of one node's clock against another's. `stepped`: it, or the other one, was set while captures ran."""

    reference: str
    node: str
    offset_ns: OffsetBound
    samples: int
    stepped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureLine:
    """One capture as the report shows it; times RFC 3339 UTC, `bytes` of the file, `scrubbed`: whether payload was taken out of it."""

    id: int
    node: str
    interface: str | None
    filter: str | None
    argv: tuple[str, ...] | None
    started: str | None
    stopped: str | None
    snaplen: int | None
    received: int | None
    captured: int | None
    dropped_by_kernel: int | None
    file: str | None
    bytes: int
    sha256: str | None
    scrubbed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LegSizes:
    """Which sizes pass a leg of a flow's direction, from packets that may not be fragmented: the largest that came to its end, and the
    smallest that vanished on it; None where none did. Of the packet inside the tunnel, with its IP header."""

    flow: int
    direction: Direction
    from_: int
    to: int | None
    largest_passed_bytes: int | None
    smallest_lost_bytes: int | None


class Decides(StrEnum):
    """What tells datagrams between two nodes that arrive from those that are lost; see the field `ab`.

    nothing: all arrive, or (nothing-arrives) none. port, checksum, size: it alone. combination: several of these together. source-port: all
    from some outer source ports are lost, and none from the others. irregular: none of these. unknown: not all were to be seen.
    not-sent: there were none.
    """

    NOTHING = "nothing"
    NOTHING_ARRIVES = "nothing-arrives"
    PORT = "port"
    CHECKSUM = "checksum"
    SIZE = "size"
    COMBINATION = "combination"
    SOURCE_PORT = "source-port"
    IRREGULAR = "irregular"
    UNKNOWN = "unknown"
    NOT_SENT = "not-sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantTally:
    """What became of datagrams of one kind. checksum: whether they have an outer UDP checksum. bytes: of the IP packet. left: how many were
    seen at the sender's NIC, arrived: at the receiver's; None where that is not known."""

    port: int
    checksum: bool
    bytes: int
    sent: int
    left: int | None
    arrived: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePortTally:
    """The same by outer source port, and port."""

    source_port: int
    port: int
    sent: int
    left: int | None
    arrived: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeComparison:
    """What became of the datagrams that this trace sent from one node to another (--ab), which differ in UDP port, checksum, size and
    source port. `from_`, `to`: the nodes; `source`, `destination`: their underlay addresses."""

    from_: str
    to: str
    source: str
    destination: str
    vxlan_port: int
    other_port: int
    decides: Decides
    summary: str
    variants: tuple[VariantTally, ...]
    source_ports: tuple[SourcePortTally, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupReport:
    """Whether the debug pods are gone."""

    state: CleanupState
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReport:
    """The whole report, without the envelope's `apiVersion` and `kind`. `leg_sizes`: of a trace that sent many sizes (--mtu).
    `ab`: of one that sent datagrams between the nodes to compare ports, checksums, sizes and source ports (--ab)."""

    verdict: Verdict
    impact: Impact
    cause: str | None
    summary: str
    remediation: str | None
    metadata: Metadata
    completeness: Completeness
    overlay: OverlayReport
    flows: tuple[FlowReport, ...]
    packets: tuple[PacketLine, ...]
    findings: tuple[Finding, ...]
    clocks: tuple[ClockBound, ...]
    captures: tuple[CaptureLine, ...]
    cleanup: CleanupReport | None
    leg_sizes: tuple[LegSizes, ...] = ()
    ab: tuple[NodeComparison, ...] = ()

    @property
    def main_finding(self) -> Finding | None:
        """The finding that names the report's cause; None where it has none."""
        return next((finding for finding in self.findings if finding.cause == self.cause), None)
