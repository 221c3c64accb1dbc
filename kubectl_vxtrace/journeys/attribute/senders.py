"""Which client's port sent a packet, by what translation leaves of it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, FlowFrames
from kubectl_vxtrace.model.packets import I32, I64
from kubectl_vxtrace.model.path import Tap


class Senders:
    """Which client's port sent what: `number` is the same for what translation cannot tell apart. A sender is a group and a port."""

    def __init__(self, number: I32, requests: Mapping[Tap, FlowFrames]) -> None:
        group = np.concatenate([frames.group for frames in requests.values()])
        port = np.concatenate([frames.client_port for frames in requests.values()])
        sender = group.astype(np.int64) * PORTS + port
        size = int(number.max(initial=-1)) + 1
        self._least, self._most = np.full(size, np.iinfo(np.int64).max, dtype=np.int64), np.full(size, NO_FLOW, dtype=np.int64)
        np.minimum.at(self._least, number, sender)
        np.maximum.at(self._most, number, sender)
        with_port = number.astype(np.int64) * PORTS + port
        order = np.lexsort((group, with_port))
        self._with_port, first, count = np.unique(with_port[order], return_index=True, return_counts=True)
        self._sender = np.where(group[order][first] == group[order][first + count - 1], sender[order][first], NO_FLOW)
        cuts = np.cumsum([len(frames) for frames in requests.values()])[:-1]
        self._at_tap = dict(zip(requests, zip(np.split(number, cuts), np.split(sender, cuts), strict=True), strict=True))

    def of(self, number: I32, kept: NDArray[np.generic]) -> tuple[I64, NDArray[np.bool_]]:
        """For each packet its sender, NO_FLOW for none; and whether no other can have sent it. `kept`: the port that it has now."""
        inside = np.minimum(number, len(self._most) - 1)
        sender = np.where(number < len(self._most), self._most[inside], NO_FLOW)
        several = (sender != NO_FLOW) & (self._least[inside] != sender)
        wanted = number.astype(np.int64) * PORTS + kept.astype(np.int64)
        index = np.minimum(np.searchsorted(self._with_port, wanted), len(self._with_port) - 1)
        keeper = np.where(self._with_port[index] == wanted, self._sender[index], NO_FLOW)
        return np.where(several & (keeper != NO_FLOW), keeper, sender), ~several | (keeper != NO_FLOW)

    def passed(self, tap: Tap, sender: int, number: I32) -> bool:
        """Whether any of these packets passed a tap as the sender's own."""
        numbers, senders = self._at_tap.get(tap, (number[:0], np.zeros(0, np.int64)))
        return bool(np.isin(number, numbers[senders == sender]).any())
