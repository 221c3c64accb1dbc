"""What needs hardware or a cloud that no lab has: a trace of the lab, whose bundle is changed to say what such a machine says of itself.

The packets really were lost where the truth has them, and how many is what the kernel counted of the rule that dropped them. The names and
counters that are written into the bundle are those that drivers and kernels are known to print (the source stands beside each); no machine
has said them. So these cases show that such words lead to the right verdict, not that such a machine says them. synthesised_tables.py has
what nodes say of tables that are full or disagree, synthesised_captures.py what only captures show.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.datapath import servers
from tests.datapath.records import Lab, LabNode
from tests.truth import synthesised_captures, synthesised_tables
from tests.truth.cases import Case, Switch, Truth
from tests.truth.synthesis import DROP, NIC, RECEIVER, SENDER, WIRE, Counter, Dying, Edit, Facts, Synthesised, table, without_table
from tests.unpacking import unpacked


def _on_the_wire(match: str) -> Callable[[Lab], AbstractContextManager[Counter]]:
    """The underlay drops what matches on its way to the receiver."""

    def breaking(lab: Lab) -> AbstractContextManager[Counter]:
        node = lab.node(RECEIVER)
        rule = f'oifname "{node.fabric_port}" udp dport {node.vxlan_port} {match} {DROP};'
        return table(lab.fabric, "bridge", f"chain forward {{ type filter hook forward priority 0; policy accept; {rule} }};")

    return breaking


def _before_tracking(lab: Lab) -> AbstractContextManager[Counter]:
    """The sender's node drops half of the questions where it would begin to track them, and no rule counts that."""
    node: LabNode = lab.node(SENDER)
    rule = f"ip saddr {servers.client(lab).address} udp dport 53 numgen random mod 2 0 {DROP};"
    return table(node.netns, "ip", f"chain early {{ type filter hook prerouting priority -201; policy accept; {rule} }};")


def _driver(driver: str, *, tunnels: str) -> Edit:
    """Both nodes have this NIC (ethtool -i, -k)."""

    def edit(node: str, after: bool, lost: int, facts: Facts) -> None:
        facts["ethtool"] |= {
            f"{NIC}.driver": driver,
            f"{NIC}.tx-udp_tnl-segmentation": tunnels,
            f"{NIC}.tx-udp_tnl-csum-segmentation": tunnels,
        }

    return edit


def _ring_full(node: str, after: bool, lost: int, facts: Facts) -> None:
    """virtio_net's receive queue had no room (drivers/net/virtio_net.c, "rx_drops"; rtnl_link_stats64.rx_missed_errors)."""
    _driver("virtio_net", tunnels="off")(node, after, lost, facts)
    if node == RECEIVER:
        for name in (f"ethtool.{NIC}.rx_drops", f"ethtool.{NIC}.rx0_drops"):
            facts["counters"][name] = 1000 + (lost if after else 0)
        for link in facts["links"]:
            if link["name"] == NIC:
                link["counters"]["rx.missed"] = 1000 + (lost if after else 0)


def _table_full(node: str, after: bool, lost: int, facts: Facts) -> None:
    """net/netfilter/nf_conntrack_core.c, __nf_conntrack_alloc: "table full, dropping packet"; /proc/net/stat/nf_conntrack, drop."""
    without_table(facts)
    if node == SENDER:
        facts["counters"]["conntrack.drop"] = facts["counters"].get("conntrack.drop", 0) + (lost if after else 0)
        facts["sysctls"] |= {"net.netfilter.nf_conntrack_count": "65534", "net.netfilter.nf_conntrack_max": "65536"}


_PINGS = (("ask", "ping", "{dns-2.address}", "-", "--rate", "20"),)
_NOT_ICMP = "@th,312,8 != 1"

SYNTHESISED = (
    Synthesised(
        title="VMware's vmxnet3, tunnel offload on: ICMP crosses, TCP and UDP do not",
        truth=Truth(cause="vmware-vxlan-clash", direction="request", start=WIRE[0], end=WIRE[1]),
        breaking=_on_the_wire(_NOT_ICMP),
        edit=_driver("vmxnet3", tunnels="on"),
        traffic=_PINGS,
    ),
    Synthesised(
        title="a security group that lets nothing in on the VXLAN port, on NICs of AWS (ena)",
        truth=Truth(cause="underlay-udp-blocked", direction="request", start=WIRE[0], end=WIRE[1]),
        breaking=_on_the_wire(""),
        edit=_driver("ena", tunnels="off"),
    ),
    Synthesised(
        title="a receive ring that overflows (virtio_net)",
        truth=Truth(cause="receive-overrun", direction="request", start=WIRE[0], end=WIRE[1]),
        breaking=_on_the_wire("numgen random mod 100 < 40"),
        edit=_ring_full,
    ),
    Synthesised(
        title="a NIC (mlx5) whose tunnel offload spoils inner checksums",
        truth=Truth(cause="nic-tunnel-offload", direction="request", start=f"{RECEIVER}/vxlan", end=f"{RECEIVER}/pod"),
        edit=_driver("mlx5_core", tunnels="on"),
        switches=(Switch(name="nic-tunnel-offload"),),
    ),
    Synthesised(
        title="a full connection tracking table",
        truth=Truth(cause="conntrack-full", direction="request", start=f"{SENDER}/pod", end=f"{SENDER}/vxlan"),
        breaking=_before_tracking,
        edit=_table_full,
    ),
    *synthesised_tables.SYNTHESISED,
    *synthesised_captures.SYNTHESISED,
)


def cases() -> Iterator[Case]:
    """Each as a case."""
    for one in SYNTHESISED:
        name = f"synthesised: {one.title}"
        yield Case(name=name, backend=one.backend, switches=one.switches, expected=(one.truth,), synthesised=one.title, traffic=one.traffic)


def find(title: str) -> Synthesised:
    """The one of that title."""
    return next(one for one in SYNTHESISED if one.title == title)


def rewrite(bundle: Path, one: Synthesised, dying: Dying, folder: Path) -> Path:
    """The bundle as a folder, in which the nodes say what they would say on such machines."""
    place = folder / "synthesised"
    shutil.rmtree(place, ignore_errors=True)
    unpacked(bundle, place)
    (place / "manifest.json").unlink()  # its digests are those of the answers as they were
    one.rework(place)
    for node in sorted(path.name for path in (place / "nodes").iterdir()):
        lost = dying.between(*_asked_at(place / "nodes" / node))
        for path in sorted((place / "nodes" / node).glob("*.json")):
            after = path.stem == "after"
            facts = json.loads(path.read_text())
            one.edit(node, after, lost, facts)
            path.write_text(json.dumps(facts))
            for question, text in one.said(node, after, lost).items():
                (path.parent / path.stem / f"{question}.txt").write_text(text)
    return place


def _asked_at(answers: Path) -> tuple[int, int]:
    """When a node had given its first answers, and when it was asked again: its clock stands in both, first and last."""
    before, after = ((answers / when / "clock.txt").read_text().split() for when in ("before", "after"))
    return int(before[-1]), int(after[0])
