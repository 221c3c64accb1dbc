"""Had a queue, a program or a table of the node no room for the packets?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import nic, node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import arp_questions
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_drop_on
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.nic import Grown
from kubectl_vxtrace.diagnosis.evidence.segment_packets import segment_packets
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment, SegmentKind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

XDP_DROP = Cause(
    slug="xdp-drop",
    remediation=(
        "Look on {node}: bpftool net show dev {device}; ip -d link show {device}. If nothing needs it: ip link set dev {device} xdp off; "
        "else correct the program's owner (Cilium, a DDoS filter, a security agent)."
    ),
    source="Linux include/uapi/linux/bpf.h (enum xdp_action); net/core/dev.c (do_xdp_generic)",
    admitted=True,
    is_circumstance=True,
    stage=Stage.XDP,
)
RECEIVE_OVERRUN = Cause(
    slug="receive-overrun",
    remediation=(
        "Look on {node}: ethtool -S {device}; ethtool -g {device}; cat /proc/net/softnet_stat. A fuller ring: ethtool -G {device} rx "
        "MAXIMUM; a longer queue: sysctl -w net.core.netdev_max_backlog=5000; more CPUs for it: ethtool -L {device} combined CPUS."
    ),
    source="Linux net/core/dev.c (enqueue_to_backlog), net/core/net-procfs.c; Documentation/networking/statistics.rst",
    admitted=True,
    stage=Stage.DRIVER,
)
QDISC_DROP = Cause(
    slug="qdisc-drop",
    remediation=(
        "Look on {node}: tc -s qdisc show dev {device}. A limit that somebody set (the pod's kubernetes.io/egress-bandwidth or "
        "ingress-bandwidth annotation, tc by hand) is too low for this traffic: raise it, or tc qdisc del dev {device} root."
    ),
    source="tc(8); Linux net/core/dev.c (__dev_xmit_skb)",
    admitted=True,
    stage=Stage.QDISC,
)
NEIGHBOUR_TABLE_FULL = Cause(
    slug="neighbour-table-full",
    remediation=(
        "Look on {node}: ip neigh | wc -l; sysctl net.ipv4.neigh.default.gc_thresh3; dmesg | grep 'table overflow'. Raise the limits: "
        "sysctl -w net.ipv4.neigh.default.gc_thresh1=8192 net.ipv4.neigh.default.gc_thresh2=32768 "
        "net.ipv4.neigh.default.gc_thresh3=65536 (net.ipv6.neigh.* for IPv6), and in /etc/sysctl.d."
    ),
    source="Linux net/core/neighbour.c (neigh_alloc); arp(7)",
    admitted=True,
    stage=Stage.NEIGHBOUR,
)
CAUSES = (
    XDP_DROP,
    RECEIVE_OVERRUN,
    QDISC_DROP,
    NEIGHBOUR_TABLE_FULL,
)


# Counters of rx.dropped and the like have many reasons; these speak of a full ring or queue (rtnl_link_stats64 in linux/if_link.h,
# net/core/dev.c, and what drivers call them).
_FULL = ("miss", "fifo", "over", "no_buf", "nobuf", "out_of_buf", "softnet.dropped")


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `xdp-drop`, `receive-overrun`, `qdisc-drop` and `neighbour-table-full`."""
    if segment.kind in (SegmentKind.WIRE, SegmentKind.DECAPSULATE):
        yield from _program(case, loss, segment)
        yield from _overrun(case, loss, segment)
    else:
        yield from _qdisc(case, loss, segment)
        yield from _neighbour_table(case, loss, segment)


def _lost_here(case: Case, segment: Segment) -> int:
    """Frames that all flows together lost on a segment: what a counter there must account for."""
    return max(int(segment_packets(case, segment).lost.sum()), 1)


def _program(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """An XDP program on the receiving interface: it runs before the tap (net/core/dev.c, __netif_receive_skb_core)."""
    end = segment.end
    if not nic.has_xdp(case, end):
        return
    lost = _lost_here(case, segment)
    counters = [counter for counter in nic.xdp_drops(case, end) if counter.growth >= lost]
    close = any(_is_close(counter, lost) for counter in counters)
    told = kernel_drop_on(case, loss, end.tap.node, ("XDP",))
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"an XDP program is attached to {place_text(end)}")]
    proofs += [_counted(counter, lost) for counter in counters]
    proofs += told
    proved = bool(counters) or bool(told)
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        XDP_DROP,
        Confidence.CERTAIN if close or told else Confidence.LIKELY if proved else Confidence.POSSIBLE,
        f"the XDP program on {place_text(end)} {'dropped' if proved else 'may have dropped'} {loss.packets} {noun}",
        proofs,
        remediation=XDP_DROP.remedy(node=end.tap.node, device=end.tap.interface),
        not_ruled_out=() if proved else ("a loss on the wire: neither a counter nor the kernel says that the program drops",),
    )


