"""Could connection tracking take the packets in: was the table full, or did two of them want the same entry?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import address_texts, frame_refs, minimum_counter_growth, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, SegmentKind, is_routed
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, U16, PacketTable
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

CONNTRACK_FULL = Cause(
    slug="conntrack-full",
    remediation=(
        "Look on {node}: sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max; conntrack -S; dmesg | grep 'table "
        "full'; who fills it: conntrack -L | grep -o 'src=[^ ]*' | sort | uniq -c | sort -n | tail. Fix: sysctl -w "
        "net.netfilter.nf_conntrack_max={limit} (kube-proxy --conntrack-max-per-core keeps it)."
    ),
    source="Linux net/netfilter/nf_conntrack_core.c (__nf_conntrack_alloc); kubernetes/kubernetes issue 71261",
    admitted=True,
    stage=Stage.PREROUTING,
)
DNS_CONNTRACK_RACE = Cause(
    slug="dns-conntrack-race",
    remediation=(
        "Look: conntrack -S | grep insert_failed while it happens. Fix: NodeLocal DNSCache; options single-request-reopen or use-vc in "
        "the pod's dnsConfig; a newer kernel."
    ),
    source="kubernetes/kubernetes issue 56903; weaveworks/weave issue 3287; Linux nf_conntrack_core.c (__nf_conntrack_confirm)",
    admitted=True,
    stage=Stage.POSTROUTING,
)
SNAT_PORT_COLLISION = Cause(
    slug="snat-port-collision",
    remediation=(
        "Look: conntrack -S (insert_failed); iptables-save -t nat | grep MASQUERADE (is --random-fully there?). Fix: iptables 1.6.2 or "
        "later, so that plugin and kube-proxy add it; fewer connections to one server, or more source addresses."
    ),
    source="flannel-io/flannel issue 1004; kubernetes-sigs/ip-masq-agent issue 51; iptables-extensions(8), MASQUERADE",
    admitted=True,
    stage=Stage.POSTROUTING,
)
CAUSES = (
    CONNTRACK_FULL,
    DNS_CONNTRACK_RACE,
    SNAT_PORT_COLLISION,
)


_FULL, _COLLIDED = "conntrack.drop", "conntrack.insert_failed"
_DNS = 53


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `conntrack-full`, `dns-conntrack-race` and `snat-port-collision`."""
    if is_routed(segment) or segment.kind is not SegmentKind.FORWARD:
        yield from _full(case, loss, segment)
    if is_routed(segment):
        yield from _collided(case, loss, segment)


def _full(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    node = segment.start.tap.node
    growth, fill = _refused_entries(case, node), _fill(case, node)
    full = growth is not None and growth >= minimum_counter_growth(loss)
    near = fill is not None and fill[0] >= judgement.NEARLY_FULL * fill[1]
    if growth == 0 or not (full or near):
        return
    proofs = []
    if fill is not None:
        text = f"net.netfilter.nf_conntrack_count of {node} is {fill[0]}, nf_conntrack_max {fill[1]}"
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=text))
    if growth is not None:
        text = f"{_FULL} of {node} grew by {growth} more than {_COLLIDED}; {loss.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    more = f"{2 * fill[1]}" if fill is not None else "N"
    yield error_finding(
        case,
        loss,
        CONNTRACK_FULL,
        Confidence.CERTAIN if full and near else Confidence.LIKELY if full else Confidence.POSSIBLE,
        f"the connection tracking table of {node} is full" + (f" ({fill[0]} of {fill[1]})" if fill is not None else ""),
        proofs,
        remediation=CONNTRACK_FULL.remedy(node=node, limit=more),
        not_ruled_out=() if full and near else ("another drop that connection tracking counts",),
    )


def _refused_entries(case: Case, node: str) -> int | None:
    """How many packets were dropped for other reasons than a clash: a failed insertion counts as a drop as well (nf_conntrack_core.c)."""
    growth = node_facts.grown(case, node, _FULL)
    return None if growth is None else max(growth - (node_facts.grown(case, node, _COLLIDED) or 0), 0)


def _fill(case: Case, node: str) -> tuple[int, int] | None:
    """The fullest that a look found the table, and its limit; a limit of 0 is none."""
    counts = [int(value) for value in node_facts.sysctls(case, node, "net.netfilter.nf_conntrack_count") if value.isdigit()]
    limits = [int(value) for value in node_facts.sysctls(case, node, "net.netfilter.nf_conntrack_max") if value.isdigit()]
    return (max(counts), limits[-1]) if counts and limits and limits[-1] else None


