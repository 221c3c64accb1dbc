"""The known causes: one entry each, by subject. A cause is named by a check in the module of its question."""

from kubectl_vxtrace.diagnosis.causes import encapsulation, filtering, offload, routing, server, service, sight, tracking, wire
from kubectl_vxtrace.diagnosis.causes.cause import Cause

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
