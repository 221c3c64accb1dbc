"""What a pod's own kernel side counted while the captures ran: counters and sockets of its network namespace, at both looks.

A counter counts all that the pod does, a socket's drops all that came to that socket. None of them names a packet.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.model.datapath import Listener, PodInterface, PodNamespace, UdpSocket
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.pod_facts import PodFacts

_ANY4, _ANY6, _BOTH = "0.0.0.0", "::", "*"  # noqa: S104 - as ss and /proc print them

OF_SENT = "what it sent"
"""How the meanings of counters of sent packets begin."""

# Counters that tell why what came into a pod, or what it sent, went no further; the names are those of /proc/net/snmp, netstat and snmp6
# (net/ipv4/proc.c, net/ipv6/proc.c), where each is counted stands in the kernel's functions.
_MEANINGS = (
    (("Ip.OutNoRoutes", "Ip6OutNoRoutes"), None, f"{OF_SENT} had no route"),  # ip_route_output_key_hash, inet_csk_route_req
    (("TcpExt.IPReversePathFilter",), None, "rp_filter refused the source address"),  # ip_rcv_finish_core
    (("Ip.InAddrErrors", "Ip6InAddrErrors"), None, "the destination is no address of the pod"),  # ip_error
    (("IpExt.InNoRoutes", "Ip6InNoRoutes"), None, "there was no route for what came in"),  # ip_error
    (("Ip.InHdrErrors", "Ip6InHdrErrors"), None, "the IP header is wrong"),  # ip_rcv_core
    (("Ip.InDiscards", "Ip6InDiscards"), None, "discarded on the way in"),  # ip_local_deliver
    (("Ip.OutDiscards", "Ip6OutDiscards"), None, f"{OF_SENT} was discarded"),  # ip_finish_output
    (("Udp.InCsumErrors", "Udp6InCsumErrors"), "UDP", "the UDP checksum is wrong"),  # __udp4_lib_rcv
    (("Udp.SndbufErrors", "Udp6SndbufErrors"), "UDP", f"{OF_SENT} found no room"),  # udp_sendmsg
    (("Tcp.InCsumErrors",), "TCP", "the TCP checksum is wrong"),  # tcp_v4_rcv
    (("TcpExt.PAWSEstab", "TcpExt.PAWSPassive", "TcpExt.TSEcrRejected"), "TCP", "the TCP timestamp was refused"),  # tcp_validate_incoming
    (("TcpExt.TCPMD5NotFound", "TcpExt.TCPAONotFound"), "TCP", "the signature that the socket asks for is missing"),  # tcp_inbound_hash
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InsidePod:
    """One pod's network namespace at the first and the last look."""

    first: PodFacts
    last: PodFacts

    def grown(self, counter: str) -> int | None:
        """How much a counter grew; None where that cannot be told (not read, reset)."""
        if counter not in self.first.counters or counter not in self.last.counters:
            return None
        growth = self.last.counters[counter] - self.first.counters[counter]
        return growth if growth >= 0 else None

    def grown_together(self, counters: Iterable[str]) -> int:
        """How much counters grew together; those that were not read count for nothing."""
        return sum(self.grown(counter) or 0 for counter in counters)

    def reasons(self, protocol: str, least: int) -> Iterator[tuple[str, int, str]]:
        """Counters that grew by `least` at least and tell of packets that went no further: name, growth, what it means."""
        for counters, only, meaning in _MEANINGS:
            if only in (None, protocol):
                for counter in counters:
                    growth = self.grown(counter)
                    if growth is not None and growth >= max(least, 1):
                        yield counter, growth, meaning

    def udp_sockets(self, end: Endpoint) -> tuple[tuple[UdpSocket, ...], tuple[UdpSocket, ...]] | None:
        """The UDP sockets that may take what comes to an end, at both looks; None where they were not read."""
        if self.first.udp_sockets is None or self.last.udp_sockets is None:
            return None
        return _udp_for(self.first.udp_sockets, end), _udp_for(self.last.udp_sockets, end)

    def listeners(self, end: Endpoint) -> tuple[tuple[Listener, ...], tuple[Listener, ...]] | None:
        """The TCP sockets that wait for connections to an end, at both looks; None where they were not read."""
        if self.first.listeners is None or self.last.listeners is None:
            return None
        return _tcp_for(self.first.listeners, end), _tcp_for(self.last.listeners, end)

    def socket_drops(self, protocol: str, end: Endpoint) -> int | None:
        """How many packets the sockets of an end dropped for want of room; None where that cannot be told."""
        looks = self.udp_sockets(end) if protocol == "UDP" else self.listeners(end) if protocol == "TCP" else None
        if looks is None or not looks[0] or len(looks[0]) != len(looks[1]):
            return None
        first, last = ([each.drops for each in sockets] for sockets in looks)
        if None in first or None in last:
            return None
        growth = sum(drops or 0 for drops in last) - sum(drops or 0 for drops in first)
        return growth if growth >= 0 else None

    def drops_by_port(self) -> dict[int, int]:
        """How many datagrams UDP sockets dropped for want of room, by their ports, as far as both looks found the same ones."""
        first, last = (_drops_by_port(look.udp_sockets or ()) for look in (self.first, self.last))
        return {port: max(last[port] - first[port], 0) for port in first if port in last}

    def nobody_listens(self, protocol: str, end: Endpoint) -> bool | None:
        """Whether no socket of the pod takes what comes to an end, at both looks; None where that cannot be told."""
        looks = self.udp_sockets(end) if protocol == "UDP" else self.listeners(end) if protocol == "TCP" else None
        if looks is None or end.port is None:
            return None
        return not looks[0] and not looks[1]

    def elsewhere(self, protocol: str, end: Endpoint) -> tuple[str, ...]:
        """Where the last look found sockets of that protocol: on that port by other addresses where there are such, else other ports."""
        sockets: Sequence[UdpSocket | Listener] = (self.last.udp_sockets if protocol == "UDP" else self.last.listeners) or ()
        same = sorted({f"{each.address}:{each.port}" for each in sockets if each.port == end.port})
        return tuple(same or (str(port) for port in sorted({each.port for each in sockets})))