def _collided(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Both causes leave the same counter: entries that could not be inserted, because an equal one was there."""
    node, taken = segment.start.tap.node, minimum_counter_growth(loss)
    growth = node_facts.grown(case, node, _COLLIDED)
    if not growth:
        return
    counter = Evidence(kind=EvidenceKind.COUNTER, text=f"{_COLLIDED} of {node} grew by {growth}; {loss.packets} packets were lost")
    pairs = _pairs(case, loss)
    if len(pairs) >= taken:
        yield _race(case, loss, pairs, counter, full=growth >= taken)
        return
    translated = _translated(case, loss, segment)
    if translated:
        yield _collision(case, loss, segment, translated, counter, full=growth >= taken)


def _pairs(case: Case, loss: Loss) -> I32:
    """Rows of lost queries at whose side, from the same port and at the same moment, another packet went out."""
    table = case.tables.get(loss.start.tap)
    rows = rows_at(loss, loss.start)
    if table is None or loss.flow.protocol != "UDP" or loss.path.direction is not Direction.REQUEST:
        return np.zeros(0, dtype=np.int32)
    rows = rows[_port_of(table, rows) == _DNS]
    order = np.lexsort((table.time_ns, table.conversation))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    paired = np.zeros(len(rows), dtype=np.bool_)
    for step in (-1, 1):  # the neighbours in time within the same conversation
        near = place[rows] + step
        inside = (near >= 0) & (near < len(order))
        other = order[np.where(inside, near, 0)]
        same = inside & (table.conversation[other] == table.conversation[rows])
        paired |= same & (np.abs(table.time_ns[other] - table.time_ns[rows]) <= judgement.RACE_NS)
    pairs: I32 = rows[paired]
    return pairs


def _port_of(table: PacketTable, rows: I32) -> U16:
    return table.conversations.destination_port[table.conversation[rows]]


def _race(case: Case, loss: Loss, pairs: I32, counter: Evidence, *, full: bool) -> Finding:
    where, within_ms = place_text(loss.start), judgement.RACE_NS // 1_000_000
    text = f"{len(pairs)} lost queries went out within {within_ms} ms of another one from the same port at {where}"
    proof = Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, loss.start.tap, pairs))
    doubts = [] if full else ["another drop: the counter grew by less than was lost"]
    return error_finding(
        case,
        loss,
        DNS_CONNTRACK_RACE,
        Confidence.CERTAIN if full else Confidence.POSSIBLE,
        f"{loss.packets} DNS queries that were sent together with another one lost the race for their connection tracking entry",
        [proof, counter],
        not_ruled_out=doubts,
    )


def _translated(case: Case, loss: Loss, segment: AnySegment) -> tuple[str, ...]:
    """The addresses that the node gives packets of this flow as a source in place of their own."""
    node, own = segment.start.tap.node, loss.senders
    sources = {
        entry.reply_destination: None
        for facts in node_facts.looks(case, node)
        for entry in facts.conntrack
        if entry.original_source in own and entry.reply_destination not in own and entry.reply_source in loss.receivers
    }
    table = case.tables.get(segment.end.tap) if segment.end is not None else None
    if table is not None and segment.end is not None:
        row = loss.traced.journeys.row[:, segment.end.hop - 1]
        conversation = np.unique(table.conversation[row[row >= 0]])
        seen = address_texts(table.conversations.source[conversation[conversation >= 0]])
        sources.update({address: None for address in seen if address not in own})
    return tuple(sources)


def _collision(case: Case, loss: Loss, segment: AnySegment, sources: tuple[str, ...], counter: Evidence, *, full: bool) -> Finding:
    node = segment.start.tap.node
    text = f"{node} sends the flow from {', '.join(sources)} in place of {', '.join(loss.senders)}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text), counter]
    rules = [rule for facts in node_facts.looks(case, node)[-1:] for rule in _source_rules(facts)]
    orderly = [rule for rule in rules if "--random-fully" not in rule.text]
    if orderly:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=f"without --random-fully: {orderly[0].text} (chain {orderly[0].chain})"))
    return error_finding(
        case,
        loss,
        SNAT_PORT_COLLISION,
        Confidence.LIKELY if full else Confidence.POSSIBLE,
        f"{node} gave {loss.packets} packets a source port under {sources[0]} that another connection to the same server has",
        proofs,
        not_ruled_out=("another collision of connection tracking entries",),
    )


def _source_rules(facts: NodeFacts) -> Iterator[Rule]:
    yield from (rule for rule in facts.rules if rule.target in ("MASQUERADE", "SNAT") and rule.packets != 0)
