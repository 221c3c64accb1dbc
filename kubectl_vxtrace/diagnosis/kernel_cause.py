"""The cause that follows from the kernel's word alone, where no check has named one."""

from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_word
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.places_to_look import look_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Finding


def said_by_kernel(case: Case, loss: Loss) -> Finding | None:
    """A `likely` finding where the reason for which the kernel dropped the packets has one cause only; its remedy is to look."""
    word = kernel_word(case, loss)
    if word is None or word.meaning is None or word.meaning.cause not in CAUSES:
        return None
    noun = direction_noun(loss.path.direction, loss.packets)
    return error_finding(
        case,
        loss,
        CAUSES[word.meaning.cause],
        Confidence.LIKELY,
        f"the kernel of {word.node} dropped {loss.packets} {noun} after {place_text(loss.start)}, {word.text}",
        [word.evidence],
        remediation=look_text(case, loss, word),
    )