def _overrun(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """The receiver took less than arrived: its NIC's ring, its receive queue, or the queue of its VXLAN device was full."""
    end, lost = segment.end, _lost_here(case, segment)
    grown = [counter for counter in nic.receiver_losses(case, end) if counter.growth >= lost]
    grown = [counter for counter in grown if node_facts.is_vxlan(end) or _is_full(counter)]
    if segment.kind is SegmentKind.DECAPSULATE:
        grown = [counter for counter in grown if counter.name == "rx.dropped"]
    told = kernel_drop_on(case, loss, end.tap.node, ("CPU_BACKLOG", "FULL_RING"))
    if not grown and not told:
        return
    close = [counter for counter in grown if _is_close(counter, lost)]
    passed = bool((~segment_packets(case, segment).lost).any())
    doubts = [] if passed else ["a rule on the way: a full queue seldom loses every packet"]
    if grown and not close:
        doubts.append(f"other traffic's drops: {grown[0].text}, and {lost} of these frames were lost")
    if lost < judgement.FEW_PACKETS and not told:
        doubts.append(f"an accident: only {lost} frames were lost")
    if node_facts.is_vxlan(end):
        doubts.append(f"another reason for rx.dropped of {place_text(end)}")
    confidence = Confidence.CERTAIN if not doubts else Confidence.LIKELY if passed else Confidence.POSSIBLE
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        RECEIVE_OVERRUN,
        confidence,
        f"{place_text(end)} had no room for {loss.packets} {noun}: {(close or grown)[0].text if grown else 'so its kernel says'}",
        [*(_counted(counter, lost) for counter in grown), *told],
        remediation=RECEIVE_OVERRUN.remedy(node=end.tap.node, device=end.tap.interface),
        not_ruled_out=doubts,
    )


def _is_full(counter: Grown) -> bool:
    return any(word in counter.name for word in _FULL)


def _is_close(counter: Grown, lost: int) -> bool:
    """Whether so much was counted that it is about the lost frames, and so little that it is about no others."""
    return lost <= counter.growth <= judgement.PLAUSIBLE_FACTOR * lost


def _counted(counter: Grown, lost: int) -> Evidence:
    return Evidence(kind=EvidenceKind.COUNTER, text=f"{counter.text}; {lost} frames were lost there")


def _qdisc(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """The queueing discipline of the interface that should send the packets: the tap is behind it (net/core/dev.c, dev_queue_xmit_nit)."""
    end = segment.end
    node, interface = end.tap.node, end.tap.interface
    dropped, lost = node_facts.link_grown(case, node, interface, "qdisc.dropped"), _lost_here(case, segment)
    grown = Grown("qdisc.dropped", dropped, f"drops of the qdisc of {place_text(end)} grew by {dropped}") if dropped is not None else None
    told = kernel_drop_on(case, loss, end.tap.node, ("QDISC_DROP", "QDISC_OVERLIMIT", "QDISC_CONGESTED"))
    counted = grown is not None and grown.growth >= lost
    if not counted and (not told or dropped == 0):
        return
    close = grown is not None and _is_close(grown, lost)
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        QDISC_DROP,
        Confidence.CERTAIN if close and (lost >= judgement.FEW_PACKETS or told) else Confidence.LIKELY,
        f"the queueing discipline of {place_text(end)} dropped {loss.packets} {noun}",
        [*([_counted(grown, lost)] if grown is not None else []), *told],
        remediation=QDISC_DROP.remedy(node=node, device=interface),
        not_ruled_out=() if close else ("drops of other traffic in the same queue",),
    )


# The statistics of a neighbour table, and the sysctl that limits it (arp(7); Documentation/networking/ip-sysctl.rst).
_TABLES = {"arp_cache": "net.ipv4.neigh.default.gc_thresh3", "ndisc_cache": "net.ipv6.neigh.default.gc_thresh3"}


def _neighbour_table(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """The kernel could make no new neighbour entry (net/core/neighbour.c, neigh_alloc)."""
    end = segment.end
    node = segment.start.tap.node
    grown = {name: growth for name in _TABLES if (growth := node_facts.grown(case, node, f"{name}.table_fulls"))}
    if not grown:
        return
    told = kernel_drop_on(case, loss, end.tap.node, ("NEIGH_CREATEFAIL",))
    if not told and _is_known(case, loss, end):
        return
    lost, sysctls = _lost_here(case, segment), node_facts.looks(case, node)[-1].sysctls
    yield error_finding(
        case,
        loss,
        NEIGHBOUR_TABLE_FULL,
        Confidence.CERTAIN if max(grown.values()) >= lost else Confidence.LIKELY,
        f"the neighbour table of {node} is full: the kernel cannot note the next hop's MAC address",
        [
            *(_counted(Grown(name, growth, f"{name}.table_fulls of {node} grew by {growth}"), lost) for name, growth in grown.items()),
            *(
                Evidence(kind=EvidenceKind.CONFIG, text=f"{_TABLES[name]} of {node}: {sysctls.get(_TABLES[name], 'not read')}")
                for name in grown
            ),
            *told,
        ],
        remediation=NEIGHBOUR_TABLE_FULL.remedy(node=node),
    )


def _is_known(case: Case, loss: Loss, end: Hop) -> bool:
    """Whether the packets needed no new entry: every look has one for their next hop on the interface, or the node has asked for it there,
    for which it must have made one."""
    looks = [facts for facts in node_facts.looks(case, end.tap.node) if node_facts.answered(facts, "neighbours")]
    ends = {*loss.receivers, *((loss.path.outer_destination,) if loss.path.outer_destination is not None else ())}
    gateways = {lookup.gateway for facts in looks for lookup in facts.lookups if lookup.destination in ends and lookup.gateway is not None}
    next_hops = gateways | ends
    known = [
        {entry.address for entry in facts.neighbours if entry.device == end.tap.interface and entry.mac and "FAILED" not in entry.states}
        for facts in looks
    ]
    return bool(known) and (
        all(have & next_hops for have in known) or any(len(arp_questions(case, end.tap, address)[0]) for address in next_hops)
    )
