"""Do other mechanisms of the node get in the way of the overlay: masquerading, WireGuard, packets that go bare?"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.diagnosis.causes.host.loops import bare_way
from kubectl_vxtrace.diagnosis.ends import receivers
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.segment_packets import own_packets_passed
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.diagnosis.rules import droppers as rule_tables
from kubectl_vxtrace.model.facts import RouteLookup, WireguardPeer
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import address_text
from kubectl_vxtrace.model.path import Direction, Hop, Role
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# wireguard: a session is dead 180 s after its last handshake (REJECT_AFTER_TIME, drivers/net/wireguard/messages.h).
_HANDSHAKE_S = 180


def check(case: Case) -> Iterator[Finding]:
    """Findings `masquerade-port-clash`, `wireguard-peer` and `cloud-anti-spoofing`."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is Place.FORWARD and stretch.start.role is Role.VXLAN and trouble.path.direction is Direction.REPLY:
                yield from _port_clash(case, trouble, stretch)
            elif stretch.place is Place.FORWARD and stretch.end is not None and nodes.is_vxlan(stretch.end):
                yield from _wireguard(case, trouble, stretch.end)
            elif stretch.place is Place.WIRE and stretch.end is not None:
                yield from _bare(case, trouble, stretch, stretch.end)


def _port_clash(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """Inner UDP to the node itself whose destination port is that of VXLAN: the node had masqueraded the connection so, does not track
    that port, and drops the answer as foreign VXLAN in INPUT."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(trouble, stretch.start)
    if table is None or not len(rows):
        return
    talks = np.unique(table.conversation[rows])
    talks = talks[talks >= 0]
    small = table.conversations
    ports = {end.port for end in case.recording.overlay.vteps if end.port is not None}
    if not len(talks) or not ports or not (small.protocol[talks] == IpProtocol.UDP).all():
        return
    node = stretch.start.tap.node
    targets = {address_text(small.destination[talk]) for talk in talks}
    # Packets for a pod's own port of that number (a tunnel inside the pod) were masqueraded by nobody.
    if not np.isin(small.destination_port[talks], sorted(ports)).all() or not targets <= _own_addresses(case, node):
        return
    port = ", ".join(str(number) for number in sorted(ports))
    text = f"the inner UDP destination port of the lost packets at {place_text(stretch.start)} is {port}, the port of VXLAN itself"
    dropped = list(_dropped_as_foreign(case, trouble, stretch))
    noun = direction_noun(trouble.path.direction, trouble.packets)
    yield explain(
        case,
        trouble,
        "masquerade-port-clash",
        Confidence.CERTAIN if dropped else Confidence.LIKELY,
        f"{node} drops {trouble.packets} {noun}: it had masqueraded the connection to port {port}, and takes what comes back for VXLAN",
        [Evidence(kind=EvidenceKind.PACKETS, text=text), *dropped[:1]],
        remediation=(
            f"Look on {node}: conntrack -L -p udp | grep dport={port}. Upgrade Calico to a version with the fix of issue 12244; until then "
            f"conntrack -D -p udp --reply-port-dst {port} frees the client."
        ),
    )


def _dropped_as_foreign(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Evidence]:
    """Counters of the node's rules against foreign VXLAN, which stand in INPUT, that account for the trouble's packets."""
    node = stretch.start.tap.node
    for dropper in rule_tables.droppers(rule_tables.all_droppers(case, node), replace(stretch, place=Place.DECAPSULATE)):
        growth = dropper.growth.packets
        if rule_tables.cause(dropper.rule) == "calico-unknown-vtep" and growth is not None and growth >= trouble.packets:
            text = f"the counter of {dropper.rule.comment or dropper.rule.text} on {node} grew by {growth}"
            yield Evidence(kind=EvidenceKind.COUNTER, text=text)


def _own_addresses(case: Case, node: str) -> frozenset[str]:
    """All addresses of a node, that of its VXLAN device among them."""
    end = nodes.vtep(case, node)
    return nodes.underlay_addresses(case, node) | ({end.address} if end is not None and end.address is not None else set())


def _wireguard(case: Case, trouble: Trouble, device: Hop) -> Iterator[Finding]:
    """The node's route to the packets' destination goes into a WireGuard device instead of the VXLAN device."""
    node = device.tap.node
    targets = receivers(trouble)
    tunnels = {link.name for facts in nodes.looks(case, node) for link in facts.links if link.kind == "wireguard"}
    routes = [one for facts in nodes.looks(case, node) for one in facts.lookups if one.destination in targets and one.device in tunnels]
    if not routes:
        return
    interface = routes[0].device or ""
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{node} sends {routes[0].destination} to the WireGuard device {interface}")]
    failed = sum(nodes.link_grown(case, node, interface, name) or 0 for name in ("tx.errors", "tx.dropped"))
    peer_text, broken = _peer(case, node, routes[0])
    if peer_text is not None:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=peer_text))
    if failed:
        text = f"tx.errors and tx.dropped of {node}/{interface} grew by {failed}; {trouble.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    counted = failed >= trouble.packets
    if not counted and not broken:
        return
    yield explain(
        case,
        trouble,
        "wireguard-peer",
        Confidence.CERTAIN if counted and broken else Confidence.LIKELY,
        f"{node} encrypts packets for the other node with WireGuard ({interface}), and the peer there does not take them",
        proofs,
        remediation=(
            f"Look on both nodes: wg show {interface} latest-handshakes; wg show {interface} allowed-ips; wg show {interface} endpoints. "
            "Open the UDP port of WireGuard (Calico 51820, Cilium 51871) between the nodes, and restart the network agent of the node "
            "whose peer or key is missing."
        ),
        not_ruled_out=() if counted else ("a drop behind the WireGuard device, where packets cannot be read",),
    )


def _peer(case: Case, node: str, route: RouteLookup) -> tuple[str | None, bool]:
    """What is known of the WireGuard peer for a destination, and whether it is missing or its session is dead."""
    looks = [facts for facts in nodes.looks(case, node) if nodes.answered(facts, "wireguard")]
    if not looks or not any(facts.wireguard for facts in looks):
        return None, False
    last = looks[-1]
    peers = [peer for peer in last.wireguard if peer.device == route.device and nodes.covers(peer.allowed, route.destination)]
    if not peers:
        return f"no peer of {node}/{route.device} is allowed {route.destination}", True
    peer: WireguardPeer = peers[0]
    if peer.handshake_s is None:
        return None, False
    if peer.handshake_s == 0:
        return f"the peer {peer.public_key} ({peer.endpoint or 'no endpoint'}) never answered a handshake", True
    now_ns = last.clock.node_ns if last.clock is not None else last.taken_ns
    age_s = now_ns // 1_000_000_000 - peer.handshake_s
    text = f"the last handshake with the peer {peer.public_key} ({peer.endpoint or 'no endpoint'}) was {age_s} s ago"
    return text, age_s > _HANDSHAKE_S


def _bare(case: Case, trouble: Trouble, stretch: Stretch, end: Hop) -> Iterator[Finding]:
    """Packets of pods that leave a node without encapsulation and do not reach the other one, and that nobody answers for it."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(trouble, stretch.start)
    if table is None or not len(rows) or trouble.answered >= trouble.packets or encapsulations(case, trouble, stretch.start):
        return
    talks = np.unique(table.conversation[rows])
    sources = {address_text(table.conversations.source[number]) for number in talks[talks >= 0]}
    sender = stretch.start.tap.node
    if not sources or sources & nodes.underlay_addresses(case, sender) or trouble.arrived or nodes.interface_state(case, end) is not None:
        return
    if bare_way(case, trouble.flow) is not None:  # the other direction is encapsulated: that the two differ is what is wrong
        return
    others = own_packets_passed(case, stretch)
    noun = direction_noun(trouble.path.direction, trouble.packets)
    shown = ", ".join(sorted(sources)[:3])
    proofs = [
        Evidence(kind=EvidenceKind.PACKETS, text=f"they left {place_text(stretch.start)} bare, with the pod's address {shown} as source")
    ]
    if others:
        text = f"{others} packets from the node's own address arrived at {place_text(end)} in the same time"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text))
    yield explain(
        case,
        trouble,
        "cloud-anti-spoofing",
        Confidence.LIKELY if others else Confidence.POSSIBLE,
        f"{trouble.packets} {noun} left {sender} without encapsulation and did not reach {end.tap.node}",
        proofs,
        not_ruled_out=("a firewall between the nodes that does not know the pods' addresses",),
    )
