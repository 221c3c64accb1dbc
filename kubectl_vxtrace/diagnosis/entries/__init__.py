"""The known causes: one entry each, by subject. A cause is named by a check in the module of its question."""

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.entries import encapsulation, filtering, offload, routing, server, service, sight, tracking, wire

__all__ = ["CAUSES", "Cause"]

_SUBJECTS = (
    wire.CAUSES,
    encapsulation.CAUSES,
    offload.CAUSES,
    routing.CAUSES,
    filtering.CAUSES,
    tracking.CAUSES,
    service.CAUSES,
    server.CAUSES,
    sight.CAUSES,
)

CAUSES: dict[str, Cause] = {cause.slug: cause for causes in _SUBJECTS for cause in causes}
