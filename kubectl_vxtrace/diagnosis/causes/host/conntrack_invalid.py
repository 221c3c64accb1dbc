"""Packets that a rule dropped because connection tracking calls them INVALID: what made them so?"""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.nic.checksums import NIC_TUNNEL_OFFLOAD
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import nic, node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind
from kubectl_vxtrace.diagnosis.rules.fit import untracking
from kubectl_vxtrace.diagnosis.rules.purpose import RuleVerdict
from kubectl_vxtrace.diagnosis.rules.traits import traits
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import answering
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.protocol import TCP_SYN
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind

CONNTRACK_INVALID = Cause(
    slug="conntrack-invalid",
    remediation=(
        "If the inner checksum is bad, look at the NIC's tunnel offload; else consider net.netfilter.nf_conntrack_tcp_be_liberal=1."
    ),
    source="kubernetes/kubernetes issue 74839",
    admitted=True,
    stage=Stage.PREROUTING,
)
CAUSES = (CONNTRACK_INVALID,)


# iptables-extensions(8), conntrack and state; nft(8), ct: a rule may list several states, or all but some.
_OTHER_STATES = re.compile(r"\b(NEW|ESTABLISHED|RELATED|UNTRACKED)\b", re.IGNORECASE)


_KEPT, _LOOSE = "net.netfilter.nf_conntrack_tcp_timeout_established", "net.netfilter.nf_conntrack_tcp_loose"

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
    others = _OTHER_STATES.search(rule.text)
    if others is not None:
        doubt = f"packets that are not INVALID: the rule takes {others[0].upper()} ones as well"
        return RuleVerdict(cause=CONNTRACK_INVALID, max_confidence=Confidence.LIKELY, alternatives=(doubt,))
    sender = next((hop for hop in loss.path.hops if hop.tap.node != segment.start.tap.node and hop.role is Role.UNDERLAY), None)
    arrived = sender is not None and segment.start.role is Role.VXLAN
    if loss.flow.protocol == "UDP":
        return _damaged(case, segment, sender) if arrived and sender is not None else _WRITTEN_WRONG
    one_way = _tracked_one_way(case, loss, segment)
    if one_way is not None:
        return one_way
    doubts = list(_lost_before(case, loss))
    forgotten = None if doubts else _forgotten(case, loss, segment)
    if forgotten is not None:
        return forgotten
    if arrived and sender is not None and nic.offloads_tunnels(case, sender):
        doubts.append(
            f"{NIC_TUNNEL_OFFLOAD.slug}: a wrong inner checksum, {place_text(sender)} writes them (driver {nic.driver(case, sender)})"
        )
    return RuleVerdict(
        cause=CONNTRACK_INVALID, alternatives=tuple(doubts), max_confidence=Confidence.LIKELY if doubts else Confidence.CERTAIN
    )


def _tracked_one_way(case: Case, loss: Loss, segment: AnySegment) -> RuleVerdict | None:
    """Rules that exclude one direction of the connections from tracking (NOTRACK): what comes in the other fits no connection."""
    node, own = segment.start.tap.node, traits(case, loss, segment)
    own = replace(own, inputs=frozenset(), outputs=frozenset())
    back = replace(
        own,
        sources=own.destinations,
        destinations=own.sources,
        source_ports=own.destination_ports,
        destination_ports=own.source_ports,
    )
    for facts in node_facts.looks(case, node)[-1:]:
        own_rule, back_rule = untracking(facts, own), untracking(facts, back)
        if (own_rule is None) == (back_rule is None):
            continue
        rule, nouns = (own_rule, loss.path.direction) if own_rule is not None else (back_rule, loss.path.direction.reverse)
        if rule is None:
            continue
        this, other = direction_noun(nouns, 2), direction_noun(nouns.reverse, 2)
        text = f"the raw table of {node} excludes {this} from connection tracking and tracks {other}: {rule.chain} {rule.text}"
        return RuleVerdict(
            cause=CONNTRACK_INVALID,
            proofs=(Evidence(kind=EvidenceKind.CONFIG, text=text),),
            note=f"{node} tracks {other} and not {this} (NOTRACK)",
            remediation=(
                f"{node} excludes only one direction of these connections from tracking, which makes the other INVALID. Look: "
                "iptables-save -t raw; nft list ruleset | grep notrack. Fix: exclude both directions (NOTRACK for the address and port as "
                "destination and as source, before any ACCEPT in the raw table) or neither."
            ),
        )
    return None


