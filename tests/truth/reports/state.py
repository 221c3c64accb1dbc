"""What the lab is like, so that a row that was undone leaves it as it was."""

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.datapath import tools
from tests.datapath.records import Lab
from tests.truth.reports import traffic

# Counters, caches and what the kernel learns by itself are left out.
_LISTING = r"""
ip rule
ip -4 route show table all | grep -v '^broadcast\|^multicast\| dev veth-\?[0-9a-f]* proto kernel scope link linkdown'
ip -4 neigh show nud permanent
ip -o -4 addr | sed 's/^[0-9]*: //'
ip -o -d link | sed 's/^[0-9]*: //; s/@[^:]*//; s/<[^>]*>//; s/ state [A-Z]*//; s/ qlen [0-9]*//; s/ promiscuity [0-9]*//
    s/ allmulti [0-9]*//; s/ gc_timer .*//; s/ hello_timer .*//; s/ vlan_filtering .*//; s/alias.*//; s/ addrgenmode.*//'
bridge fdb show 2>/dev/null | grep ' self\| permanent' | grep -v '33:33:\|01:00:5e'
bridge -d link 2>/dev/null | grep -o 'hairpin [a-z]*\|master [a-z0-9]*'
iptables-save 2>/dev/null | grep '^-A\|^:[A-Z]* DROP'
nft list tables 2>/dev/null | grep -v ' ip \(filter\|nat\|mangle\|raw\|security\)$'
tc qdisc | grep -v 'noqueue\|pfifo_fast\|fq_codel\| mq '
ip xfrm policy
cd /proc/sys/net/ipv4 && grep -H . ip_forward conf/*/forwarding conf/*/rp_filter conf/*/proxy_arp
cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null
"""
_WORKING = (
    ("client", "ask dns {dns-2.address}:53 {question}"),
    ("client", "ask dns {dns-3.address}:53 {question}"),
    ("client", "ask http {slackernews} /"),
    ("ada-ec-1", "ask http {slackernews} /"),
)

State = Mapping[str, frozenset[str]]


def listed(lab: Lab) -> State:
    """Lines by namespace."""

    def of(netns: str) -> frozenset[str]:
        return frozenset(tools.run_inside(netns, ["bash", "-c", _LISTING], check=False).stdout.splitlines())

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(lab.namespaces(), pool.map(of, lab.namespaces()), strict=True))


def changes(before: State, after: State) -> list[str]:
    """What is gone ("-") and what is new ("+")."""
    return [
        f"{netns}: {sign}{line}"
        for netns in before
        for sign, lines in (("-", before[netns] - after[netns]), ("+", after[netns] - before[netns]))
        for line in sorted(lines)
    ]


def forget_connections(lab: Lab) -> None:
    """End what is open, and what nodes remember of it: it would be sent again in the next row."""
    for netns in lab.namespaces():
        tools.run_inside(netns, ["ss", "-K", "state", "connected"], check=False)
    for node in lab.nodes:
        tools.run_inside(node.netns, ["conntrack", "-F"], check=False)
        tools.run_inside(node.netns, ["ip", "neigh", "flush", "nud", "failed"], check=False)


def broken(lab: Lab) -> list[str]:
    """What does not work of a lab: both DNS pods and the web server answer the client, and the web server its node."""
    found = []
    for place, text in _WORKING:
        with tempfile.TemporaryDirectory() as folder, traffic.running(lab, [f"{place}: {text}"], Path(folder)) as answers:
            instead = answers.become("some", (0, 0))
            found += [f"{place} {text}: {instead}"] if instead else []
    return found
