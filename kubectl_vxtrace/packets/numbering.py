"""Numbers for values in the order of their first appearance, over any number of arrays."""

from typing import Self

import numpy as np

from kubectl_vxtrace.model.packets import U64
from kubectl_vxtrace.packets.cursor import BOOL


class Numbering:
    """Gives each distinct value a number, from 0 on; the same value has the same number in every array."""

    def __init__(self) -> None:
        self._values: U64 = np.zeros(0, np.uint64)
        self._numbers: U64 = np.zeros(0, np.uint64)

    def numbers(self, values: U64) -> U64:
        """The values' numbers; those that are new get the next ones."""
        distinct, first, index = np.unique(values, return_index=True, return_inverse=True)
        place = np.searchsorted(self._values, distinct)
        new = np.flatnonzero(~self.knows(distinct))
        number = np.empty(len(distinct), np.uint64)
        number[new[np.argsort(first[new])]] = np.arange(len(self._values), len(self._values) + len(new), dtype=np.uint64)
        self._values = np.insert(self._values, place[new], distinct[new])
        self._numbers = np.insert(self._numbers, place[new], number[new])
        found: U64 = self._numbers[np.searchsorted(self._values, distinct)][index.reshape(-1)]
        return found

    def knows(self, values: U64) -> BOOL:
        """Which values have numbers."""
        if not len(self._values):
            return np.zeros(len(values), np.bool_)
        place = np.minimum(np.searchsorted(self._values, values), len(self._values) - 1)
        known: BOOL = self._values[place] == values
        return known

    def copy(self) -> Self:
        """Another with the same numbers so far."""
        made = type(self)()
        made._values, made._numbers = self._values, self._numbers
        return made
