"""Packets that a rule dropped because connection tracking calls them INVALID: what made them so?"""

import re
from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.causes.host.rule_verdict import Meaning
from kubectl_vxtrace.diagnosis.evidence import nic
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.losses import Kind, Stretch, Trouble, troubles
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind

# iptables-extensions(8), conntrack and state; nft(8), ct: a rule may list several states, or all but some.
_OTHER_STATES = re.compile(r"\b(NEW|ESTABLISHED|RELATED|UNTRACKED)\b", re.IGNORECASE)


def invalid(case: Case, trouble: Trouble, stretch: Stretch, rule: Rule) -> Meaning:
    """What a rule against INVALID packets stands for.

    A datagram is INVALID only if its header or checksum is wrong, whether it is the first of its flow or not
    (net/netfilter/nf_conntrack_proto_udp.c, udp_error): one that comes out of a tunnel so was damaged by what sent it there, as a
    rule by an offload. A segment may be outside the window of its connection; that is a consequence where others of it were lost before.
    """
    others = _OTHER_STATES.search(rule.text)
    if others is not None:
        doubt = f"packets that are not INVALID: the rule takes {others[0].upper()} ones as well"
        return Meaning(cause="conntrack-invalid", most=Confidence.LIKELY, doubts=(doubt,))
    sender = next((hop for hop in trouble.path.hops if hop.tap.node != stretch.start.tap.node and hop.role is Role.UNDERLAY), None)
    arrived = sender is not None and stretch.start.role is Role.VXLAN
    if trouble.flow.protocol == "UDP":
        return _damaged(case, stretch, sender) if arrived and sender is not None else _WRITTEN_WRONG
    doubts = list(_lost_before(case, trouble))
    if arrived and sender is not None and nic.offloads_tunnels(case, sender):
        doubts.append(f"nic-tunnel-offload: a wrong inner checksum, {place_text(sender)} writes them (driver {nic.driver(case, sender)})")
    return Meaning(cause="conntrack-invalid", doubts=tuple(doubts), most=Confidence.LIKELY if doubts else Confidence.CERTAIN)


_WRITTEN_WRONG = Meaning(
    cause="conntrack-invalid",
    most=Confidence.LIKELY,
    doubts=("a wrong checksum or length that whoever sent the datagrams wrote: nothing else makes one INVALID",),
)


def _damaged(case: Case, stretch: Stretch, sender: Hop) -> Meaning:
    """Datagrams that came out of a tunnel damaged."""
    node, interface = stretch.start.tap.node, sender.tap.interface or "NIC"
    driver = nic.driver(case, sender)
    text = f"datagrams are INVALID only if their header or checksum is wrong; {place_text(sender)} sent them, driver {driver or 'not read'}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text)]
    growth = nodes.grown(case, node, "conntrack.invalid")
    if growth:
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"conntrack.invalid of {node} grew by {growth}"))
    doubts = ["damage on the way between the nodes: an outer checksum that is zero or right says nothing of what is inside"]
    if driver is not None and not nic.offloads_tunnels(case, sender):
        doubts.append(f"a wrong checksum from the sending pod itself: {place_text(sender)} is not known to write any inside tunnels")
    return Meaning(
        cause="nic-tunnel-offload",
        proofs=tuple(proofs),
        says=f"they came from {sender.tap.node} damaged, which makes them INVALID",
        doubts=tuple(doubts),
        most=Confidence.LIKELY,
        remediation=(
            f"Look on {sender.tap.node}: ethtool -k {interface} | grep -e udp_tnl -e checksum; ethtool -i {interface}. Mend: ethtool -K "
            f"{interface} tx-udp_tnl-csum-segmentation off tx-udp_tnl-segmentation off; if that is not enough: tx-checksum-ip-generic "
            "off, on the VXLAN device as well, and a newer firmware and driver."
        ),
    )


def _lost_before(case: Case, trouble: Trouble) -> Iterator[str]:
    """Losses of the same connections on other legs, each as a doubt. Nodes' clocks differ, so that their order is not asked for."""
    mine = trouble.traced.journeys.client_port[trouble.rows]
    for other in troubles(case):
        same_place = other.traced is trouble.traced and other.leg == trouble.leg
        if other.flow.id != trouble.flow.id or other.kind is not Kind.VANISHED or same_place:
            continue
        journey = other.traced.journeys
        shared = np.isin(journey.client_port[other.rows], mine)
        count = int(journey.weight_packets[other.rows][shared].sum())
        if count:
            where = f"behind {place_text(other.start)}"
            noun = direction_noun(other.path.direction, count)
            yield f"a consequence: {count} packets of the same connections ({noun}) were lost {where}: what follows is out of the window"
