"""Does an end take what it is sent?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.notices import NO_CODE, frames_of, notice_codes
from kubectl_vxtrace.diagnosis.judgement import FEW_PACKETS
from kubectl_vxtrace.model.packets import Notice
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

ZERO_WINDOW = Cause(
    slug="zero-window",
    remediation=(
        "The network delivered: the program behind {end} does not read what it is sent. Look there: ss -tmi (Recv-Q, rcv_space), "
        "its CPU limit and its logs."
    ),
    source="RFC 9293, 3.8.6.1 (zero-window probing); Linux net/ipv4/tcp_timer.c (tcp_probe_timer)",
    beyond_packets=True,
)
CAUSES = (ZERO_WINDOW,)


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `zero-window`: an end that shuts its TCP window, again and again as the other side probes it."""
    for traced in case.paths:
        which = np.flatnonzero(notice_codes(case, traced, Notice.SHUT_WINDOW) != NO_CODE).astype(np.int32)
        sender = traced.flow.client if traced.path.direction is Direction.REQUEST else traced.flow.server
        if len(which) < FEW_PACKETS or sender is None:
            continue
        hop, frames = frames_of(traced, which)
        seen_at = traced.path.hops[hop]
        ports = np.unique(traced.journeys.client_port[which])
        yield Finding(
            cause=ZERO_WINDOW.slug,
            confidence=Confidence.CERTAIN,
            severity=Severity.WARNING,
            packets=len(which),
            summary=f"{sender.address} shuts its TCP window: {len(which)} packets of {len(ports)} connections say that nothing may be sent",
            flow=traced.flow.id,
            direction=traced.path.direction,
            evidence=(
                Evidence(
                    kind=EvidenceKind.PACKETS,
                    text=f"{len(which)} x TCP window 0 from {sender.address} at {place_text(seen_at)}",
                    frames=frame_refs(case, seen_at.tap, frames),
                ),
            ),
            remediation=ZERO_WINDOW.remedy(end=sender.pod or sender.address),
        )
