"""Packets that a rule dropped because connection tracking calls them INVALID: what made them so?"""

import re
from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.nic.checksums import NIC_TUNNEL_OFFLOAD
from kubectl_vxtrace.diagnosis.evidence import nic, node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind
from kubectl_vxtrace.diagnosis.rules.purpose import RuleVerdict
from kubectl_vxtrace.diagnosis.rules.traits import traits
from kubectl_vxtrace.diagnosis.rules.untracked import OneWay, untracked_one_way
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind

CONNTRACK_INVALID = Cause(
    slug="conntrack-invalid",
    remediation=(
        "If the inner checksum is bad, look at the NIC's tunnel offload; else consider net.netfilter.nf_conntrack_tcp_be_liberal=1."
    ),
    source="kubernetes/kubernetes issue 74839",
    admitted=True,
)
CAUSES = (CONNTRACK_INVALID,)


# iptables-extensions(8), conntrack and state; nft(8), ct: a rule may list several states, or all but some.
_OTHER_STATES = re.compile(r"\b(NEW|ESTABLISHED|RELATED|UNTRACKED)\b", re.IGNORECASE)


_WRITTEN_WRONG = RuleVerdict(
    cause=CONNTRACK_INVALID,
    max_confidence=Confidence.LIKELY,
    alternatives=("a wrong checksum or length that whoever sent the datagrams wrote: nothing else makes one INVALID",),
)


def invalid(case: LossCase, loss: Loss, segment: AnySegment, rule: Rule) -> RuleVerdict:
    """What a rule against INVALID packets stands for.

    A datagram is INVALID only if its header or checksum is wrong, whether it is the first of its flow or not
    (net/netfilter/nf_conntrack_proto_udp.c, udp_error): one that comes out of a tunnel so was damaged by what sent it there, as a
    rule by an offload. A segment may be outside the window of its connection; that is a consequence where others of it were lost before.
    """
    one_way = untracked_one_way(case, segment.start.tap.node, traits(case, loss, segment))
    if one_way is not None:
        return _half_tracked(loss, segment.start.tap.node, one_way)
    others = _OTHER_STATES.search(rule.text)
    if others is not None:
        doubt = f"packets that are not INVALID: the rule takes {others[0].upper()} ones as well"
        return RuleVerdict(cause=CONNTRACK_INVALID, max_confidence=Confidence.LIKELY, alternatives=(doubt,))
    sender = next((hop for hop in loss.path.hops if hop.tap.node != segment.start.tap.node and hop.role is Role.UNDERLAY), None)
    arrived = sender is not None and segment.start.role is Role.VXLAN
    if loss.flow.protocol == "UDP":
        return _damaged(case, segment, sender) if arrived and sender is not None else _WRITTEN_WRONG
    doubts = list(_lost_before(case, loss))
    if arrived and sender is not None and nic.offloads_tunnels(case, sender):
        doubts.append(
            f"{NIC_TUNNEL_OFFLOAD.slug}: a wrong inner checksum, {place_text(sender)} writes them (driver {nic.driver(case, sender)})"
        )
    return RuleVerdict(
        cause=CONNTRACK_INVALID, alternatives=tuple(doubts), max_confidence=Confidence.LIKELY if doubts else Confidence.CERTAIN
    )


def _half_tracked(loss: Loss, node: str, one_way: OneWay) -> RuleVerdict:
    """Connections of which the node tracks one direction, since a rule in the raw table takes the other out."""
    lost = direction_noun(loss.path.direction, 2)
    back = direction_noun(loss.path.direction.reverse, 2)
    left_out, tracked = (lost, back) if one_way.of_lost else (back, lost)
    text = f'the rule "{one_way.rule.text}" in chain {one_way.rule.chain} of the raw table on {node} grew by {one_way.packets}'
    idle = "".join(f'; the rule "{rule.text}" in chain {rule.chain} took none' for rule in one_way.idle)
    return RuleVerdict(
        cause=CONNTRACK_INVALID,
        proofs=(Evidence(kind=EvidenceKind.CONFIG, text=f"{text}: {left_out} are untracked{idle}, so that {tracked} are tracked"),),
        note=f"the raw table of {node} leaves {left_out} untracked (NOTRACK) and not {tracked}, which conntrack then calls INVALID",
        remediation=(
            f"Look on {node}: iptables-save -c -t raw; nft list ruleset | grep -n notrack. Fix: leave both directions untracked, by a "
            f"NOTRACK rule for {tracked} before whatever accepts them earlier in the raw table, or neither. NodeLocal DNSCache writes both "
            "itself: find the rule that another program put before its own."
        ),
    )


def _damaged(case: Case, segment: AnySegment, sender: Hop) -> RuleVerdict:
    """Datagrams that came out of a tunnel damaged."""
    node, interface = segment.start.tap.node, sender.tap.interface or "NIC"
    driver = nic.driver(case, sender)
    text = f"datagrams are INVALID only if their header or checksum is wrong; {place_text(sender)} sent them, driver {driver or 'not read'}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text)]
    growth = node_facts.grown(case, node, "conntrack.invalid")
    if growth:
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"conntrack.invalid of {node} grew by {growth}"))
    doubts = ["damage on the way between the nodes: an outer checksum that is zero or right says nothing of what is inside"]
    if driver is not None and not nic.offloads_tunnels(case, sender):
        doubts.append(f"a wrong checksum from the sending pod itself: {place_text(sender)} is not known to write any inside tunnels")
    return RuleVerdict(
        cause=NIC_TUNNEL_OFFLOAD,
        proofs=tuple(proofs),
        note=f"they came from {sender.tap.node} damaged, which makes them INVALID",
        alternatives=tuple(doubts),
        max_confidence=Confidence.LIKELY,
        remediation=(
            f"Look on {sender.tap.node}: ethtool -k {interface} | grep -e udp_tnl -e checksum; ethtool -i {interface}. Fix: ethtool -K "
            f"{interface} tx-udp_tnl-csum-segmentation off tx-udp_tnl-segmentation off; if that is not enough: tx-checksum-ip-generic "
            "off, on the VXLAN device as well, and a newer firmware and driver."
        ),
    )


def _lost_before(case: LossCase, loss: Loss) -> Iterator[str]:
    """Losses of the same connections on other legs, each as a doubt. Nodes' clocks differ, so that their order is not asked for."""
    ports = loss.traced.journeys.client_port[loss.rows]
    for other in case.losses:
        if other.flow.id != loss.flow.id or other.kind is not LossKind.VANISHED or other.place == loss.place:
            continue
        journey = other.traced.journeys
        shared = np.isin(journey.client_port[other.rows], ports)
        count = int(journey.weight_packets[other.rows][shared].sum())
        if count:
            where = f"after {place_text(other.start)}"
            noun = direction_noun(other.path.direction, count)
            yield f"a consequence: {count} packets of the same connections ({noun}) were lost {where}: what follows is out of the window"
