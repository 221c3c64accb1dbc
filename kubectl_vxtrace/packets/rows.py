"""Columns that grow while a file is read."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class GrowingColumns:
    """Columns of equal length that rows are added to.

    One array for each column, a little longer than is needed: collected in parts and joined at the end, columns would be in memory twice.
    """

    def __init__(self, dtypes: Mapping[str, type[np.generic]]) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype) for name, dtype in dtypes.items()}
        self._room = 0
        self.rows = 0

    def add(self, parts: Mapping[str, NDArray[Any]], rows: int) -> None:
        """Add `rows` rows; `parts` has each of the columns."""
        self.reserve(rows)
        begin, self.rows = self.rows, self.rows + rows
        for name, column in self._columns.items():
            column[begin : self.rows] = parts[name]

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows more, and for an eighth of all, so that few additions need new room."""
        if self.rows + rows > self._room:
            self._resize(self.rows + rows + self._room // 8)

    def finish(self) -> dict[str, NDArray[Any]]:
        """The columns; nothing can be added any more."""
        self._resize(self.rows)
        return self._columns

    def _resize(self, room: int) -> None:
        """Linux' C library moves large arrays by their page tables (mremap), so that growing copies nothing."""
        self._room = room
        for column in self._columns.values():
            column.resize(room, refcheck=False)
