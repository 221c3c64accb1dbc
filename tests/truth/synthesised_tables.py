"""Synthesised cases of tables that are full, that two packets want to write at once, or on which two nodes do not agree."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.datapath import servers, tools, wiring
from tests.datapath.records import Lab
from tests.truth.cases import Truth
from tests.truth.synthesis import DROP, RECEIVER, SENDER, Counter, Facts, Synthesised, table, without_table


def _to_tunnel(cause: str) -> Truth:
    return Truth(cause=cause, direction="request", start=f"{SENDER}/pod", end=f"{SENDER}/vxlan")


# --- dns-conntrack-race --------------------------------------------------------------------------------------------------------------

# The kernel of Ubuntu 18.04: before "netfilter: conntrack: allow insertion of clashing entries" (6a757c07e51f, Linux 5.7) the loser of a
# race between packets that were translated differently is dropped.
_OLD_KERNEL = "4.15.0-213-generic"
_NO_REASONS = "this kernel does not name reasons of drops"  # they came with Linux 5.17 (c504e5c2f964)
_AAAA = 28
_BEFORE = 100  # of each counter


def _half_of_the_twins(lab: Lab) -> AbstractContextManager[Counter]:
    """Of the AAAA questions half are lost on the client's node; each left its pod right behind the A question, from the same port."""
    name_bytes = sum(len(label) + 1 for label in servers.QUESTION.split(".")) + 1
    place_bits = 8 * (8 + 12 + name_bytes)  # UDP, DNS's header (RFC 1035, 4.1.1)
    rule = f"ip saddr {servers.client(lab).address} udp dport 53 @th,{place_bits},16 {_AAAA} numgen random mod 2 0 {DROP};"
    chain = f"chain early {{ type filter hook prerouting priority -201; policy accept; {rule} }};"
    return table(lab.node(SENDER).netns, "ip", chain)


def _clashed(node: str, after: bool, lost: int, facts: Facts) -> None:
    """nf_conntrack_core.c of 4.15: __nf_conntrack_confirm counts insert_failed, nf_ct_resolve_clash drop, once for each loser."""
    without_table(facts)
    facts["kernel"] = _OLD_KERNEL
    if node == SENDER:
        facts["counters"] |= dict.fromkeys(("conntrack.insert_failed", "conntrack.drop"), _BEFORE + (lost if after else 0))


def _clashed_said(node: str, after: bool, lost: int) -> dict[str, str]:
    """/proc/net/stat/nf_conntrack of 4.15 (nf_conntrack_standalone.c, ct_cpu_seq_show), one line for each CPU."""
    if node != SENDER:
        return {"kernel": f"{_OLD_KERNEL}\n"}
    head = "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error"
    head += "  expect_new expect_create expect_delete search_restart\n"
    first, second = _BEFORE // 2, _BEFORE - _BEFORE // 2 + (lost if after else 0)
    lines = [
        f"00000143  {'00000000 ' * 8}{count:08x} {count:08x} {'00000000 ' * 2} {'00000000 ' * 4}".rstrip() for count in (first, second)
    ]
    return {"kernel": f"{_OLD_KERNEL}\n", "conntrack-stat": head + "".join(f"{line}\n" for line in lines)}


def _no_words(folder: Path) -> None:
    """The nodes' kernels are too old to say why they drop."""
    recording = json.loads((folder / "recording.json").read_text())
    recording["kernel_drops"] = []
    recording["kernel_drops_absent"] = {path.name: _NO_REASONS for path in (folder / "nodes").iterdir()}
    (folder / "recording.json").write_text(json.dumps(recording))
    for path in folder.glob("nodes/*/drops.txt"):
        path.unlink()


# --- neighbour-table-full ------------------------------------------------------------------------------------------------------------

# Documentation/networking/ip-sysctl.rst, neigh/default/gc_thresh*: the kernel's defaults, as a node says them.
_THRESHOLDS = {"gc_thresh1": "128", "gc_thresh2": "512", "gc_thresh3": "1024"}


def _before_the_pod(lab: Lab) -> AbstractContextManager[Counter]:
    """What should go to the DNS pod is taken away behind all other rules, where the kernel would look for the pod's MAC address."""
    node = lab.node(RECEIVER)
    pod = servers.dns_pod(lab, node)
    rule = f'oifname "{pod.host_interface}" ip daddr {pod.address} {DROP};'
    return table(node.netns, "ip", f"chain late {{ type filter hook postrouting priority 310; policy accept; {rule} }};")


