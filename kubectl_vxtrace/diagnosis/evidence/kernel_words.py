"""What the kernel itself said of drops, as a proof for a check that knows which reasons it asks for."""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.evidence.kernel_drops import words
from kubectl_vxtrace.diagnosis.losses import Trouble
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Evidence


def kernel_words(case: Case, trouble: Trouble, hop: Hop, reasons: Sequence[str]) -> Iterator[Evidence]:
    """A proof where the kernel of the hop's node named drops for one of `reasons` that fit the packets seen there; see `drops`."""
    yield from (word.evidence for word in words(case, trouble, hop=hop, reasons=reasons)[:1])
