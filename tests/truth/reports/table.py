"""All rows."""

from tests.truth.reports import filters, local_destinations, pods, routing, services, streams, translation, underlay
from tests.truth.reports.mechanism import Mechanism

MECHANISMS: tuple[Mechanism, ...] = (
    *local_destinations.MECHANISMS,
    *services.MECHANISMS,
    *translation.MECHANISMS,
    *pods.MECHANISMS,
    *routing.MECHANISMS,
    *filters.MECHANISMS,
    *underlay.MECHANISMS,
    *streams.MECHANISMS,
)