def _no_room(node: str, after: bool, lost: int, facts: Facts) -> None:
    """net/core/neighbour.c, neigh_alloc: table_fulls counts each entry that could not be made; there is none for the pod then."""
    without_table(facts)
    facts["sysctls"] |= {f"net.ipv4.neigh.default.{name}": value for name, value in _THRESHOLDS.items()}
    for question in ("sysctl.net.ipv4.neigh.default.gc_thresh3", "arp_cache"):
        facts["absent"].pop(question, None)
    full = node == RECEIVER
    facts["counters"] |= {
        "arp_cache.entries": 1024 if full else 37,
        "arp_cache.table_fulls": (_BEFORE + (lost if after else 0)) if full else 0,
    }
    if full:
        facts["neighbours"] = [entry for entry in facts["neighbours"] if not entry["device"].startswith("cali")]


def _no_room_said(node: str, after: bool, lost: int) -> dict[str, str]:
    """/proc/net/stat/arp_cache (net/core/neighbour.c, neigh_stat_seq_show), one line for each CPU."""
    head = "entries  allocs   destroys hash_grows lookups  hits     res_failed rcv_probes_mcast rcv_probes_ucast periodic_gc_runs"
    head += " forced_gc_runs unresolved_discards table_fulls\n"
    entries, fulls = (1024, _BEFORE + (lost if after else 0)) if node == RECEIVER else (37, 0)
    zero = f"{0:08x}"
    line = f"{entries:08x} {zero} {zero} {zero}   {zero} {zero} {zero}   {zero}         {zero}         {zero}         {zero}       {zero}"
    return {"arp_cache": head + "".join(f"{line}            {count:08x}\n" for count in (fulls // 2, fulls - fulls // 2))}


def _neighbour_words(folder: Path) -> None:
    """net/ipv4/ip_output.c, ip_finish_output2: what has no neighbour is freed with that reason, on the node where it is so."""
    recording = json.loads((folder / "recording.json").read_text())
    ours = [drop for drop in recording["kernel_drops"] if drop["reason"] == "NETFILTER_DROP"]
    others = [drop for drop in recording["kernel_drops"] if drop["reason"] != "NETFILTER_DROP"]
    told = [drop | {"reason": "NEIGH_CREATEFAIL", "location": "ip_finish_output2"} for drop in ours if drop["node"] == RECEIVER]
    recording["kernel_drops"] = others + told
    (folder / "recording.json").write_text(json.dumps(recording))


# --- wireguard-peer ------------------------------------------------------------------------------------------------------------------

# Calico's: felix/wireguard, "wireguard.cali", UDP 51820, mark 0x200000, rule 99, table 1; 60 bytes less than the NIC's MTU.
_TUNNEL, _PORT, _MARK, _PRIORITY, _TABLE, _MTU_BYTES = "wireguard.cali", 51820, "0x200000/0x200000", "99", "1", 1400
_KEYS = {SENDER: "hOh5mNCBYDxQBaCEXVbgT5zbMdqxq7NHmZ4TmN4Oy2U=", RECEIVER: "Cq1bAKaTTmS2W2Q0gKh8kSfjpn0oN2ar3d6Yl3Tz0ks="}
# drivers/net/wireguard/messages.h: a handshake initiation has 148 bytes; one every 5 s (REKEY_TIMEOUT) that nobody answers.
_INITIATION_BYTES, _TRIES = 148, 40


@contextmanager
def _into_wireguard(lab: Lab) -> Iterator[Counter]:
    """The client's node routes the other node's pods into a device in which all ends."""
    sender, receiver = lab.node(SENDER), lab.node(RECEIVER)
    way = ["ip", "-n", sender.netns, "rule"], ["not", "fwmark", _MARK, "lookup", _TABLE, "priority", _PRIORITY]
    argv = tools.inside(sender.netns, servers.program("sink", _TUNNEL))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            running.stdout.readline()  # it is attached
            tools.ip_batch(
                sender.netns,
                [
                    f"addr add {wiring.address_in(sender, 6)}/32 dev {_TUNNEL}",
                    f"link set {_TUNNEL} up mtu {_MTU_BYTES}",
                    f"route add {receiver.pod_cidr} dev {_TUNNEL} scope link table {_TABLE}",
                ],
            )
            tools.run([*way[0], "add", *way[1]])
            yield lambda: _handed_to(sender.netns, _TUNNEL)
        finally:
            tools.run([*way[0], "delete", *way[1]], check=False)
            running.terminate()


def _handed_to(netns: str, device: str) -> int:
    """Packets that the kernel has given to a device."""
    listed = json.loads(tools.run(["ip", "-n", netns, "-j", "-s", "link", "show", "dev", device]).stdout)
    return int(listed[0]["stats64"]["tx"]["packets"])


def _peers(node: str) -> list[dict[str, Any]]:
    """The one peer of either end: its endpoint and its block are right, and no handshake was ever answered."""
    other = {SENDER: ("10.128.0.95", "10.244.56.128/26"), RECEIVER: ("10.128.0.72", "10.244.114.64/26")}
    if node not in other:
        return []
    address, block = other[node]
    key = _KEYS[RECEIVER if node == SENDER else SENDER]
    sent = _INITIATION_BYTES * (_TRIES if node == SENDER else 0)
    peer = {"device": _TUNNEL, "public_key": key, "endpoint": f"{address}:{_PORT}", "allowed": [block]}
    return [peer | {"handshake_s": 0, "received_bytes": 0, "sent_bytes": sent}]


def _encrypted(node: str, after: bool, lost: int, facts: Facts) -> None:
    """drivers/net/wireguard/device.c, wg_xmit: 128 packets wait for a handshake (MAX_STAGED_PACKETS); once so many do, each further one
    takes the place of the oldest, which tx_dropped counts."""
    peers = _peers(node)
    if not peers:
        return
    facts["wireguard"] = peers
    links = facts["links"]
    own = next((link for link in links if link["name"] == _TUNNEL), None)
    if own is None:  # the other end's: nothing has come in by it
        own = dict(links[0], name=_TUNNEL, index=90, master=None, vxlan=None, lower=None, addresses=[], prefixes=[])
        links.append(own)
    dropped = _BEFORE + lost if after and node == SENDER else _BEFORE if node == SENDER else 0
    counters = {f"{way}.{name}": 0 for way in ("rx", "tx") for name in ("bytes", "packets", "errors", "dropped")}
    own |= {"kind": "wireguard", "mac": None, "mtu_bytes": _MTU_BYTES, "up": True, "operstate": "UNKNOWN"}
    own["counters"] = counters | {"tx.bytes": peers[0]["sent_bytes"], "tx.packets": peers[0]["sent_bytes"] // 148, "tx.dropped": dropped}


def _encrypted_said(node: str, after: bool, lost: int) -> dict[str, str]:
    """wg(8), `show all endpoints`, `allowed-ips`, `latest-handshakes`, `transfer`: device, key, values, separated by tabs."""
    answers: dict[str, str] = {}
    for peer in _peers(node):
        values = {
            "endpoints": peer["endpoint"],
            "allowed-ips": " ".join(peer["allowed"]),
            "latest-handshakes": peer["handshake_s"],
            "transfer": f"{peer['received_bytes']}\t{peer['sent_bytes']}",
        }
        answers |= {f"wireguard-{question}": f"{peer['device']}\t{peer['public_key']}\t{value}\n" for question, value in values.items()}
    return answers


SYNTHESISED = (
    Synthesised(
        title="two questions at once from one socket, on a kernel that drops the loser (4.15)",
        truth=_to_tunnel("dns-conntrack-race"),
        breaking=_half_of_the_twins,
        edit=_clashed,
        said=_clashed_said,
        rework=_no_words,
        traffic=(("ask", "dns", "{kube-dns}", "{question}", "--rate", "20", "--twins"),),
    ),
    Synthesised(
        title="a full neighbour table",
        truth=Truth(cause="neighbour-table-full", direction="request", start=f"{RECEIVER}/vxlan", end=f"{RECEIVER}/pod"),
        breaking=_before_the_pod,
        edit=_no_room,
        said=_no_room_said,
        rework=_neighbour_words,
    ),
    Synthesised(
        title="Calico's WireGuard, whose peer never answered a handshake",
        truth=_to_tunnel("wireguard-peer"),
        breaking=_into_wireguard,
        edit=_encrypted,
        said=_encrypted_said,
    ),
)