def _forgotten(case: Case, loss: Loss, segment: AnySegment) -> RuleVerdict | None:
    """Connections that rested until the node had no entry of theirs: what comes then fits none.

    Each rested for longer than the node keeps one (for a while, where that was not read), or began before the captures and has no entry in
    the looks. Only without nf_conntrack_tcp_loose such packets are INVALID (net/netfilter/nf_conntrack_proto_tcp.c, tcp_new).
    """
    node, client, hop = segment.start.tap.node, loss.flow.client.address, loss.start
    if node != hop.tap.node or loss.flow.protocol != "TCP" or "1" in node_facts.sysctls(case, node, _LOOSE):
        return None
    kept = [int(value) for value in node_facts.sysctls(case, node, _KEPT) if value.isdigit()]
    least_ns = kept[-1] * 1_000_000_000 if kept else judgement.IDLE_NS
    looks = [facts for facts in node_facts.looks(case, node) if node_facts.answered(facts, "conntrack")]
    if not looks:
        return None
    known = {entry.original_source_port for facts in looks[-1:] for entry in facts.conntrack if entry.original_source == client}
    rests = list(_rests(case, loss, hop))
    if not rests or any(rest_ns is not None and rest_ns < least_ns for _, rest_ns in rests) or known & {port for port, _ in rests}:
        return None
    longest_ns = max((rest_ns for _, rest_ns in rests if rest_ns is not None), default=None)
    if longest_ns is None and "0" not in node_facts.sysctls(case, node, _LOOSE):
        return None
    limit = f"{_KEPT} of {node} is {kept[-1]} s" if kept else f"{_KEPT} of {node} was not read"
    rested = f"rested for up to {longest_ns / 1e9:.1f} s before" if longest_ns is not None else "began before the captures"
    text = f"the {len(rests)} connections of the dropped packets {rested}; {limit}; {node} has no entry of theirs"
    return RuleVerdict(
        cause=CONNTRACK_INVALID,
        proofs=(Evidence(kind=EvidenceKind.CONFIG, text=text),),
        note=f"connection tracking of {node} has forgotten their connections",
        alternatives=() if kept and longest_ns is not None else ("a table that was flushed, or connections that came another way before",),
        max_confidence=Confidence.CERTAIN if kept and longest_ns is not None else Confidence.LIKELY,
        remediation=(
            f"An idle connection whose entry {node} has forgotten does not come back: its packets are INVALID there. Look: sysctl {_KEPT} "
            f"{_LOOSE}; conntrack -L -p tcp --orig-src {client}. Fix: keepalives more often than that time-out (SO_KEEPALIVE, "
            f"net.ipv4.tcp_keepalive_time in the pod, or the application's own), or a longer time-out: sysctl -w {_KEPT}=86400."
        ),
    )


def _rests(case: Case, loss: Loss, hop: Hop) -> Iterator[tuple[int, int | None]]:
    """For each connection of a loss its client's port, and how long it had rested before the first lost packet, in ns: None where none
    was seen before. Nothing for a connection whose handshake was lost: that is no idle one."""
    table, journeys = case.tables.get(hop.tap), loss.traced.journeys
    if table is None:
        return
    for port in np.unique(journeys.client_port[loss.rows]).tolist():
        rows = journeys.row[loss.rows[journeys.client_port[loss.rows] == port], hop.hop - 1]
        rows = rows[rows >= 0]
        if not len(rows) or np.any(table.flags[rows] & TCP_SYN):
            continue
        both = np.union1d(np.unique(table.conversation[rows]), answering(table, rows))
        first = table.time_ns[rows].min()
        earlier = table.time_ns[np.isin(table.conversation, both) & (table.time_ns < first)]
        yield port, int(first - earlier.max()) if len(earlier) else None


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
