"""What could not be seen."""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.model.report import BEFORE_TAP, PAST_TAP, Confidence, Evidence, EvidenceKind, Finding, HopCount, Severity

CAPTURE_BLIND = Cause(
    slug="capture-blind",
    remediation="Trace again; if the kernel dropped packets at the capture, narrow it with --filter or --port.",
    source="tcpdump's closing numbers",
)
CAUSES = (CAPTURE_BLIND,)

# By words of the reasons, which journeys/witness, capture/ and topology/ write.
_REMEDIES = (
    (("tc program", "XDP program"), "Look at what the program does ({where}: bpftool net show; tc filter show), and capture behind it."),
    (("too short",), "Trace again with a larger --snaplen."),
    (
        ("interface is not known", "ports that may be", "is not known"),
        "Look on {node}: ip route get and bridge link for the pod's address; "
        "name what is found with --hop when you analyze captures made by hand.",
    ),
    (("no debug pod", "did not answer"), "See why no debug pod ran on {node}: kubectl describe node {node}; kubectl vxtrace check."),
    (("no capture of",), "Record on {node} as well, and give its files to analyze."),
    (("saw every packet twice",), "Capture without -i any and without promiscuous mode on {where}."),
)


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `capture-blind`, one for each blind interface."""
    warned: set[tuple[str, str | None]] = set()
    for count in (count for traced in case.paths for count in traced.hops):
        if count.expected and not count.witness and (count.node, count.interface) not in warned:
            warned.add((count.node, count.interface))
            yield _blind(count)


def _blind(count: HopCount) -> Finding:
    reason = count.reason or "its capture is not complete"
    return Finding(
        cause=CAPTURE_BLIND.slug,
        confidence=Confidence.CERTAIN,
        severity=Severity.INFO if reason.endswith(PAST_TAP) else Severity.WARNING,
        packets=0,
        summary=f"{count.node}/{count.interface or count.role} cannot testify: {reason}",
        evidence=(Evidence(kind=EvidenceKind.ABSENCE, text=reason),),
        remediation=_remedy(count, reason),
    )


def _remedy(count: HopCount, reason: str) -> str:
    """How to see there, by the reason: a program before the tap stays whatever is traced again."""
    if reason.endswith(PAST_TAP):
        return "Nothing is wrong there. Who must see what comes in captures in the pod's network namespace (kubectl debug, or nsenter)."
    if reason.endswith(BEFORE_TAP):
        return (
            f"Look on {count.node} what becomes of the packets: bpftool net show; tc -s filter show dev DEVICE ingress (and egress); the "
            "agent's own monitor (cilium-dbg monitor --type drop). A capture inside the pod's network namespace sees what comes in."
        )
    where = f"{count.node}/{count.interface}" if count.interface else count.node
    for words, remedy in _REMEDIES:
        if any(word in reason for word in words):
            return remedy.format(where=where, node=count.node)
    return CAPTURE_BLIND.remedy()
