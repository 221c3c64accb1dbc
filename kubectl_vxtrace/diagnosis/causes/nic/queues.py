"""Had a queue, a program or a table of the node no room for the packets?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.ends import receivers
from kubectl_vxtrace.diagnosis.evidence import nic
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import Word, words
from kubectl_vxtrace.diagnosis.evidence.lost_packets import arp_questions, direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.nic import Grown
from kubectl_vxtrace.diagnosis.evidence.segment_packets import crossing
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# Fewer lost frames than this may go with a counter by accident.
_FEW_FRAMES = 3
# A counter of all traffic of a NIC that grew by more than this many times the lost packets may be about other packets.
_PLAUSIBLE_FACTOR = 2
# Counters of rx.dropped and the like have many reasons; these speak of a full ring or queue (rtnl_link_stats64 in linux/if_link.h,
# net/core/dev.c, and what drivers call them).
_FULL = ("miss", "fifo", "over", "no_buf", "nobuf", "out_of_buf", "softnet.dropped")


def check(case: Case) -> Iterator[Finding]:
    """Findings `xdp-drop`, `receive-overrun`, `qdisc-drop` and `neighbour-table-full`."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.end is None:
                continue
            if stretch.place in (Place.WIRE, Place.DECAPSULATE):
                yield from _program(case, trouble, stretch, stretch.end)
                yield from _overrun(case, trouble, stretch, stretch.end)
            if stretch.place in (Place.FORWARD, Place.ENCAPSULATE):
                yield from _qdisc(case, trouble, stretch, stretch.end)
                yield from _neighbour_table(case, trouble, stretch, stretch.end)


def _lost_here(case: Case, stretch: Stretch) -> int:
    """Frames that all flows together lost on a stretch: what a counter there must account for."""
    return max(int(crossing(case, stretch).lost.sum()), 1)


def _program(case: Case, trouble: Trouble, stretch: Stretch, end: Hop) -> Iterator[Finding]:
    """An XDP program on the receiving interface: it runs before the tap (net/core/dev.c, __netif_receive_skb_core)."""
    if not nic.has_xdp(case, end):
        return
    lost = _lost_here(case, stretch)
    counters = [one for one in nic.xdp_drops(case, end) if one.growth >= lost]
    close = any(_is_close(one, lost) for one in counters)
    word = _word(case, trouble, end, ("XDP",))
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"an XDP program is attached to {place_text(end)}")]
    proofs += [_counted(one, lost) for one in counters]
    proofs += [word.evidence] if word is not None else []
    proved = bool(counters) or word is not None
    noun = direction_noun(trouble.path.direction, trouble.packets)
    yield explain(
        case,
        trouble,
        "xdp-drop",
        Confidence.CERTAIN if close or word is not None else Confidence.LIKELY if proved else Confidence.POSSIBLE,
        f"the XDP program on {place_text(end)} {'dropped' if proved else 'may have dropped'} {trouble.packets} {noun}",
        proofs,
        remediation=(
            f"Look on {end.tap.node}: bpftool net show dev {end.tap.interface}; ip -d link show {end.tap.interface}. If nothing needs it: "
            f"ip link set dev {end.tap.interface} xdp off; else correct the program's owner (Cilium, a DDoS filter, a security agent)."
        ),
        not_ruled_out=() if proved else ("a loss on the wire: neither a counter nor the kernel says that the program drops",),
    )


def _overrun(case: Case, trouble: Trouble, stretch: Stretch, end: Hop) -> Iterator[Finding]:
    """The receiver took less than arrived: its NIC's ring, its receive queue, or the queue of its VXLAN device was full."""
    lost = _lost_here(case, stretch)
    grown = [one for one in nic.receiver_losses(case, end) if one.growth >= lost and (nodes.is_vxlan(end) or _is_full(one))]
    if stretch.place is Place.DECAPSULATE:
        grown = [one for one in grown if one.name == "rx.dropped"]
    word = _word(case, trouble, end, ("CPU_BACKLOG", "FULL_RING"))
    if not grown and word is None:
        return
    close = [one for one in grown if _is_close(one, lost)]
    passed = bool((~crossing(case, stretch).lost).any())
    doubts = [] if passed else ["a rule on the way: a full queue seldom loses every packet"]
    if grown and not close:
        doubts.append(f"other traffic's drops: {grown[0].text}, and {lost} of these frames were lost")
    if lost < _FEW_FRAMES and word is None:
        doubts.append(f"an accident: only {lost} frames were lost")
    if nodes.is_vxlan(end):
        doubts.append(f"another reason for rx.dropped of {place_text(end)}")
    confidence = Confidence.CERTAIN if not doubts else Confidence.LIKELY if passed else Confidence.POSSIBLE
    noun = direction_noun(trouble.path.direction, trouble.packets)
    yield explain(
        case,
        trouble,
        "receive-overrun",
        confidence,
        f"{place_text(end)} had no room for {trouble.packets} {noun}: {(close or grown)[0].text if grown else 'so its kernel says'}",
        [*(_counted(one, lost) for one in grown), *([word.evidence] if word is not None else [])],
        remediation=(
            f"Look on {end.tap.node}: ethtool -S {end.tap.interface}; ethtool -g {end.tap.interface}; cat /proc/net/softnet_stat. A fuller "
            f"ring: ethtool -G {end.tap.interface} rx MAXIMUM; a longer queue: sysctl -w net.core.netdev_max_backlog=5000; more CPUs for "
            f"it: ethtool -L {end.tap.interface} combined CPUS."
        ),
        not_ruled_out=doubts,
    )


