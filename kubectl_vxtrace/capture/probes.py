"""Probes: which packets are sent where the traced pod sends none, and what the node says of them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from kubectl_vxtrace.model.cluster import NodeAnswer, NodeCommand
from kubectl_vxtrace.model.path import Flow
from kubectl_vxtrace.model.recording import Probe
from kubectl_vxtrace.model.request import ProbeKind

MOST_TARGETS: Final = 3
"""Of a Service with many ports the first few."""

_EACH_BACKEND, _FEWEST, _MOST = 2, 4, 8
"""Of two backends that are chosen at random, four probes miss one in one case of eight, eight in one of 128."""

_PAUSE_MS: Final = 200
"""For one packet of each target."""

_LEAST_PAUSE_MS: Final = 10
"""Between two packets: at most a hundred of them a second."""

_TIMEOUT_S: Final = 12.0
_DNS_PORT: Final = 53
_LINE: Final = re.compile(r"(dns|udp|tcp|icmp) (\d{1,5}) (\d{19}) ([0-9A-Fa-f.:]+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """Where to send what, from which end. port: 0 for an echo. payload_bytes: of packets that may not be fragmented; 0 for a few, which
    may."""

    node: str
    client: str
    kind: ProbeKind
    address: str
    port: int
    count: int
    payload_bytes: int = 0


def targets(flows: Sequence[Flow], kind: ProbeKind) -> tuple[ProbeTarget, ...]:
    """What is sent for the planned flows: to the addresses that were asked for, and to no other.

    `auto` asks DNS, opens TCP connections and sends echoes; a datagram that a program does not expect is sent only where `udp` is asked
    for.
    """
    found = tuple(dict.fromkeys(_each(flows, kind)))
    # Each end's first one before anybody's second.
    turns: Counter[str] = Counter()
    ranked = []
    for target in found:
        ranked.append((turns[target.client], target))
        turns[target.client] += 1
    return tuple(target for _, target in sorted(ranked, key=lambda pair: pair[0]))[:MOST_TARGETS]


def _each(flows: Sequence[Flow], kind: ProbeKind) -> Iterator[ProbeTarget]:
    for flow in flows:
        chosen = _kind(flow, kind)
        end = flow.service if flow.service is not None and flow.service.address is not None else flow.server
        if chosen is None or end is None or end.address is None or flow.client.node is None:
            continue
        backends = len({each.server.address for each in flows if each.service == flow.service and each.server is not None})
        yield ProbeTarget(
            node=flow.client.node,
            client=flow.client.address,
            kind=chosen,
            address=end.address,
            port=(end.port or 0) if chosen is not ProbeKind.ICMP else 0,
            count=min(max(_EACH_BACKEND * backends, _FEWEST), _MOST),
        )


def _kind(flow: Flow, asked: ProbeKind) -> ProbeKind | None:
    """What may be sent for a flow; None where nothing of the kind that is asked for."""
    port = flow.service.port if flow.service is not None and flow.service.port is not None else flow.server.port if flow.server else None
    if flow.protocol != "ICMP" and not port:
        return None
    fitting = {
        "TCP": (ProbeKind.TCP,),
        "UDP": (ProbeKind.DNS, ProbeKind.UDP) if port == _DNS_PORT else (ProbeKind.UDP,),
        "ICMP": (ProbeKind.ICMP,),
    }.get(flow.protocol, ())
    if asked is not ProbeKind.AUTO:
        # Who asks for DNS knows that there is DNS, whatever the port.
        return asked if asked in fitting or (asked is ProbeKind.DNS and flow.protocol == "UDP") else None
    return next((each for each in fitting if each is not ProbeKind.UDP), None)


def command(asked: Sequence[ProbeTarget], device: str | None = None) -> NodeCommand:
    """Send the probes of targets that one end sends, in turn. device: the node's end of its interface, if it is known."""
    script = files(__package__).joinpath("probe.sh").read_text(encoding="utf-8")
    first = asked[0]
    specs = (f"{each.kind.value},{each.address},{each.port},{each.count},{each.payload_bytes}" for each in asked)
    round_ms = max(_PAUSE_MS, len(asked) * _LEAST_PAUSE_MS)
    words = (first.client, device or "-", str(round_ms), *specs)
    timeout_s = _TIMEOUT_S + max(each.count for each in asked) * round_ms / 1000
    return NodeCommand(node=first.node, key="probe", argv=("sh", "-c", script, "vxtrace-probe", *words), timeout_s=timeout_s)


def read(asked: Sequence[ProbeTarget], answer: NodeAnswer) -> tuple[tuple[Probe, ...], str | None]:
    """The probes that were sent, and why there are fewer than were to be, if so."""
    ports = {(each.kind, each.address): each.port for each in asked}
    sent = tuple(
        Probe(kind=ProbeKind(match[1]), address=match[4], port=ports[key], client_port=int(match[2]), sent_ns=int(match[3]))
        for match in map(_LINE.fullmatch, answer.stdout.decode("ascii", "replace").splitlines())
        if match is not None and (key := (ProbeKind(match[1]), match[4])) in ports
    )
    if len(sent) >= sum(each.count for each in asked):
        return sent, None
    said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    return sent, said[-1] if said else answer.reason or "the node did not say why"


def by_sender(asked: Sequence[ProbeTarget]) -> tuple[tuple[ProbeTarget, ...], ...]:
    """The targets of each end together."""
    ends = dict.fromkeys((each.node, each.client) for each in asked)
    return tuple(tuple(each for each in asked if (each.node, each.client) == end) for end in ends)
