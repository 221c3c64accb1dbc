"""Where packets should go: flows, VTEPs, hops and paths."""

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Direction of a path, seen from the client."""

    REQUEST = "request"
    REPLY = "reply"


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

    `protocol` is `TCP`, `UDP`, `SCTP` or `ICMP`. `server` is None where nothing named the backend; `candidates` are then the
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
class Translation:
    """An address translation on a node. `before` and `after` are `address:port` of the rewritten end."""

    node: str
    before: str
    after: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The hops that packets of `flow` (its id) take in one direction.

    `outer_destination` is the underlay address that the sender's FDB names, where it is known. `note` says what the two
    halves disagree on, or why the path ends early.
    """

    flow: int
    direction: Direction
    hops: tuple[Hop, ...]
    translations: tuple[Translation, ...] = ()
    basis: Basis = Basis.KERNEL
    outer_destination: str | None = None
    note: str | None = None
