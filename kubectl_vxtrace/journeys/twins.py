"""Which backend a Service's packets went to, where one client port went to several: packet by packet, by their translated twins."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows, pack
from kubectl_vxtrace.journeys.identity import NOBODY, SEVERAL
from kubectl_vxtrace.journeys.sightings import Sightings
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Tap

NEVER = np.iinfo(np.int64).max


def name_backends(tables: Mapping[Tap, PacketTable], seen: Mapping[Tap, Sightings], backends: NDArray[np.int32]) -> dict[Tap, Sightings]:
    """The sightings with the backend filled in that their connection went to.

    A client port that went to several backends is told apart packet by packet: by the same IP ID, TCP sequence number and payload
    seen in server form; of equal packets by the one that is nearest in time. What nothing names stays NOBODY.
    """
    learned = _Learned(tables, seen, backends)
    found: dict[Tap, Sightings] = {}
    for tap, one in seen.items():
        nameless = np.flatnonzero(one.planned == NOBODY)
        guess = backends[one.group[nameless], one.client_port[nameless]]
        planned = one.planned.copy()
        planned[nameless] = np.where(guess == SEVERAL, NOBODY, guess)
        unclear = nameless[guess == SEVERAL]
        if len(unclear):
            planned[unclear] = learned.backend(tap, unclear)
        found[tap] = replace(one, planned=planned)
    return found


class _Learned:
    """Packets of client ports that went to several backends, and which of the backends their translated twins name."""

    def __init__(self, tables: Mapping[Tap, PacketTable], seen: Mapping[Tap, Sightings], backends: NDArray[np.int32]) -> None:
        several = backends == SEVERAL
        if not several.any():
            return
        self._which = {tap: np.flatnonzero(several[one.group, one.client_port]) for tap, one in seen.items()}
        parts = [(tap, seen[tap].take(which)) for tap, which in self._which.items() if len(which)]
        if not parts:
            return
        columns = zip(*(_packet_columns(tables[tap], one) for tap, one in parts), strict=True)
        numbers = number_rows([np.concatenate(column) for column in columns])
        planned = np.concatenate([one.planned for _, one in parts])
        answers, unclear = _only_ones(numbers, planned)
        if len(unclear):
            nodes = {node: number for number, node in enumerate(sorted({tap.node for tap, _ in parts}))}
            node = np.concatenate([np.full(len(one), nodes[tap.node]) for tap, one in parts])[unclear]
            times_ns = np.concatenate([tables[tap].time_ns[one.row] for tap, one in parts])[unclear]
            here = _nearest(numbers[unclear] * np.int64(len(nodes)) + node, times_ns, planned[unclear])
            anywhere = _nearest(numbers[unclear].astype(np.int64), times_ns, planned[unclear])
            answers[unclear] = np.where(here == NOBODY, anywhere, here)
        cuts = np.cumsum([len(one) for _, one in parts])[:-1]
        self._answers = dict(zip((tap for tap, _ in parts), np.split(answers, cuts), strict=True))

    def backend(self, tap: Tap, which: NDArray[np.intp]) -> I32:
        """Backends of some of the tap's sightings."""
        answers = self._answers[tap][np.searchsorted(self._which[tap], which)]
        return np.asarray(answers, dtype=np.int32)


def _only_ones(numbers: I32, planned: I32) -> tuple[I32, NDArray[np.intp]]:
    """The backend that each row's twins name; the rows whose twins name several."""
    size = int(numbers.max()) + 1
    low, high = np.full(size, np.iinfo(np.int32).max, dtype=np.int32), np.full(size, NOBODY, dtype=np.int32)
    named = np.flatnonzero(planned != NOBODY)
    np.minimum.at(low, numbers[named], planned[named])
    np.maximum.at(high, numbers[named], planned[named])
    return np.where(high == NOBODY, high, low)[numbers], np.flatnonzero((low < high)[numbers])


def _nearest(keys: I64, times_ns: I64, planned: I32) -> I32:
    """The backend of the named row with the same key that is nearest in time, NOBODY for none. Clocks of two nodes may differ, so that
    twins on the row's own node are asked first."""
    order = np.lexsort((times_ns, keys))
    keys, times_ns, planned = keys[order], times_ns[order], planned[order]
    index, named = np.arange(len(order)), planned != NOBODY
    before = np.maximum.accumulate(np.where(named, index, 0))
    after = np.minimum.accumulate(np.where(named, index, len(order) - 1)[::-1])[::-1]
    gaps = [np.where(named[one] & (keys[one] == keys), np.abs(times_ns - times_ns[one]), NEVER) for one in (before, after)]
    chosen = planned[np.where(gaps[0] <= gaps[1], before, after)]
    found = np.empty_like(planned)
    found[order] = np.where(np.minimum(*gaps) == NEVER, NOBODY, chosen)
    return found


def _packet_columns(table: PacketTable, one: Sightings) -> tuple[NDArray[np.uint64], ...]:
    rows = one.row
    ports = pack(one.client_port, table.ip_id[rows], table.seq[rows])
    whose = (one.group.astype(np.uint64) << np.uint64(1)) | one.direction.astype(np.uint64)
    return ports, table.digest[rows].astype(np.uint64), whose
