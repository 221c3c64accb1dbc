"""Did a node masquerade a connection to the port of VXLAN itself?"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import (
    address_texts,
    conversations_at,
    direction_noun,
    place_text,
)
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment, SegmentKind
from kubectl_vxtrace.diagnosis.rules.droppers import droppers_on
from kubectl_vxtrace.diagnosis.rules.purpose import Purpose, purpose_of
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

MASQUERADE_PORT_CLASH = Cause(
    slug="masquerade-port-clash",
    remediation=(
        "Look: replies whose destination port is the VXLAN port without a VXLAN header inside. Fix: upgrade Calico; the sysctl "
        "ip_local_port_range does not help, since netfilter picks from its own range."
    ),
    source="projectcalico/calico issue 12244, pull request 13118",
    admitted=True,
)
CAUSES = (MASQUERADE_PORT_CLASH,)


def check(case: LossCase, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `masquerade-port-clash`: inner UDP to the node itself whose destination port is that of VXLAN. The node had masqueraded the
    connection so, does not track that port, and drops the answer as foreign VXLAN in INPUT."""
    if segment.start.role is not Role.VXLAN or loss.path.direction is not Direction.REPLY:
        return
    seen = conversations_at(case, loss, segment.start)
    ports = {end.port for end in case.recording.overlay.vteps if end.port is not None}
    if not len(seen) or not ports or not (seen.protocol == IpProtocol.UDP).all():
        return
    node = segment.start.tap.node
    # Packets for a pod's own port of that number (a tunnel inside the pod) were not masqueraded.
    own = set(address_texts(seen.destination)) <= node_facts.all_addresses(case, node)
    if not own or not np.isin(seen.destination_port, sorted(ports)).all():
        return
    port = ", ".join(str(number) for number in sorted(ports))
    text = f"the inner UDP destination port of the lost packets at {place_text(segment.start)} is {port}, the port of VXLAN itself"
    dropped = list(_dropped_as_foreign(case, loss, segment))
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        MASQUERADE_PORT_CLASH,
        Confidence.CERTAIN if dropped else Confidence.LIKELY,
        f"{node} drops {loss.packets} {noun}: it had masqueraded the connection to port {port}, and takes what comes back for VXLAN",
        [Evidence(kind=EvidenceKind.PACKETS, text=text), *dropped[:1]],
        remediation=(
            f"Look on {node}: conntrack -L -p udp | grep dport={port}. Upgrade Calico to a version with the fix of issue 12244; until then "
            f"conntrack -D -p udp --reply-port-dst {port} frees the client."
        ),
    )


def _dropped_as_foreign(case: LossCase, loss: Loss, segment: Segment) -> Iterator[Evidence]:
    """Counters of the node's rules against foreign VXLAN, which stand in INPUT, that account for the loss's packets."""
    node = segment.start.tap.node
    for dropper in droppers_on(replace(segment, kind=SegmentKind.DECAPSULATE), case.droppers[node]):
        growth = dropper.growth.packets
        if purpose_of(dropper.rule) is Purpose.FOREIGN_VXLAN and growth is not None and growth >= loss.packets:
            text = f"the counter of {dropper.rule.comment or dropper.rule.text} on {node} grew by {growth}"
            yield Evidence(kind=EvidenceKind.COUNTER, text=text)
