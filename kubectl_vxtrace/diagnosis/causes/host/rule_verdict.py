"""What a dropping rule stands for, given the packets that it took."""

from dataclasses import dataclass

from kubectl_vxtrace.model.report import Confidence, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A cause's slug, and what shows that the rule stands for it here.

    says: a few words on the packets, for the summary. doubts: what it may stand for as well. most: the confidence that is left.
    remediation: None for that of the cause.
    """

    cause: str
    proofs: tuple[Evidence, ...] = ()
    says: str | None = None
    doubts: tuple[str, ...] = ()
    most: Confidence = Confidence.CERTAIN
    remediation: str | None = None
