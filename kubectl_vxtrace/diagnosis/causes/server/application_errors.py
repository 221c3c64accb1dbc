"""Does the server answer, and say that it cannot help?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.notices import NO_CODE, frames_of, notice_codes
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.journeys import Case, TracedPath
from kubectl_vxtrace.model.packets import I32, Notice
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

APPLICATION_ERROR = Cause(
    slug="application-error",
    remediation="The network delivered both ways: look at the server: {look}.",
    source="RFC 1035, 4.1.1 (RCODE); RFC 9110, 15.6; coredns/coredns issues 2693 and 4541",
    beyond_packets=True,
)
CAUSES = (APPLICATION_ERROR,)

_RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_NXDOMAIN = 3
"""RFC 1035, 4.1.1 and RFC 2136, 2.2."""

_LOOK_DNS = (
    "kubectl logs of the DNS server's pod; SERVFAIL is most often an upstream that it cannot reach (its node's resolv.conf, forward in the "
    "Corefile), NXDOMAIN a name or search domain that is wrong"
)
_LOOK_HTTP = "kubectl logs of the server's pod, and of what it asks itself (502, 503 and 504 are most often a backend behind it)"


def check_case(case: LossCase) -> Iterator[Finding]:
    """Notes `application-error`: DNS answers that are an error, HTTP answers of 500 and above.

    A name that does not exist is worth a word only where no name did: a resolver tries its search domains first (resolv.conf(5), ndots).
    """
    for traced in case.paths:
        if traced.path.direction is Direction.REPLY and traced.flow.server is not None:
            yield from _dns(case, traced)
            yield from _http(case, traced)


def _dns(case: Case, traced: TracedPath) -> Iterator[Finding]:
    codes = notice_codes(case, traced, Notice.DNS_ERROR)
    wrong = (codes != NO_CODE) & ((codes != _NXDOMAIN) | bool((codes == _NXDOMAIN).all()))
    if wrong.any():
        names = [_RCODES.get(code, f"RCODE {code}") for code in np.unique(codes[wrong]).tolist()]
        yield _finding(case, traced, np.flatnonzero(wrong).astype(np.int32), f"DNS {', '.join(names)}", _LOOK_DNS)


def _http(case: Case, traced: TracedPath) -> Iterator[Finding]:
    codes = notice_codes(case, traced, Notice.HTTP_ERROR)
    wrong = np.flatnonzero(codes != NO_CODE).astype(np.int32)
    if len(wrong):
        yield _finding(case, traced, wrong, f"HTTP {', '.join(map(str, np.unique(codes[wrong]).tolist()))}", _LOOK_HTTP)


def _finding(case: Case, traced: TracedPath, which: I32, what: str, look: str) -> Finding:
    server = traced.flow.server
    where = host_port(server.address, server.port) if server is not None else ""
    hop, frames = frames_of(traced, which)
    seen_at = traced.path.hops[hop]
    return Finding(
        cause=APPLICATION_ERROR.slug,
        confidence=Confidence.CERTAIN,
        severity=Severity.INFO,
        packets=len(which),
        summary=f"{where} answers with an error: {what} in {len(which)} of {len(traced.journeys)} replies",
        flow=traced.flow.id,
        direction=Direction.REPLY,
        evidence=(
            Evidence(
                kind=EvidenceKind.PACKETS,
                text=f"{len(which)} x {what} from {where} at {place_text(seen_at)}",
                frames=frame_refs(case, seen_at.tap, frames),
            ),
        ),
        remediation=APPLICATION_ERROR.remedy(look=look),
    )
