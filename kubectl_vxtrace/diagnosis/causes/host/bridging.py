"""Do replies come back under the Service's address?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.entries import CAUSES
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text
from kubectl_vxtrace.model.journeys import Case, TracedPath
from kubectl_vxtrace.model.packets import I32, address_text
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

_SETTING = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}


def check(case: Case) -> Iterator[Finding]:
    """Findings `bridge-netfilter-off`: replies that a bridge brought to the client under the backend's address.

    They count as delivered, for the client's interface saw them; its socket refuses them. So it is a warning.
    """
    for traced in case.paths:
        if traced.path.direction is Direction.REPLY and traced.path.hops and _is_bridged(case, traced.flow, traced.path):
            yield from _untranslated(case, traced)


def _is_bridged(case: Case, flow: Flow, path: Path) -> bool:
    """Whether both ends are pods of one node that hang on a bridge."""
    touched = {hop.tap.node for hop in path.hops}
    if len(touched) != 1 or flow.server is None or flow.service is None or flow.service.address is None:
        return False
    if any(hop.role is Role.BRIDGE for hop in path.hops):
        return True
    looks = nodes.looks(case, path.hops[0].tap.node)
    names = {hop.tap.interface for hop in path.hops}
    masters = {link.master for facts in looks[-1:] for link in facts.links if link.name in names}
    return len(masters) == 1 and None not in masters


def _untranslated(case: Case, traced: TracedPath) -> Iterator[Finding]:
    flow, last = traced.flow, traced.path.hops[-1]
    node = last.tap.node
    rows = _from_backend(case, traced, last)
    name = _SETTING[6 if ":" in flow.client.address else 4]
    values = {facts.sysctls.get(name, "absent") for facts in nodes.looks(case, node) if nodes.answered(facts, "sysctls")}
    if not len(rows) or flow.server is None or flow.service is None or "1" in values:
        return
    noun = direction_noun(Direction.REPLY, len(rows))
    text = f"{len(rows)} {noun} at {place_text(last)} come from {flow.server.address}, not from {flow.service.address}"
    state = "no such setting: br_netfilter is not loaded" if "absent" in values else f"{name} = 0"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, last.tap, rows))]
    proofs += [Evidence(kind=EvidenceKind.CONFIG, text=f"{node}: {state}")] if values else []
    yield Finding(
        cause="bridge-netfilter-off",
        confidence=Confidence.CERTAIN if values else Confidence.LIKELY,
        severity=Severity.WARNING,
        packets=len(rows),
        summary=f"{len(rows)} {noun} reach the client from {flow.server.address} instead of the Service's {flow.service.address}",
        flow=flow.id,
        direction=Direction.REPLY,
        evidence=tuple(proofs),
        remediation=CAUSES["bridge-netfilter-off"].remediation,
    )


def _from_backend(case: Case, traced: TracedPath, hop: Hop) -> I32:
    """Rows of replies that the client's interface saw with the backend's address as their source."""
    table, server = case.tables.get(hop.tap), traced.flow.server
    seen = traced.journeys.row[:, hop.hop - 1]
    seen = seen[seen >= 0]
    if table is None or server is None or not len(seen):
        return np.zeros(0, dtype=np.int32)
    asked = {entry for entry in np.unique(table.conversation[seen]).tolist() if entry >= 0}
    wrong = [talk for talk in asked if address_text(table.conversations.source[talk]) == server.address]
    rows: I32 = seen[np.isin(table.conversation[seen], wrong)]
    return rows
