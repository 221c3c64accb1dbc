"""What a node's kernel said about itself."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class VxlanDevice:
    """The VXLAN attributes of a link (`ip -d -j link`, info_data). `external` is metadata mode (Cilium)."""

    vni: int | None = None
    port: int | None = None
    local: str | None = None
    device: str | None = None
    external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface. `counters` are those of `ip -s -s -j link`, flattened: `rx.packets`, `tx.dropped`, `rx.otherhost`.

    `bpf`: a BPF program at tc or tcx, which may take packets away, as one at XDP (`xdp`) may.
    """

    name: str
    index: int
    kind: str | None = None
    mac: str | None = None
    mtu_bytes: int | None = None
    up: bool = True
    operstate: str | None = None
    master: str | None = None
    addresses: tuple[str, ...] = ()
    vxlan: VxlanDevice | None = None
    xdp: bool = False
    bpf: bool = False
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A line of the routing tables; `type` is `unicast`, `blackhole`, `unreachable`, `prohibit`, `local`."""

    destination: str
    type: str = "unicast"
    gateway: str | None = None
    device: str | None = None
    table: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLookup:
    """The kernel's answer to `ip route get DESTINATION [from SOURCE iif INPUT]`; `error` where it refused."""

    destination: str
    source: str | None = None
    input: str | None = None
    type: str = "unicast"
    gateway: str | None = None
    device: str | None = None
    preferred_source: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An ARP or ND entry; `states` as iproute2 spells them (`PERMANENT`, `REACHABLE`, `FAILED`)."""

    address: str
    device: str
    mac: str | None = None
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FdbEntry:
    """A forwarding database entry: on a VXLAN device `destination` is the underlay address, on a bridge port it is None."""

    mac: str
    device: str
    destination: str | None = None
    port: int | None = None
    vni: int | None = None
    master: str | None = None
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A packet filter rule with its counter.

    `id` is the same for the same rule before and after (position does not count: it is made of backend, table, chain, text
    and the ordinal among equal texts). `packets` is None for a rule without a counter. `target` is upper case (`DROP`,
    `REJECT`, `ACCEPT`, `DNAT`, a chain's name as it is); a chain's policy is a Rule whose `text` is `policy`.
    `backend` is `iptables-nft`, `iptables-legacy` or `nft`; of the last, `table` holds the family too (`inet firewalld`), and
    `hook` is that of a base chain (`input`, `forward`), whose name may be anything there.
    """

    id: str
    backend: str
    table: str
    chain: str
    text: str
    target: str | None = None
    comment: str | None = None
    packets: int | None = None
    hook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackEntry:
    """A connection as conntrack holds it: what the originator sent, and what a reply must look like. ICMP: ports are the id."""

    protocol: str
    original_source: str
    original_destination: str
    reply_source: str
    reply_destination: str
    original_source_port: int | None = None
    original_destination_port: int | None = None
    reply_source_port: int | None = None
    reply_destination_port: int | None = None
    original_packets: int | None = None
    reply_packets: int | None = None
    state: str | None = None
    unreplied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """A node's clock, read between two readings of the client's (all Unix ns): node time minus client time is bounded by them.

    `resolution_ns` is 1 where the node can say nanoseconds, 1,000 where it can say microseconds, else 1,000,000,000.
    """

    node_ns: int
    sent_ns: int
    received_ns: int
    resolution_ns: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """Everything one node said at one time. `absent` holds, per question, why it has no answer; absence is not emptiness.

    `counters` are those of /proc/net/{snmp,netstat,snmp6,softnet_stat,stat/nf_conntrack}: `Udp.NoPorts`, `TcpExt.IPReversePathFilter`,
    `softnet.dropped`, `conntrack.insert_failed`; and `ethtool.<interface>.<name>`. `sysctls` are spelled as sysctl(8) prints them,
    so that a dot in an interface's name is a slash (`net.ipv4.conf.vxlan/calico.rp_filter`). `ethtool` holds, as
    `<interface>.<name>`, what `ethtool -k` and `-i` say: features (`on`, `off`), `driver`, `firmware-version`.
    """

    node: str
    taken_ns: int = 0
    clock: ClockReading | None = None
    kernel: str | None = None
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    lookups: tuple[RouteLookup, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    rules: tuple[Rule, ...] = ()
    conntrack: tuple[ConntrackEntry, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    ethtool: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def link(self, name: str) -> Link | None:
        """The link called `name`, or None."""
        return next((link for link in self.links if link.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDrop:
    """A packet that the kernel said it dropped."""

    node: str
    time_ns: int
    reason: str
    location: str
