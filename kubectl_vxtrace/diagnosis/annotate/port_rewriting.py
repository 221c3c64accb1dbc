"""Client ports that the client's node rewrote: a translation that whoever compares the captures by eye must know of, and no loss."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.model.journeys import Case, PortRewriting
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

_SHOWN = 5
"""Of so many connections the ports are written out."""


def with_rewritten_ports(case: Case, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """`findings`, and behind them an `info` for each flow of which connections went on with another client port."""
    return (*findings, *_notes(case))


def _notes(case: Case) -> Iterator[Finding]:
    for flow, of_flow in groupby(case.rewritten_ports, key=lambda connection: connection.flow):
        connections = tuple(of_flow)
        requests = case.traced(flow, Direction.REQUEST)
        ports = [connection.client_port for connection in connections]
        in_conntrack = sum(connection.in_conntrack for connection in connections)
        known_by = f"of {len(connections)} conntrack names {in_conntrack}; packets that are the same but for the port show the others"
        yield Finding(
            cause=UNKNOWN.slug,
            confidence=Confidence.CERTAIN if in_conntrack == len(connections) else Confidence.LIKELY,
            severity=Severity.INFO,
            packets=int(np.isin(requests.journeys.client_port, ports).sum()) if requests is not None else 0,
            summary=(
                "connections that the client's node sent on with another client port, as NAT does where a connection that it knows has "
                f"the port: {len(connections)}; this is a translation and no loss"
            ),
            flow=flow,
            direction=Direction.REQUEST,
            evidence=(
                Evidence(kind=EvidenceKind.PACKETS, text=_ports_text(connections)),
                Evidence(kind=EvidenceKind.CONFIG, text=known_by),
            ),
        )


def _ports_text(connections: Sequence[PortRewriting]) -> str:
    shown = [f"{connection.client_port} as {connection.seen_port}" for connection in connections[:_SHOWN]]
    more = f" and {len(connections) - len(shown)} more" if len(connections) > len(shown) else ""
    return f"client port {', '.join(shown)}{more}"
