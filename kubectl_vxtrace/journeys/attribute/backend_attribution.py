"""Which backend a Service's packets went to: by client port, and packet by packet where one port went to several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.conntrack import Translations
from kubectl_vxtrace.journeys.attribute.groups import FlowGroup
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, SEVERAL_FLOWS, FlowFrames
from kubectl_vxtrace.journeys.same_packet import BACKEND_KEY, Field, key_columns, number_packets
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Tap

NEVER = np.iinfo(np.int64).max


def backends_of_ports(groups: Sequence[FlowGroup], frames_of: Mapping[Tap, FlowFrames], translations: Translations) -> I32:
    """The one planned flow that frames (or else conntrack) name, NO_FLOW or SEVERAL_FLOWS: shape (groups, client ports)."""
    most = np.iinfo(np.int32).max
    low, high = np.full(len(groups) * PORTS, most, dtype=np.int32), np.full(len(groups) * PORTS, NO_FLOW, dtype=np.int32)
    for frames in frames_of.values():
        named = np.flatnonzero(frames.planned != NO_FLOW)
        index = frames.group[named] * PORTS + frames.client_port[named]
        np.minimum.at(low, index, frames.planned[named])
        np.maximum.at(high, index, frames.planned[named])
    backends = np.where(high == NO_FLOW, NO_FLOW, np.where(low == high, low, SEVERAL_FLOWS)).reshape(len(groups), PORTS)
    return np.where(backends == NO_FLOW, translations.backends, backends).astype(np.int32)


def with_backends(tables: Mapping[Tap, PacketTable], frames_of: Mapping[Tap, FlowFrames], backends: I32) -> dict[Tap, FlowFrames]:
    """The frames with the backend filled in that their connection went to.

    A client port that went to several backends is told apart packet by packet, by the same packet in server form
    (`same_packet.BACKEND_KEY`); of equal packets by the one that is nearest in time. What nothing names stays NO_FLOW.
    """
    by_packet = _BackendsByPacket(tables, frames_of, backends)
    filled: dict[Tap, FlowFrames] = {}
    for tap, frames in frames_of.items():
        unknown = np.flatnonzero(frames.planned == NO_FLOW)
        of_port = backends[frames.group[unknown], frames.client_port[unknown]]
        planned = frames.planned.copy()
        planned[unknown] = np.where(of_port == SEVERAL_FLOWS, NO_FLOW, of_port)
        unclear = unknown[of_port == SEVERAL_FLOWS]
        if len(unclear):
            planned[unclear] = by_packet.backends(tap, unclear)
        filled[tap] = replace(frames, planned=planned)
    return filled


class _BackendsByPacket:
    """Packets of client ports that went to several backends, and which of the backends their translated forms name."""

    def __init__(self, tables: Mapping[Tap, PacketTable], frames_of: Mapping[Tap, FlowFrames], backends: I32) -> None:
        is_several = backends == SEVERAL_FLOWS
        if not is_several.any():
            return
        self._which = {tap: np.flatnonzero(is_several[frames.group, frames.client_port]) for tap, frames in frames_of.items()}
        chosen = [(tap, frames_of[tap].take(which)) for tap, which in self._which.items() if len(which)]
        if not chosen:
            return
        numbers = number_packets([key_columns(BACKEND_KEY, tables[tap], frames.row, _attributed(frames)) for tap, frames in chosen])
        planned = np.concatenate([frames.planned for _, frames in chosen])
        answers, unclear = _only_backends(numbers, planned)
        if len(unclear):
            nodes = {node: number for number, node in enumerate(sorted({tap.node for tap, _ in chosen}))}
            node = np.concatenate([np.full(len(frames), nodes[tap.node]) for tap, frames in chosen])[unclear]
            times_ns = np.concatenate([tables[tap].time_ns[frames.row] for tap, frames in chosen])[unclear]
            here = _nearest_backends(numbers[unclear] * np.int64(len(nodes)) + node, times_ns, planned[unclear])
            anywhere = _nearest_backends(numbers[unclear].astype(np.int64), times_ns, planned[unclear])
            answers[unclear] = np.where(here == NO_FLOW, anywhere, here)
        cuts = np.cumsum([len(frames) for _, frames in chosen])[:-1]
        self._answers = dict(zip((tap for tap, _ in chosen), np.split(answers, cuts), strict=True))

    def backends(self, tap: Tap, which: NDArray[np.intp]) -> I32:
        """Backends of some of the tap's frames."""
        answers = self._answers[tap][np.searchsorted(self._which[tap], which)]
        return np.asarray(answers, dtype=np.int32)


def _attributed(frames: FlowFrames) -> dict[Field, NDArray[np.generic]]:
    return {Field.CLIENT_PORT: frames.client_port, Field.GROUP: frames.group, Field.DIRECTION: frames.direction}


def _only_backends(numbers: I32, planned: I32) -> tuple[I32, NDArray[np.intp]]:
    """The backend that each row's equal rows name; the rows whose equal ones name several."""
    size = int(numbers.max()) + 1
    low, high = np.full(size, np.iinfo(np.int32).max, dtype=np.int32), np.full(size, NO_FLOW, dtype=np.int32)
    named = np.flatnonzero(planned != NO_FLOW)
    np.minimum.at(low, numbers[named], planned[named])
    np.maximum.at(high, numbers[named], planned[named])
    return np.where(high == NO_FLOW, high, low)[numbers], np.flatnonzero((low < high)[numbers])


def _nearest_backends(keys: I64, times_ns: I64, planned: I32) -> I32:
    """The backend of the named row with the same key that is nearest in time, NO_FLOW for none. Clocks of two nodes may differ, so that
    rows of the same node are asked first."""
    order = np.lexsort((times_ns, keys))
    keys, times_ns, planned = keys[order], times_ns[order], planned[order]
    index, is_named = np.arange(len(order)), planned != NO_FLOW
    before = np.maximum.accumulate(np.where(is_named, index, 0))
    after = np.minimum.accumulate(np.where(is_named, index, len(order) - 1)[::-1])[::-1]
    gaps = [np.where(is_named[at] & (keys[at] == keys), np.abs(times_ns - times_ns[at]), NEVER) for at in (before, after)]
    chosen = planned[np.where(gaps[0] <= gaps[1], before, after)]
    nearest = np.empty_like(planned)
    nearest[order] = np.where(np.minimum(*gaps) == NEVER, NO_FLOW, chosen)
    return nearest
