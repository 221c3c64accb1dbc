"""The same packet at every hop: through address translation, encapsulation, segmentation offload and clocks that differ.

Pure: takes a recording and its packet tables, returns the counted journeys.
"""

from kubectl_vxtrace.journeys.follow import follow
from kubectl_vxtrace.journeys.foreign import with_foreign_sources
from kubectl_vxtrace.journeys.select import shown

__all__ = ["follow", "shown", "with_foreign_sources"]
