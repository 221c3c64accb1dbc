"""One page for who runs the network between the nodes, and knows nothing of Kubernetes: what left one host and never reached the other."""

import textwrap
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address
from typing import Final

from kubectl_vxtrace.model.protocol import rfc3339
from kubectl_vxtrace.model.report import Decides, TraceReport
from kubectl_vxtrace.report import words
from kubectl_vxtrace.report.crossing import Crossing, Packets, nic
from kubectl_vxtrace.report.document import one_line

_MOST_PORTS: Final = 12
_MOST_INNER: Final = 4
_MOST_ASKED: Final = 4
"""Crossings that are spelled out: more than a page is not read."""
# In a VXLAN packet over IPv4, from the start of the UDP header: 8 bytes of UDP, 8 of VXLAN, 14 of Ethernet, then the inner IPv4 header,
# with its addresses at 12 and 16 (RFC 7348, 5; RFC 791, 3.1).
_INNER_SOURCE, _INNER_DESTINATION = 42, 46


def render(report: TraceReport, found: Sequence[Crossing]) -> str:
    """The page as Markdown, with a final newline.

    Args:
        report: any report.
        found: what crossed the network between its nodes.
    """
    lost = sorted((crossing for crossing in found if crossing.lost.count), key=lambda crossing: -crossing.lost.count)
    parts = [
        f"# {_title(report, found, lost)}",
        *([_what(lost)] if lost else _nothing(report, found)),
        _table(lost or found),
        *map(_details, lost[:_MOST_ASKED]),
        _compared(report),
        *([_commands(lost), _asked(report, lost)] if lost else []),
        words.anonymized_text(report),
        one_line(words.context_text(report)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def concerns(found: Sequence[Crossing]) -> bool:
    """Whether packets were lost between two NICs."""
    return any(crossing.lost.count for crossing in found)


def _title(report: TraceReport, found: Sequence[Crossing], lost: Sequence[Crossing]) -> str:
    if lost:
        return one_line(f"Packets are lost between {' and between '.join(dict.fromkeys(map(_pair, lost)))}")
    if not found:
        return "No traced packet was seen on its way between two hosts"
    if any(crossing.blind or crossing.unsure for crossing in found):
        return "Whether packets are lost between the hosts is not known"
    return "Nothing was lost between the hosts" if report.flows else "No packet of the traced traffic was seen"


def _pair(crossing: Crossing) -> str:
    return " and ".join(sorted({crossing.sender.tap.node, crossing.receiver.tap.node}))


def _what(lost: Sequence[Crossing]) -> str:
    kind = "UDP datagrams (VXLAN, RFC 7348)" if any(crossing.port is not None for crossing in lost) else "IP packets"
    text = (
        f"Hosts send each other {kind}. They were captured at the NICs of both hosts at once, and compared one by one: those below "
        "left the sender's NIC and were never seen at the receiver's. The hosts' own firewalls and routing lie before and behind these "
        "two places, but for what is named at the end. Times are UTC by the sender's clock."
    )
    return "\n".join(textwrap.wrap(text, 120))


def _nothing(report: TraceReport, found: Sequence[Crossing]) -> list[str]:
    said = [f"What was found instead: {one_line(report.summary)}"]
    for text in dict.fromkeys(text for crossing in found for text in crossing.blind):
        said.append(f"Not seen: {one_line(text)}")
    if unsure := sum(crossing.unsure for crossing in found):
        said.append(f"{unsure} packets vanished on a stretch that holds more than the network between the hosts.")
    if found and len(said) == 1:
        said.append("Every packet that left one host's NIC was seen at the other's: there is nothing here for the network between them.")
    return said


def _table(found: Sequence[Crossing]) -> str:
    """Each crossing on one line; none without any."""
    if not found:
        return ""
    head = "| from (host, NIC) | to (host, NIC) | outer source > destination | UDP port | VNI | left | arrived | lost |"
    rows = [
        f"| {one_line(nic(each.sender))} | {one_line(nic(each.receiver))} | {each.source} > {each.destination} "
        f"| {_or_none(each.port)} | {_or_none(each.vni)} | {each.left.count} | {each.arrived.count} | {each.lost.count} |"
        for each in found
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _or_none(number: int | None) -> str:
    return "none" if number is None else str(number)


def _details(crossing: Crossing) -> str:
    rows = [("lost", crossing.lost), ("arrived", crossing.arrived)]
    lines = [f"- {name}: {_times(packets)}{_sizes(packets)}{_ports(packets)}" for name, packets in rows if packets.count]
    return "\n".join([f"## {crossing.source} > {crossing.destination}", "", *lines])


def _times(packets: Packets) -> str:
    if packets.first_ns is None or packets.last_ns is None:
        return f"{packets.count}"
    return f"{packets.count}, from {rfc3339(packets.first_ns)} to {rfc3339(packets.last_ns)}"


def _sizes(packets: Packets) -> str:
    if packets.frame_bytes is None:
        return ""
    low, high = packets.frame_bytes
    return f"; frames of {low} bytes" if low == high else f"; frames of {low} to {high} bytes"


def _ports(packets: Packets) -> str:
    """The outer UDP source ports: by them switches choose among several links."""
    if not packets.ports:
        return ""
    named = ", ".join(f"{port} ({count})" for port, count in packets.ports[:_MOST_PORTS])
    more = f" and {len(packets.ports) - _MOST_PORTS} more" if len(packets.ports) > _MOST_PORTS else ""
    return f"; outer source ports: {named}{more}"


def _compared(report: TraceReport) -> str:
    """Which datagrams of those that the hosts sent each other in variants are lost; empty where none are, or none were sent."""
    said = [way.summary for way in report.ab if way.decides not in (Decides.NOTHING, Decides.NOT_SENT)]
    if not said:
        return ""
    text = (
        "Afterwards the hosts sent each other the same UDP datagram in variants: to VXLAN's port and another one, with and without a UDP "
        "checksum, small and as large as the tunnel's, unfragmented, from several source ports. Both captured them at their NICs."
    )
    return "\n".join(["## What decides", "", *textwrap.wrap(text, 120), "", *(f"- {one_line(text)}" for text in said)])


def _commands(lost: Sequence[Crossing]) -> str:
    """The commands for a switch or firewall on the way, one for each two hosts."""
    pairs: dict[frozenset[str], list[Crossing]] = {}
    for crossing in lost:
        pairs.setdefault(frozenset((crossing.source, crossing.destination)), []).append(crossing)
    names = ["tor.pcap", *(f"tor-{number}.pcap" for number in range(2, _MOST_ASKED + 1))]
    lines = [tcpdump(between, file) for between, file in zip(pairs.values(), names, strict=False)]
    return "\n".join(["At a switch or firewall on the way (INTERFACE is its own; Ctrl-C ends it):", "", "```sh", *lines, "```"])


def tcpdump(between: Sequence[Crossing], file: str = "tor.pcap") -> str:
    """The command that shows these packets, which two hosts send each other, and what answers them, at any place between the two: by outer
    addresses and port, and where it can be said by the inner addresses, at their place behind the outer UDP header."""
    first = between[0]
    terms = [f"host {first.source}", f"host {first.destination}"]
    if ports := sorted({crossing.port for crossing in between if crossing.port is not None}):
        terms.append("(" + " or ".join(f"udp dst port {port}" for port in ports) + ")")
        inner = sorted({ends for crossing in between for pair in crossing.inner for ends in (pair, pair[::-1])})
        if _is_ipv4(first.source, *(address for pair in inner for address in pair)) and len(inner) <= _MOST_INNER:
            terms.append("(" + " or ".join(f"({_inner_term(*pair)})" for pair in inner) + ")")
    return f"tcpdump -ni INTERFACE -w {file} '{' and '.join(terms)}'"


def _inner_term(source: str, destination: str) -> str:
    places = ((_INNER_SOURCE, source), (_INNER_DESTINATION, destination))
    return " and ".join(f"udp[{place}:4] = {int(IPv4Address(address)):#010x}" for place, address in places)


def _is_ipv4(*addresses: str) -> bool:
    return all(ip_address(address).version == 4 for address in addresses)


def _asked(report: TraceReport, lost: Sequence[Crossing]) -> str:
    """What they are asked to look for: only what the packets leave open."""
    items = []
    dead = [crossing for crossing in lost if not crossing.arrived.count]
    for port in sorted({crossing.port for crossing in dead if crossing.port is not None}):
        ends = dict.fromkeys(f"{crossing.source} to {crossing.destination}" for crossing in dead if crossing.port == port)
        way = f"UDP port {port} let through from {', '.join(ends)}"
        items.append(f"Is {way}, by every access list, firewall and security group, with any source port?")
    some_pass = [crossing for crossing in lost if crossing.arrived.count]
    if some_pass:
        items.append("A part arrives: is there a rate limit or policer for UDP, an overloaded link, or one with errors?")
    if any(_apart(crossing) for crossing in some_pass):
        items.append("Other outer source ports pass: is one link of a bundle (LAG, ECMP) bad, to which these hash?")
    if any(_larger(crossing) for crossing in some_pass):
        items.append("Only larger frames are lost: what is the MTU of every link on the way?")
    items.append("Do drop or error counters of ports on the way grow in the times above?")
    items.append(
        "Let the line above run while we trace once more, and send what it wrote: it tells on which side of that place they vanish "
        "(`kubectl vxtrace analyze BUNDLE.zip --hop tor=tor.pcap`)."
    )
    finding = report.main_finding
    if finding is not None:
        items.append(f"The trace itself says: {one_line(finding.summary)} ({finding.cause}, {finding.confidence}).")
        if finding.not_ruled_out:
            items.append(f"Not ruled out by it: {one_line('; '.join(finding.not_ruled_out))}.")
    return "\n".join(["## What to check", "", *(f"- {item}" for item in items)])


def _apart(crossing: Crossing) -> bool:
    """Whether no outer source port both lost and passed packets, and there are some of each."""
    lost, arrived = ({port for port, _ in packets.ports} for packets in (crossing.lost, crossing.arrived))
    return bool(lost) and bool(arrived) and not lost & arrived


def _larger(crossing: Crossing) -> bool:
    lost, arrived = crossing.lost.frame_bytes, crossing.arrived.frame_bytes
    return lost is not None and arrived is not None and lost[0] > arrived[1]
