"""Do captures hold frames between the ends that could not be followed?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.diagnosis.evidence.asked_ends import frames_of_ends
from kubectl_vxtrace.model.report import Confidence, Finding, Severity


def check_case(case: LossCase) -> Iterator[Finding]:
    """A note of the frames between the ends where no flow was seen: in a form that nobody planned, or outside the common window."""
    frames = () if case.paths else tuple(frames_of_ends(case))
    if frames:
        yield Finding(
            cause=UNKNOWN.slug,
            confidence=Confidence.CERTAIN,
            severity=Severity.INFO,
            packets=max(one.count for one in frames),
            summary="frames between the ends were seen in a form, or at a time, in which they cannot be followed over the hops",
            evidence=tuple(one.evidence() for one in frames),
        )
