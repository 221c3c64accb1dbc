"""What is said of packets that were sent in the traced pod's place."""

from collections.abc import Iterable, Iterator

from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import ProbeKind

WORDS = {
    ProbeKind.DNS: "DNS questions",
    ProbeKind.TCP: "TCP connections",
    ProbeKind.UDP: "datagrams",
    ProbeKind.ICMP: "echo requests",
}
_PROTOCOLS = {ProbeKind.DNS: "UDP", ProbeKind.TCP: "TCP", ProbeKind.UDP: "UDP", ProbeKind.ICMP: "ICMP"}


def notes(recording: Recording) -> Iterator[str]:
    """What was sent where, and why nothing was where that was wanted."""
    if recording.request is not None and recording.request.command in ("node", "mesh"):
        if recording.probes:
            yield f"{len(recording.probes)} echo requests were sent by this trace from the nodes, some of which just fit the tunnel"
        yield from (f"not all echo requests could be sent: {reason}" for reason in recording.unprobed)
        return
    counts: dict[tuple[ProbeKind, str], int] = {}
    for probe in recording.probes:
        counts[probe.kind, probe.address] = counts.get((probe.kind, probe.address), 0) + 1
    for (kind, address), count in counts.items():
        yield f"{count} {WORDS[kind]} to {address} were sent by this trace, from the pod's network namespace and in its place"
    for reason in recording.unprobed:
        yield f"no probe: {reason}"


def only_probes(recording: Recording, seen: Iterable[tuple[str, int]]) -> bool:
    """Whether all that was seen is probes. seen: protocol and client's port, an echo's identifier, of the packets of the flows."""
    sent = {(_PROTOCOLS[probe.kind], probe.client_port) for probe in recording.probes}
    packets = set(seen)
    return bool(packets) and packets <= sent
