"""Does WireGuard, instead of VXLAN or below it, carry the packets?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.facts import RouteLookup, WireguardPeer
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

WIREGUARD_PEER = Cause(
    slug="wireguard-peer",
    remediation=(
        "Look on both nodes: wg show {device} latest-handshakes; wg show {device} allowed-ips; wg show {device} endpoints. Open the UDP "
        "port of WireGuard (Calico 51820, Cilium 51871) between the nodes, and restart the network agent of the node whose peer or key "
        "is missing."
    ),
    source="Linux drivers/net/wireguard/device.c (wg_xmit); cilium/cilium issue 37919; projectcalico/calico issue 4606",
    admitted=True,
    stage=Stage.DEVICE,
)
CAUSES = (WIREGUARD_PEER,)


# wireguard: a session is dead 180 s after its last handshake (REJECT_AFTER_TIME, drivers/net/wireguard/messages.h).
_HANDSHAKE_S = 180


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `wireguard-peer`: the node's route to the packets' destination goes into a WireGuard device instead of the VXLAN device."""
    if segment.end.role is not Role.VXLAN:
        return
    node = segment.end.tap.node
    targets = loss.receivers
    tunnels = {link.name for facts in node_facts.looks(case, node) for link in facts.links if link.kind == "wireguard"}
    lookups = [lookup for facts in node_facts.looks(case, node) for lookup in facts.lookups if lookup.destination in targets]
    encrypted = next((lookup for lookup in lookups if lookup.device in tunnels), None)
    if encrypted is None:
        return
    interface = encrypted.device or ""
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{node} sends {encrypted.destination} to the WireGuard device {interface}")]
    failed = sum(node_facts.link_grown(case, node, interface, name) or 0 for name in ("tx.errors", "tx.dropped"))
    peer_text, broken = _peer(case, node, encrypted)
    if peer_text is not None:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=peer_text))
    if failed:
        text = f"tx.errors and tx.dropped of {node}/{interface} grew by {failed}; {loss.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    counted = failed >= loss.packets
    if not counted and not broken:
        return
    yield error_finding(
        case,
        loss,
        WIREGUARD_PEER,
        Confidence.CERTAIN if counted and broken else Confidence.LIKELY,
        f"{node} encrypts packets for the other node with WireGuard ({interface}), and the peer there does not take them",
        proofs,
        remediation=WIREGUARD_PEER.remedy(device=interface),
        not_ruled_out=() if counted else ("a drop behind the WireGuard device, where packets cannot be read",),
    )


def _peer(case: Case, node: str, route: RouteLookup) -> tuple[str | None, bool]:
    """What is known of the WireGuard peer for a destination, and whether it is missing or its session is dead."""
    looks = [facts for facts in node_facts.looks(case, node) if node_facts.answered(facts, "wireguard")]
    if not looks or not any(facts.wireguard for facts in looks):
        return None, False
    last = looks[-1]
    peers = [peer for peer in last.wireguard if peer.device == route.device and node_facts.covers(peer.allowed, route.destination)]
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