def _word(case: Case, trouble: Trouble, hop: Hop, reasons: tuple[str, ...]) -> Word | None:
    """The kernel's word on the trouble's packets from the node of `hop`, for one of `reasons`."""
    return next((word for word in words(case, trouble, reasons=reasons) if word.node == hop.tap.node), None)


def _is_full(one: Grown) -> bool:
    return any(word in one.name for word in _FULL)


def _is_close(one: Grown, lost: int) -> bool:
    """Whether so much was counted that it is about the lost frames, and so little that it is about no others."""
    return lost <= one.growth <= _PLAUSIBLE_FACTOR * lost


def _counted(one: Grown, lost: int) -> Evidence:
    return Evidence(kind=EvidenceKind.COUNTER, text=f"{one.text}; {lost} frames were lost there")


def _qdisc(case: Case, trouble: Trouble, stretch: Stretch, end: Hop) -> Iterator[Finding]:
    """The queueing discipline of the interface that should send the packets: the tap is behind it (net/core/dev.c, dev_queue_xmit_nit)."""
    node, interface = end.tap.node, end.tap.interface
    dropped, lost = nodes.link_grown(case, node, interface, "qdisc.dropped"), _lost_here(case, stretch)
    grown = Grown("qdisc.dropped", dropped, f"drops of the qdisc of {place_text(end)} grew by {dropped}") if dropped is not None else None
    word = _word(case, trouble, end, ("QDISC_DROP", "QDISC_OVERLIMIT", "QDISC_CONGESTED", "TC_EGRESS"))
    counted = grown is not None and grown.growth >= lost
    if not counted and (word is None or dropped == 0):
        return
    close = grown is not None and _is_close(grown, lost)
    noun = direction_noun(trouble.path.direction, trouble.packets)
    yield explain(
        case,
        trouble,
        "qdisc-drop",
        Confidence.CERTAIN if close and (lost >= _FEW_FRAMES or word is not None) else Confidence.LIKELY,
        f"the queueing discipline of {place_text(end)} dropped {trouble.packets} {noun}",
        [*([_counted(grown, lost)] if grown is not None else []), *([word.evidence] if word is not None else [])],
        remediation=(
            f"Look on {node}: tc -s qdisc show dev {interface}. A limit that somebody set (the pod's kubernetes.io/egress-bandwidth or "
            f"ingress-bandwidth annotation, tc by hand) is too low for this traffic: raise it, or tc qdisc del dev {interface} root."
        ),
        not_ruled_out=() if close else ("drops of other traffic in the same queue",),
    )


# The statistics of a neighbour table, and the sysctl that limits it (arp(7); Documentation/networking/ip-sysctl.rst).
_TABLES = {"arp_cache": "net.ipv4.neigh.default.gc_thresh3", "ndisc_cache": "net.ipv6.neigh.default.gc_thresh3"}


def _neighbour_table(case: Case, trouble: Trouble, stretch: Stretch, end: Hop) -> Iterator[Finding]:
    """The kernel could make no new neighbour entry (net/core/neighbour.c, neigh_alloc)."""
    node = stretch.start.tap.node
    grown = {name: growth for name in _TABLES if (growth := nodes.grown(case, node, f"{name}.table_fulls"))}
    if not grown:
        return
    word = _word(case, trouble, end, ("NEIGH_CREATEFAIL",))
    if word is None and _is_known(case, trouble, end):
        return
    lost, sysctls = _lost_here(case, stretch), nodes.looks(case, node)[-1].sysctls
    yield explain(
        case,
        trouble,
        "neighbour-table-full",
        Confidence.CERTAIN if max(grown.values()) >= lost else Confidence.LIKELY,
        f"the neighbour table of {node} is full: the kernel cannot note the next hop's MAC address",
        [
            *(_counted(Grown(name, growth, f"{name}.table_fulls of {node} grew by {growth}"), lost) for name, growth in grown.items()),
            *(
                Evidence(kind=EvidenceKind.CONFIG, text=f"{_TABLES[name]} of {node}: {sysctls.get(_TABLES[name], 'not read')}")
                for name in grown
            ),
            *([word.evidence] if word is not None else []),
        ],
        remediation=(
            f"Look on {node}: ip neigh | wc -l; sysctl net.ipv4.neigh.default.gc_thresh3; dmesg | grep 'table overflow'. Raise the limits: "
            "sysctl -w net.ipv4.neigh.default.gc_thresh1=8192 net.ipv4.neigh.default.gc_thresh2=32768 "
            "net.ipv4.neigh.default.gc_thresh3=65536 (net.ipv6.neigh.* for IPv6), and in /etc/sysctl.d."
        ),
    )


def _is_known(case: Case, trouble: Trouble, end: Hop) -> bool:
    """Whether the packets needed no new entry: every look has one for their next hop on the interface, or the node has asked for it there,
    for which it must have made one."""
    looks = [facts for facts in nodes.looks(case, end.tap.node) if nodes.answered(facts, "neighbours")]
    ends = {*receivers(trouble), *((trouble.path.outer_destination,) if trouble.path.outer_destination is not None else ())}
    gateways = {lookup.gateway for facts in looks for lookup in facts.lookups if lookup.destination in ends and lookup.gateway is not None}
    next_hops = gateways | ends
    known = [
        {entry.address for entry in facts.neighbours if entry.device == end.tap.interface and entry.mac and "FAILED" not in entry.states}
        for facts in looks
    ]
    return bool(known) and (all(have & next_hops for have in known) or any(len(arp_questions(case, end.tap, one)[0]) for one in next_hops))
