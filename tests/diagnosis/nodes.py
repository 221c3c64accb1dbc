"""What healthy nodes say, and packet filter rules on them."""

from collections.abc import Mapping
from dataclasses import replace

from kubectl_vxtrace.model.facts import FdbEntry, Link, Neighbour, NodeFacts, RouteLookup, Rule, VxlanDevice
from kubectl_vxtrace.model.path import Vtep
from tests.diagnosis.places import (
    CLIENT,
    MAC_A,
    MAC_B,
    NIC,
    NIC_A,
    NIC_B,
    POD_A,
    POD_B,
    SECOND_NS,
    SERVER,
    START_NS,
    VTEP_A,
    VTEP_B,
    VX,
    A,
    B,
)


def vtep(node: str) -> Vtep:
    overlay, outer, mac = (VTEP_A, NIC_A, MAC_A) if node == A else (VTEP_B, NIC_B, MAC_B)
    return Vtep(node=node, interface=VX, address=overlay, underlay_address=outer, mac=mac, vni=4096, port=4789, mtu_bytes=1410)


COUNTERS = dict.fromkeys(("Udp.NoPorts", "Udp.InDatagrams", "Udp.InCsumErrors", "Ip.InDiscards", "softnet.dropped"), 100)


LINK_COUNTERS = dict.fromkeys(("rx.packets", "rx.missed_errors", "rx.dropped", "tx.packets", "tx.dropped", "tx.errors"), 1000)


def facts(
    node: str,
    *,
    later: bool = False,
    counters: Mapping[str, int] | None = None,
    nic: Mapping[str, int] | None = None,
    vx: Mapping[str, int] | None = None,
    rules: tuple[Rule, ...] = (),
    device: Link | None = None,
    xdp: bool = False,
) -> NodeFacts:
    """What a healthy node says. `counters`, `nic`, `vx`: how much counters have grown since the first look."""
    peer, remote, mac = (VTEP_B, SERVER, MAC_B) if node == A else (VTEP_A, CLIENT, MAC_A)
    local, pod, outer = (CLIENT, POD_A, NIC_B) if node == A else (SERVER, POD_B, NIC_A)
    own = vtep(node)
    made = device or Link(name=VX, index=7, kind="vxlan", mac=own.mac, vxlan=VxlanDevice(vni=4096, port=4789, local=own.underlay_address))
    return NodeFacts(
        node=node,
        taken_ns=START_NS + (7 if later else -2) * SECOND_NS,
        links=(
            Link(name=NIC, index=2, addresses=(own.underlay_address or "",), xdp=xdp, counters=_sum(LINK_COUNTERS, nic)),
            replace(made, counters=_sum(LINK_COUNTERS, vx)),
            Link(name=pod, index=4, counters=dict(LINK_COUNTERS)),
        ),
        lookups=(
            RouteLookup(destination=remote, source=local, input=pod, gateway=peer, device=VX),
            RouteLookup(destination=local, device=pod),
        ),
        neighbours=(
            Neighbour(address=peer, device=VX, mac=mac, states=("PERMANENT",)),
            Neighbour(address=local, device=pod, mac="02:32:0b:3a:d6:a5", states=("REACHABLE",)),
        ),
        fdb=(FdbEntry(mac=mac, device=VX, destination=outer), FdbEntry(mac="33:33:00:00:00:01", device=NIC)),
        rules=rules,
        counters=_sum(COUNTERS, counters),
        ethtool={f"{NIC}.driver": "virtio_net"},
    )


def _sum(base: Mapping[str, int], growth: Mapping[str, int] | None) -> dict[str, int]:
    return {name: base.get(name, 0) + (growth or {}).get(name, 0) for name in {*base, *(growth or {})}}


def rule(chain: str, text: str, packets: int | None, *, backend: str = "iptables-nft", hook: str | None = None) -> Rule:
    """A packet filter rule as the facts have it: the word behind -j is its target, what stands behind --comment its comment."""
    words = text.replace('"', "").split()
    return Rule(
        id=f"{backend}/{chain}/{text}",
        backend=backend,
        table="filter" if backend != "nft" else "inet filter",
        chain=chain,
        text=text,
        target=words[words.index("-j") + 1] if "-j" in words else words[-1].upper(),
        comment=text.split('--comment "')[-1].split('"')[0] if "--comment" in text else None,
        packets=packets,
        hook=hook,
    )


def policy(chain: str, target: str, packets: int) -> Rule:
    """The policy of a built-in chain."""
    name, hook = f"policy/{chain}", chain.lower()
    return Rule(id=name, backend="iptables-nft", table="filter", chain=chain, text="policy", target=target, packets=packets, hook=hook)


def ruled(node: str, *rules: tuple[Rule, int]) -> tuple[tuple[NodeFacts, ...], tuple[NodeFacts, ...]]:
    """Both looks at both nodes, healthy but for rules of `node`: each with the growth of its counter."""
    own = {one.chain for one, _ in rules if one.text == "policy"}
    chains = tuple(policy(chain, "ACCEPT", 900) for chain in ("INPUT", "FORWARD", "OUTPUT") if chain not in own)
    first = (*chains, *(one for one, _ in rules))
    last = (*chains, *(replace(one, packets=None if one.packets is None else one.packets + growth) for one, growth in rules))
    before = tuple(facts(name, rules=first if name == node else ()) for name in (A, B))
    after = tuple(facts(name, later=True, rules=last if name == node else ()) for name in (A, B))
    return before, after
