"""What may take, turn or encrypt a packet on its way through a node, beside rules of packet filters (model/facts.py)."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgePort:
    """How a bridge treats one of its ports (ip-link(8), bridge_slave); None where the tool does not say.

    `state` is `forwarding`, `learning`, `listening`, `blocking` or `disabled`. Without `hairpin` nothing goes back out of the port that it
    came in by. An `isolated` port reaches no other isolated one. Without `flood` it gets no frame for a MAC that the bridge has
    not learned, and without `learning` none is learned behind it. A `locked` one lets in only frames from MACs that the bridge knows there.
    """

    state: str | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    learning: bool | None = None
    flood: bool | None = None
    locked: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcFilter:
    """A filter of tc(8) at `direction` (`ingress`, `egress`) of a device with a clsact or ingress qdisc.

    Filters of a lower `priority` come first. `kind` is `bpf`, `flower`, `u32`, `matchall`; `unreadable` stands for all of a device whose
    answer was none. `name` and `id` are those of a BPF program; `id` is None for one in the old bytecode, whose instructions are its name.
    `actions` are what it does in the tool's words (`drop`, `mirred redirect eth1`); a BPF program with `direct` decides by itself.
    `dropped` is what its actions count (packets).
    """

    device: str
    direction: str
    kind: str
    priority: int | None = None
    protocol: str | None = None
    name: str | None = None
    id: int | None = None
    direct: bool = False
    actions: tuple[str, ...] = ()
    dropped: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueListener:
    """A process that reads a queue of NFQUEUE (/proc/net/netfilter/nfnetlink_queue). Packets for a queue without one are dropped,
    unless their rule says `bypass` (iptables-extensions(8), NFQUEUE).

    `waiting` packets lie in it; `dropped` counts those that found it full, `lost` those that the process could not be sent.
    """

    number: int
    waiting: int = 0
    dropped: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTranslation:
    """What kube-proxy's nftables make of packets for one address and port (pkg/proxy/nftables/proxier.go).

    `kind` is `cluster-ip` (also external and load balancers' addresses), `node-port` (then `address` is None), or `no-endpoints`.
    `backends` are where its chain translates to; `verdict` is `translate`, `reject` or `drop`, None where the chain could not be followed.
    `service` is `NAMESPACE/NAME:PORT` in kube-proxy's words.
    """

    kind: str
    address: str | None
    port: int
    protocol: str
    chain: str | None = None
    verdict: str | None = None
    backends: tuple[tuple[str, int], ...] = ()
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IpsecPolicy:
    """A line of `ip xfrm policy`: packets from `source` to `destination` (prefixes) in `direction` (`in`, `out`, `fwd`).

    `action` is `allow` or `block`. `tunnel` is outer source and destination of a template in tunnel mode; `transforms` are its protocols
    with their modes (`esp transport`); none means that such packets pass bare. `packets` went by it. `selector` is the whole line.
    """

    source: str
    destination: str
    direction: str
    action: str = "allow"
    priority: int = 0
    protocol: str | None = None
    source_port: int | None = None
    destination_port: int | None = None
    tunnel: tuple[str, str] | None = None
    transforms: tuple[str, ...] = ()
    packets: int | None = None
    selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IpsecState:
    """A security association of `ip xfrm state`, without its keys, which are never asked for.

    `packets` went through it; `replayed` and `failed` count those that it refused (replay window, integrity).
    """

    source: str
    destination: str
    protocol: str
    spi: str
    mode: str | None = None
    packets: int | None = None
    replayed: int | None = None
    failed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInterface:
    """An interface in another network namespace, as the node's kernel describes it; `host_index` is that of its other end on the node.

    `counters` are `rx.packets`, `tx.dropped` and so on; `settings` its own of net.ipv4.conf (`forwarding`, `rp_filter`, `proxy_arp`).
    """

    name: str
    index: int
    host_index: int | None = None
    mac: str | None = None
    mtu_bytes: int | None = None
    up: bool = True
    prefixes: tuple[str, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    settings: dict[str, int] = field(default_factory=dict)

    def has(self, address: str) -> bool:
        """Whether it has just that address."""
        return any(prefix.partition("/")[0] == address for prefix in self.prefixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodNamespace:
    """A network namespace that has one of the flow's addresses; `id` is the number by which the node's kernel knows it (`link_netnsid`).

    Its routes, neighbours, sockets and packet filters the kernel does not tell from outside.
    """

    id: int
    interfaces: tuple[PodInterface, ...] = ()

    def has(self, address: str) -> bool:
        """Whether one of its interfaces has just that address."""
        return any(interface.has(address) for interface in self.interfaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A TCP socket that waits for connections: the node's own, or a pod's where it stands in PodFacts.

    `waiting` ones were made and nobody has accepted them; at most `limit` may wait (listen(2)), and one more does (sk_acceptq_is_full in
    include/net/sock.h). `address` is `*` for all of both families. `drops` counts what it had no room for (sk_drops, ss(8) -m); None where
    that was not asked.
    """

    address: str
    port: int
    waiting: int = 0
    limit: int | None = None
    drops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpSocket:
    """A UDP socket (/proc/net/udp, udp6): the node's own, the VXLAN device's included, or a pod's where it stands in PodFacts.

    `address` is `0.0.0.0` or `::` for all. `drops` grows when its receive buffer is full (man 5 proc).
    """

    address: str
    port: int
    receive_queue_bytes: int = 0
    drops: int = 0
