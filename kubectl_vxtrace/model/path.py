"""Where packets should go: flows, VTEPs, hops and paths."""

from dataclasses import dataclass
from enum import StrEnum

from kubectl_vxtrace.model.protocol import ADDRESS_RESOLUTION


class Direction(StrEnum):
    """Direction of a path, seen from the client."""

    REQUEST = "request"
    REPLY = "reply"

    @property
    def reverse(self) -> "Direction":
        """The other one."""
        return Direction.REPLY if self is Direction.REQUEST else Direction.REQUEST


class Role(StrEnum):
    """What an interface is to a path."""

    POD = "pod"
    BRIDGE = "bridge"
    VXLAN = "vxlan"
    UNDERLAY = "underlay"


class Basis(StrEnum):
    """Where a path comes from: the nodes' kernels, the API alone, or inferred from captures."""

    KERNEL = "kernel"
    API = "api"
    INFERRED = "inferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One end of a flow; `pod` is `namespace/name`."""

    address: str
    port: int | None = None
    pod: str | None = None
    node: str | None = None
    host_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRef:
    """The Service a flow was addressed to; any part may be unknown where only files are given."""

    address: str | None = None
    port: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Everything with the same protocol, client address, Service and server.

    `protocol` is `TCP`, `UDP`, `SCTP` or `ICMP`; of questions for the link-layer address of a next hop, for which nobody answered,
    `ARP` or `NDP`, and that address is the only candidate. `server` is None where nothing named the backend; `candidates` are then the
    backends it may have been. `client.port` is None in a planned flow. `foreign`: the client's pod sent with an address that is not its
    own, which is then `client.address`; such a flow is never planned, the captures show it.
    """

    id: int
    protocol: str
    client: Endpoint
    service: ServiceRef | None = None
    server: Endpoint | None = None
    candidates: tuple[Endpoint, ...] = ()
    foreign: bool = False

    @property
    def asks_next_hop(self) -> bool:
        """Whether these are questions for the link-layer address of the client's next hop, after which nothing was sent."""
        return self.protocol in ADDRESS_RESOLUTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Vtep:
    """A VXLAN tunnel endpoint: a node's VXLAN device. `address` is the overlay address of the device (10.244.114.64)."""

    node: str
    interface: str
    address: str | None = None
    underlay_address: str | None = None
    mac: str | None = None
    vni: int | None = None
    port: int | None = None
    mtu_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """The overlay: `backend` names the network as its row in topology/cni.py does, an unknown one `vxlan`; one VTEP for each node."""

    backend: str | None = None
    vteps: tuple[Vtep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Tap:
    """A place where packets are captured: one interface of one node.

    Where only files are given, `interface` is empty and `place`, the file's name, tells a node's taps apart.
    """

    node: str
    interface: str
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A tap's place in one path, numbered from 1; unexpected sightings come after the expected hops."""

    hop: int
    role: Role
    tap: Tap
    expected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The hops that packets of `flow` (its id) take in one direction.

    `outer_destination` is the underlay address that the sender's FDB names, where it is known. `note` says what the two
    halves disagree on, or why the path ends early.
    """

    flow: int
    direction: Direction
    hops: tuple[Hop, ...]
    basis: Basis = Basis.KERNEL
    outer_destination: str | None = None
    note: str | None = None

    def receiver(self, flow: Flow) -> Endpoint | None:
        """The end of `flow`, whose path this is, that packets go to; None where nothing named it."""
        return flow.client if self.direction is Direction.REPLY else flow.server

    def ends_at_receiver(self, flow: Flow) -> bool:
        """Whether the last hop is on the receiver's node: else no capture could see what came to the receiver."""
        end = self.receiver(flow)
        return end is not None and end.node is not None and bool(self.hops) and end.node == self.hops[-1].tap.node

    def ends_in_node(self, flow: Flow) -> bool:
        """Whether what comes to the last hop goes on to a socket of that hop's node itself."""
        end = self.receiver(flow)
        return end is not None and end.host_network and self.ends_at_receiver(flow)
