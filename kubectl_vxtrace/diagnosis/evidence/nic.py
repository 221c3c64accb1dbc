"""What the nodes said of the NICs at both ends of a segment: drivers, features, counters of what they lost themselves."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import place_text
from kubectl_vxtrace.diagnosis.losses import Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop

# What a cloud takes away beyond an instance's allowance, its NIC counts under such names (drivers/net/ethernet/amazon/ena, ena_ethtool.c).
_ALLOWANCE = r"allowance_exceeded$"
_RECEIVE_MISSED = re.compile(rf"(^|[._])rx.*(miss|no_?buf|out_of_buf|fifo|over|discard|drop)|{_ALLOWANCE}")
_SEND_FAILED = re.compile(rf"(^|[._])tx.*(err|drop|fail|abort|carrier_errors|fifo|timeout|discard)|{_ALLOWANCE}")
_XDP = re.compile(r"xdp", re.IGNORECASE)
# Devices without hardware behind them, by the driver's name in ethtool -i (drivers/net, net/bridge, net/8021q).
_SOFTWARE = frozenset({"veth", "bridge", "tun", "dummy", "vxlan", "macvlan", "ipvlan", "802.1Q VLAN Support", "openvswitch", "netkit"})


@dataclass(frozen=True, slots=True)
class Grown:
    """A counter of a NIC, or of its node's receive queue, that grew; `text` names it with its place."""

    name: str
    growth: int
    text: str


def sender_losses(case: Case, hop: Hop) -> list[Grown]:
    """Counters of packets that a NIC failed to send and that grew."""
    return [counter for counter in _grown(case, hop) if _SEND_FAILED.search(counter.name) and not _XDP.search(counter.name)]


def receiver_losses(case: Case, hop: Hop) -> list[Grown]:
    """Counters of packets that a NIC, its driver or the queue behind it had no room for and that grew; XDP's own are not among them.

    softnet.dropped is the node's, not the NIC's (Documentation/networking/scaling.rst; net/core/net-procfs.c).
    """
    counters = [counter for counter in _grown(case, hop) if _RECEIVE_MISSED.search(counter.name) and not _XDP.search(counter.name)]
    backlog = node_facts.grown(case, hop.tap.node, "softnet.dropped")
    if backlog:
        counters.append(Grown("softnet.dropped", backlog, f"softnet.dropped of {hop.tap.node} grew by {backlog}"))
    return counters


def xdp_drops(case: Case, hop: Hop) -> list[Grown]:
    """Counters of packets that an XDP program dropped at a NIC and that grew (`rx_queue_0_xdp_drops` of veth, `rx_xdp_drop` of mlx5)."""
    return [counter for counter in _grown(case, hop) if _XDP.search(counter.name) and "drop" in counter.name]


def _grown(case: Case, hop: Hop) -> Iterable[Grown]:
    node, interface = hop.tap.node, hop.tap.interface
    prefix = f"ethtool.{interface}."
    for name, growth in (*node_facts.link_growths(case, node, interface), *node_facts.growths(case, node, prefix)):
        yield Grown(name.removeprefix(prefix), growth, f"{name} of {place_text(hop)} grew by {growth}")


def unread(case: Case, segment: Segment) -> list[str]:
    """The ends of a segment whose counters were not read before and after, each as a doubt."""
    return [
        f"a drop in the NIC or driver of {place_text(hop)}, whose counters were not read before and after"
        for hop in (segment.start, segment.end)
        if node_facts.link_grown(case, hop.tap.node, hop.tap.interface, "rx.packets") is None
    ]


def has_xdp(case: Case, hop: Hop) -> bool:
    """Whether any look found an XDP program on the hop's interface."""
    return any(link.xdp for link in node_facts.links_of(case, hop))


def feature(case: Case, hop: Hop, name: str) -> str | None:
    """What `ethtool -k` or `-i` said last of the hop's interface under `name` (`on`, `off`, a driver's name); None if nothing did."""
    said = [facts.ethtool.get(f"{hop.tap.interface}.{name}") for facts in node_facts.looks(case, hop.tap.node)]
    return next((value for value in reversed(said) if value is not None), None)


def driver(case: Case, hop: Hop) -> str | None:
    """The driver of the hop's NIC, None where unknown."""
    return feature(case, hop, "driver")


def offloads_tunnels(case: Case, hop: Hop) -> bool:
    """Whether hardware segments or checksums what is inside the NIC's tunnels (Documentation/networking/segmentation-offloads.rst)."""
    name = driver(case, hop)
    on = any(feature(case, hop, each) == "on" for each in ("tx-udp_tnl-csum-segmentation", "tx-udp_tnl-segmentation"))
    return on and name is not None and name not in _SOFTWARE
