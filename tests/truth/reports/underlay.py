"""What carries the tunnel, and other tunnels beside it."""

from tests.truth.reports.mechanism import HEALTHY, Mechanism, Right

_NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")
_MESH = {node: f"100.64.0.{number}" for number, node in enumerate(_NODES, start=1)}
_OTHER_SOURCE = "10.128.0.201"  # on the underlay; no node has it


def _remade(node: str, addresses: dict[str, str], *, device: str, vni: str, port: str, parent: str, mtu_bytes: int) -> tuple[str, ...]:
    """bash: a node's VXLAN device made anew between these underlay addresses, with all that its CNI knows of the peers."""
    lines = [
        f"{node}: ip link del {{vxlan}}",
        f"{node}: ip link add {device} address {{{node}.vtep_mac}} mtu {mtu_bytes} type vxlan id {vni} local {addresses[node]}"
        f" dev {parent} dstport {port} nolearning",
        f"{node}: ip addr add {{{node}.vtep_address}}/32 dev {device}",
        f"{node}: ip link set {device} up",
    ]
    for peer in (peer for peer in _NODES if peer != node):
        lines += [
            f"{node}: ip route add {{{peer}.vtep_address}} dev {device} scope link",
            f"{node}: ip route add {{{peer}.pod_cidr}} via {{{peer}.vtep_address}} dev {device} onlink",
            f"{node}: ip neigh replace {{{peer}.vtep_address}} lladdr {{{peer}.vtep_mac}} dev {device} nud permanent",
            f"{node}: bridge fdb replace {{{peer}.vtep_mac}} dev {device} dst {addresses[peer]} self permanent",
        ]
    return tuple(lines)


def _over_mesh(node: str) -> tuple[str, ...]:
    lines = _remade(node, _MESH, device="{vxlan}", vni="{ada-ec-1.vni}", port="{port}", parent="tailscale0", mtu_bytes=1230)
    return (*lines, f"{node}: iptables -I INPUT -i tailscale0 -j ACCEPT", f"record: {node}.published={_MESH[node]}")


def _canal(node: str) -> tuple[str, ...]:
    """flannel's tunnel under Calico's pods and policies."""
    addresses = {peer: f"{{{peer}.address}}" for peer in _NODES}
    lines = _remade(node, addresses, device="flannel.1", vni="1", port="8472", parent="{nic}", mtu_bytes=1410)
    names = (("vtep_interface", "flannel.1"), ("vni", "1"), ("vxlan_port", "8472"))
    return (*lines, *(f"record: {node}.{attribute}={value}" for attribute, value in names))


_MEMBERS = " ".join(f"{{{node}.netns}}={address}" for node, address in _MESH.items())