def _drops_by_port(sockets: Sequence[UdpSocket]) -> dict[int, int]:
    """The drops of sockets that have a port for themselves."""
    ports = Counter(each.port for each in sockets)
    return {each.port: each.drops for each in sockets if ports[each.port] == 1}


def inside_pod(case: Case, node: str, address: str) -> InsidePod | None:
    """What both looks saw inside the pod with that address on `node`.

    None where either could not look into it, where the namespace was made anew meanwhile, or where several have the address.
    """
    number = namespace_of(case, node, address)
    first, last = (_look(facts, number) for facts in (node_facts.before(case, node), node_facts.after(case, node)))
    return None if first is None or last is None else InsidePod(first=first, last=last)


def namespace_of(case: Case, node: str, address: str) -> int | None:
    """The number of the network namespace that has that address on `node` at both looks; None where it may be another one each time."""
    first, last = (_space(facts, address) for facts in (node_facts.before(case, node), node_facts.after(case, node)))
    is_same = first is not None and last is not None and first.id == last.id
    if first is None or last is None or not is_same or list(map(_identity, first.interfaces)) != list(map(_identity, last.interfaces)):
        return None
    return first.id


def _space(facts: NodeFacts | None, address: str) -> PodNamespace | None:
    spaces = facts.namespaces_with(address) if facts is not None else ()
    return spaces[0] if len(spaces) == 1 else None


def _look(facts: NodeFacts | None, number: int | None) -> PodFacts | None:
    return next((each for each in facts.pod_facts if each.namespace == number), None) if facts is not None else None


def _identity(interface: PodInterface) -> tuple[object, ...]:
    return interface.name, interface.index, interface.host_index, interface.mac


def _takes(bound: str, address: str) -> bool:
    """Whether a socket that is bound to an address, maybe with a device (`0.0.0.0%eth0`), takes what comes to another."""
    own = bound.partition("%")[0]
    return own in (address, _BOTH, _ANY6 if ":" in address else _ANY4)


def _tcp_for(sockets: Iterable[Listener], end: Endpoint) -> tuple[Listener, ...]:
    return tuple(each for each in sockets if each.port == end.port and _takes(each.address, end.address))


def _udp_for(sockets: Sequence[UdpSocket], end: Endpoint) -> tuple[UdpSocket, ...]:
    """Those of the address's own family; of IPv6 for IPv4 where there are no others (/proc says of none whether it takes both)."""
    there = [each for each in sockets if each.port == end.port]
    own = tuple(each for each in there if _takes(each.address, end.address))
    return own or tuple(each for each in there if each.address == _ANY6)
