"""What a node's kernel said about itself."""

from dataclasses import dataclass, field

from kubectl_vxtrace.model.datapath import (
    BridgePort,
    IpsecPolicy,
    IpsecState,
    Listener,
    PodNamespace,
    QueueListener,
    ServiceTranslation,
    TcFilter,
    UdpSocket,
)
from kubectl_vxtrace.model.pod_facts import PodFacts

PAIR_KINDS = ("veth", "netkit")
"""Kinds of interfaces that come in pairs, one end usually in a pod (ip-link(8); netkit since Linux 6.7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VxlanDevice:
    """The VXLAN attributes of a link (`ip -d -j link`, info_data). `external` is metadata mode (Cilium).

    `zero_checksum6_sent` and `zero_checksum6_accepted`: UDP over IPv6 without a checksum, as `udp6zerocsumtx` and `udp6zerocsumrx`
    of ip-link(8); None where the tool does not say. `learning`: entries of the FDB come from received frames.
    """

    vni: int | None = None
    port: int | None = None
    local: str | None = None
    device: str | None = None
    external: bool = False
    learning: bool | None = None
    zero_checksum6_sent: bool | None = None
    zero_checksum6_accepted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface. `counters` are those of `ip -s -s -j link`, flattened: `rx.packets`, `tx.dropped`,
    `rx.missed_errors` (the ring was full), `rx.over_errors`, `rx.fifo_errors`; `rx.otherhost` and `rx.nohandler` are left out while zero;
    and those of its queueing discipline, `qdisc.dropped`, `qdisc.overlimits`, `qdisc.requeues`.

    `bpf`: a BPF program at tc or tcx, which may take packets away, as one at XDP (`xdp`) may. `addresses` are plain, `prefixes` the
    same with their lengths (`10.128.0.72/24`). `lower` is the interface that this one stands on (a VLAN's parent). One whose other end is
    in another namespace (a pod's veth) has that end's `peer_index` there, and the namespace's number as `peer_namespace` (PodNamespace.id).
    A veth both of whose ends are the node's own (Cilium's cilium_host and cilium_net) has the other's name as `peer`.
    `flags` are iproute2's (`NOARP`, `LOWER_UP`), and so is `link_type` (`ether`, `none`); `qdisc` is the root discipline's kind. `port`
    says how the bridge `master` treats it. `details` are the scalars of its kind in iproute2's words (`vlan_filtering` of a bridge,
    `mode` of a bond, `table` of a VRF).
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
    prefixes: tuple[str, ...] = ()
    lower: str | None = None
    vxlan: VxlanDevice | None = None
    xdp: bool = False
    bpf: bool = False
    flags: tuple[str, ...] = ()
    link_type: str | None = None
    qdisc: str | None = None
    peer_index: int | None = None
    peer_namespace: int | None = None
    peer: str | None = None
    port: BridgePort | None = None
    details: dict[str, str | int | bool] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A line of the routing tables; `type` is `unicast`, `blackhole`, `unreachable`, `prohibit`, `local`.

    `table` is None for `main`, else its name or number in iproute2's words. `destination` is `default`, an address or a prefix.
    `flags` as iproute2 spells them: `onlink`, `linkdown`, `dead`. `protocol` is who made it (`kernel`, `bird`, `80` is Felix).
    """

    destination: str
    type: str = "unicast"
    gateway: str | None = None
    device: str | None = None
    table: str | None = None
    metric: int | None = None
    mtu_bytes: int | None = None
    preferred_source: str | None = None
    protocol: str | None = None
    scope: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """A line of `ip rule`: who is sent to which `table` (`local`, `main`, a number). `text` is all of it in iproute2's words.

    `source` and `destination` are None for all, else an address or prefix. `action` is None for a look into `table`, else
    `blackhole`, `unreachable`, `prohibit`, `nop`, or `goto` with the priority of the rule that comes next in `goto`. `inverted` for a rule
    with `not`. `protocol` (`UDP`) and `ports` (the lowest and highest of the destination) narrow it to such packets.
    """

    priority: int
    family: int = 4
    source: str | None = None
    destination: str | None = None
    input: str | None = None
    output: str | None = None
    mark: str | None = None
    table: str | None = None
    action: str | None = None
    goto: int | None = None
    protocol: str | None = None
    ports: tuple[int, int] | None = None
    inverted: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteException:
    """What the kernel learned about the way to one address: a smaller MTU (from ICMP "fragmentation needed") or a redirect's gateway."""

    destination: str
    gateway: str | None = None
    device: str | None = None
    mtu_bytes: int | None = None
    expires_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLookup:
    """The kernel's answer to `ip route get DESTINATION [from SOURCE] [iif INPUT] [oif OUTPUT] [ipproto PROTOCOL dport PORT] [mark MARK]`;
    `error` where it refused.

    `mtu_bytes` only where a route or an exception sets one; otherwise it is the device's. `table` as in Route. `protocol` (`UDP`) and
    `port` only where a tuple was asked, `output` and `mark` (`0x10`) only for outer packets.
    """

    destination: str
    source: str | None = None
    input: str | None = None
    type: str = "unicast"
    gateway: str | None = None
    device: str | None = None
    preferred_source: str | None = None
    error: str | None = None
    mtu_bytes: int | None = None
    table: str | None = None
    protocol: str | None = None
    port: int | None = None
    output: str | None = None
    mark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An ARP or ND entry; `states` as iproute2 spells them (`PERMANENT`, `REACHABLE`, `FAILED`).

    `probes` were sent for it; `used_s`, `confirmed_s` and `updated_s` ago it was looked at, answered, changed (ip-neighbour(8), -s).
    A `proxy` one is none: the node answers for that address on that device.
    """

    address: str
    device: str
    mac: str | None = None
    states: tuple[str, ...] = ()
    probes: int | None = None
    used_s: int | None = None
    confirmed_s: int | None = None
    updated_s: int | None = None
    proxy: bool = False


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
    `backend` is `iptables-nft`, `iptables-legacy`, `ip6tables-nft`, `ip6tables-legacy` or `nft`; of the last, `table` holds the family
    too (`inet firewalld`), and `hook` is that of a base chain (`input`, `forward`), whose name may be anything there. `family` is 4 or
    6 where the table sees only such packets, else None. `device` is that of a base chain of nft at a device (hook `ingress`, `egress`).
    `namespace` is the number of the pod's network namespace (PodNamespace.id) that it is in, None for the node's own.
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
    family: int | None = None
    device: str | None = None
    namespace: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSet:
    """A set that packet filter rules look into: of ipset (`backend` `ipset`, `type` `hash:ip`) or of nft (`nft`, `ipv4_addr`).

    `name` is as rules spell it; of nft it is `FAMILY TABLE NAME`. `members` are in the tool's words, without time-outs and counters;
    `complete` is False where there are more than are kept. A map of nft has as many `values`: of a verdict map `drop`, `goto CHAIN`.
    """

    name: str
    backend: str = "ipset"
    type: str | None = None
    members: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfProgram:
    """A program that can take packets away: `hook` is `xdp`, `tc/ingress`, `tc/egress`, `tcx/ingress`, `tcx/egress`, `netkit`.

    Those at tcx come before those at tc, and at one hook those of a lower `position` first (net/core/dev.c, sch_handle_ingress).
    """

    device: str
    hook: str
    name: str | None = None
    id: int | None = None
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsBackend:
    """A real server behind an IPVS service; `forward` is `Masq`, `Route`, `Tunnel` or `Local`; a `weight` of 0 gets nothing new."""

    address: str
    port: int
    forward: str = "Masq"
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsService:
    """A virtual server of /proc/net/ip_vs; `protocol` is `TCP`, `UDP` or `SCTP`."""

    protocol: str
    address: str
    port: int
    scheduler: str = ""
    backends: tuple[IpvsBackend, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsConnection:
    """A line of /proc/net/ip_vs_conn that names an address of the flow: client, virtual and real server; `expires_s` until it goes."""

    protocol: str
    client: str
    client_port: int
    virtual: str
    virtual_port: int
    server: str
    server_port: int
    state: str = ""
    expires_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireguardPeer:
    """A peer of a WireGuard device; no keys but the public one. `handshake_s` is Unix seconds of the last handshake, 0 for never."""

    device: str
    public_key: str
    endpoint: str | None = None
    allowed: tuple[str, ...] = ()
    handshake_s: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSync:
    """What adjtimex(2) says of the node's clock: whether something disciplines it, and the greatest error that it admits."""

    synchronised: bool
    max_error_us: int | None = None
    estimated_error_us: int | None = None


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

    `counters` are those of /proc/net: snmp and netstat (`Udp.NoPorts`, `Udp.RcvbufErrors`, `TcpExt.IPReversePathFilter`), snmp6
    (`Udp6InErrors`), softnet_stat (`softnet.dropped`, `softnet.time_squeeze`, `softnet.flow_limit`), stat/nf_conntrack
    (`conntrack.insert_failed`), stat/arp_cache and stat/ndisc_cache (`arp_cache.entries`, `arp_cache.table_fulls`), stat/rt_cache
    (`rt_cache.in_no_route`, `rt_cache.in_martian_src`: those of all network namespaces together), xfrm_stat
    (`XfrmInNoStates`), `xfrm.states` and `xfrm.policies`; and `ethtool.<interface>.<name>`. What gro_cells drop on a VXLAN device
    is in its `rx.dropped`. They are absolute; only growth between two looks is evidence, and a fall is none.
    `sysctls` are spelled as sysctl(8) prints them, so that a dot in an interface's name is a slash
    (`net.ipv4.conf.vxlan/calico.rp_filter`). `ethtool` holds, as `<interface>.<name>`, what `ethtool -k`, `-i` and `-g` say: features
    (`on`, `off`), `driver`, `version`, `firmware-version`, `ring.rx`, `ring.rx-max`.
    `lookups` are plain ones first, then those between the flow's ends; `tuple_lookups` ask the same with protocol and port, and
    `outer_lookups` what a VXLAN device asks for what it sends to other nodes: from its own address, by its lower device, with UDP and its
    port, also with each mark that `routing_rules` look at. `routing_rules` are in the kernel's order, those of IPv4 first.
    `pod_namespaces` are those that have a local end's address; absent as `pod-namespaces` where none has. `pod_facts` are what was seen
    inside of them, where the debug pod may enter them, and `pod_rules` the packet filter rules there.
    `proxy_mode` is `iptables`, `ipvs` or `nftables`, by what kube-proxy has made here; None where it made nothing.
    """

    node: str
    taken_ns: int = 0
    clock: ClockReading | None = None
    kernel: str | None = None
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    routing_rules: tuple[RoutingRule, ...] = ()
    exceptions: tuple[RouteException, ...] = ()
    lookups: tuple[RouteLookup, ...] = ()
    tuple_lookups: tuple[RouteLookup, ...] = ()
    outer_lookups: tuple[RouteLookup, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    rules: tuple[Rule, ...] = ()
    sets: tuple[AddressSet, ...] = ()
    bpf_programs: tuple[BpfProgram, ...] = ()
    tc_filters: tuple[TcFilter, ...] = ()
    queue_listeners: tuple[QueueListener, ...] = ()
    service_translations: tuple[ServiceTranslation, ...] = ()
    ipsec_policies: tuple[IpsecPolicy, ...] = ()
    ipsec_states: tuple[IpsecState, ...] = ()
    pod_namespaces: tuple[PodNamespace, ...] = ()
    pod_facts: tuple[PodFacts, ...] = ()
    pod_rules: tuple[Rule, ...] = ()
    conntrack: tuple[ConntrackEntry, ...] = ()
    ipvs: tuple[IpvsService, ...] = ()
    ipvs_connections: tuple[IpvsConnection, ...] = ()
    proxy_mode: str | None = None
    udp_sockets: tuple[UdpSocket, ...] = ()
    listeners: tuple[Listener, ...] = ()
    wireguard: tuple[WireguardPeer, ...] = ()
    time_sync: TimeSync | None = None
    counters: dict[str, int] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    ethtool: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def link(self, name: str) -> Link | None:
        """The link called `name`, or None."""
        return next((link for link in self.links if link.name == name), None)

    @property
    def is_steered(self) -> bool:
        """Whether programs, and neither routes nor an FDB, decide which packets of pods go into the tunnel and where they go to: a VXLAN
        device in metadata mode takes the outer header from whoever sends (ip-link(8), external)."""
        return any(link.vxlan is not None and link.vxlan.external for link in self.links)

    def namespaces_with(self, address: str) -> tuple[PodNamespace, ...]:
        """The network namespaces of pods in which an interface has `address`."""
        return tuple(space for space in self.pod_namespaces if space.has(address))

    def host_end(self, address: str) -> Link | None:
        """The node's end of the interface of the pod that has `address`; None where the pod's namespace does not name it."""
        mine = (each for space in self.namespaces_with(address) for each in space.interfaces if each.has(address))
        indexes = {each.host_index for each in mine} - {None}
        return next((link for link in self.links if link.index in indexes), None)


# enum skb_drop_reason, include/net/dropreason-core.h.
_OF_SOCKETS = ("TCP_", "SOCKET_", "UNIX_", "NO_SOCKET", "UDP_CSUM", "ICMP_CSUM", "PROTO_MEM")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDrop:
    """A packet that the kernel of `node` said it dropped (tracepoint `skb:kfree_skb`).

    `reason` is the kernel's word without its prefix (`NETFILTER_DROP`, `IP_RPFILTER`, `VXLAN_VNI_NOT_FOUND`; enum skb_drop_reason in
    include/net/dropreason-core.h), a number (`0x20001`) where the tracepoint knows no word for it. `location` is the function that freed
    it (`nf_hook_slow`), `module` the kernel module that the function is in, `address` stands where the function is not known.
    `ethertype` is what it carried (0x0800); `socket` says whether it was on its way into one, None where the kernel does not.
    `time_ns` is Unix time by the node's clock, true within `uncertainty_ns` on either side. The event names no address, length,
    interface or network namespace: nodes that share a kernel see each other's drops, and those in pods' namespaces are here too.
    """

    node: str
    time_ns: int
    reason: str
    location: str
    uncertainty_ns: int = 0
    ethertype: int | None = None
    module: str | None = None
    address: str | None = None
    socket: bool | None = None

    @property
    def is_of_socket(self) -> bool:
        """Whether the reason is one of sockets, which a packet on its way through a node never meets."""
        return self.reason.startswith(_OF_SOCKETS)