MECHANISMS = (
    Mechanism(
        name="mesh-vpn-drops-vxlan",
        kind="an underlay without Ethernet",
        source="k3s-io/k3s#8372",
        early=True,
        inject=tuple(line for node in _NODES for line in _over_mesh(node)),
        traffic=(f"ada-ec-1: mesh tailscale0 --drop-udp-to {_MESH['ada-ec-2']} {_MEMBERS}", "client: ask dns {kube-dns} {question}"),
        settle_s=2.0,
        proof=(
            "answers part",
            f"seen ada-ec-1/tailscale0: udp port {{port}} and dst host {_MESH['ada-ec-2']}",
            f"unseen ada-ec-2/tailscale0: udp port {{port}} and src host {_MESH['ada-ec-1']}",
        ),
        right=Right(
            legs=("request ada-ec-1/underlay > ada-ec-2/underlay",),
            half_legs=(
                "request ada-ec-1/vxlan > ada-ec-2/vxlan",
                "request ada-ec-1/vxlan > ada-ec-2/underlay",
                "request ada-ec-1/underlay > ada-ec-2/vxlan",
            ),
            causes=("underlay-udp-blocked",),
            half_causes=("unknown", "underlay-loss"),
            words="tailscale0|UDP {port}|UDP port",
        ),
    ),
    Mechanism(
        name="healthy-mesh-vpn",
        kind="an underlay without Ethernet",
        source="tailscale/tailscale#297",
        early=True,
        inject=tuple(line for node in _NODES for line in _over_mesh(node)),
        traffic=(f"ada-ec-1: mesh tailscale0 {_MEMBERS}", "client: ask dns {kube-dns} {question}"),
        settle_s=2.0,
        proof=("answers all", "seen ada-ec-2/tailscale0: udp port {port}", "unseen ada-ec-2/{nic}: udp port {port}"),
        right=HEALTHY,
    ),
    Mechanism(
        name="healthy-canal",
        kind="one CNI's tunnel under another's policies",
        source="projectcalico/canal#38",
        inject=(*(line for node in _NODES for line in _canal(node)), "record: lab.backend=flannel"),
        proof=(
            "answers all",
            "seen ada-ec-2/flannel.1: udp port 53 and dst host {dns-2.address}",
            "seen ada-ec-2/{nic}: udp port 8472",
            "says ada-ec-2: iptables -S cali-tw-{dns-2.host_interface} ~ cali-pri-kns",
        ),
        right=HEALTHY,
    ),
    Mechanism(
        name="underlay-arp-dropped",
        kind="ARP unanswered on the underlay",
        source="",
        inject=(
            "fabric: nft 'table bridge switch { chain forward { type filter hook forward priority 0;"
            " ether type arp arp daddr ip {ada-ec-2.address} drop; ether type arp arp saddr ip {ada-ec-2.address} drop; }; }'",
            "ada-ec-1: ip neigh del {ada-ec-2.address} dev {nic}",
        ),
        heal=("fabric: nft delete table bridge switch",),
        proof=(
            "answers part",
            "seen ada-ec-1/{nic}: arp and dst host {ada-ec-2.address}",
            "unseen ada-ec-1/{nic}: udp port {port} and dst host {ada-ec-2.address}",
        ),
        right=Right(
            legs=("request ada-ec-1/vxlan > ada-ec-1/underlay",),
            causes=("arp-unanswered", "unknown"),
            half_causes=("underlay-loss",),
            lies=("underlay-udp-blocked", "host-firewall"),
            words=r"\bARP\b|neighbour|neighbor|INCOMPLETE",
        ),
    ),
    Mechanism(
        name="static-entry-refuses-other-source",
        kind="the kernel's word accounts for it",
        source="moby/moby#53004",
        backend="flannel",
        # The receiving device learns, and has a permanent entry for the sender's MAC with another underlay address (vxlan_snoop).
        inject=(
            f"ada-ec-1: ip addr add {_OTHER_SOURCE}/24 dev {{nic}}",
            f"ada-ec-1: ip link set {{vxlan}} type vxlan id {{ada-ec-1.vni}} local {_OTHER_SOURCE}",
            "ada-ec-2: ip link set {vxlan} type vxlan id {ada-ec-2.vni} learning",
        ),
        proof=(
            "answers part",
            f"seen ada-ec-2/{{nic}}: udp port {{port}} and src host {_OTHER_SOURCE}",
            "unseen ada-ec-2/{vxlan}: udp and src host {client.address}",
            "says ada-ec-2: ip -d link show {vxlan} | grep -c nolearning ~ ^0",
        ),
        right=Right(
            legs=("request ada-ec-2/underlay > ada-ec-2/vxlan",),
            causes=("unknown",),
            half_causes=("wrong-node-address", "calico-unknown-vtep"),
            lies=("host-firewall", "vni-mismatch", "underlay-udp-blocked"),
            words=rf"ENTRY_EXISTS|learning|source address|{_OTHER_SOURCE}",
        ),
    ),
    Mechanism(
        name="healthy-foreign-vxlan",
        kind="another tunnel on the same port",
        source="projectcalico/calico#6752",
        # A tunnel that is not Calico's ends on the node, at the same port, and Calico drops it; the pods' packets pass.
        inject=(),
        heal=("ada-ec-1: true",),
        traffic=("fabric: encapsulated {ada-ec-2.address}:4789 555000", "client: ask dns {kube-dns} {question}"),
        proof=(
            "answers all",
            "seen ada-ec-2/{nic}: udp dst port 4789 and src host {gateway}",
            "counts ada-ec-2: iptables -nvxL cali-INPUT | grep 'non-allowed hosts'",
        ),
        right=HEALTHY,
    ),
)
