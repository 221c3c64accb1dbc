"""Did the client's node give connections another client port?"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.model.journeys import PortRewriting
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

NAT_PORT_REWRITTEN = Cause(
    slug="nat-port-rewritten",
    remediation="Nothing is to be done; who compares captures by eye must know that the port is another one after the client's node.",
    source="RFC 4787, 4.2; Linux net/netfilter/nf_nat_core.c (get_unique_tuple)",
    explains=False,
)
CAUSES = (NAT_PORT_REWRITTEN,)

_SHOWN = 5
"""Of so many connections the ports are written out."""


def check_case(case: LossCase) -> Iterator[Finding]:
    """Notes `nat-port-rewritten`, one for each flow of which connections went on with another client port: a translation, and no loss."""
    for flow, of_flow in groupby(case.rewritten_ports, key=lambda connection: connection.flow):
        connections = tuple(of_flow)
        requests = case.traced(flow, Direction.REQUEST)
        ports = [connection.client_port for connection in connections]
        in_conntrack = sum(connection.in_conntrack for connection in connections)
        known_by = f"of {len(connections)} conntrack names {in_conntrack}; packets that are the same but for the port show the others"
        yield Finding(
            cause=NAT_PORT_REWRITTEN.slug,
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
            remediation=NAT_PORT_REWRITTEN.remedy(),
        )


def _ports_text(connections: Sequence[PortRewriting]) -> str:
    shown = [f"{connection.client_port} as {connection.seen_port}" for connection in connections[:_SHOWN]]
    text = f"client port {', '.join(shown)}"
    if len(connections) > len(shown):
        text += f" and {len(connections) - len(shown)} more"
    return text
