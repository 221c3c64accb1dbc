"""What ends say of themselves (`model.packets.Notice`), packet by packet of a path."""

import numpy as np

from kubectl_vxtrace.model.journeys import Case, TracedPath
from kubectl_vxtrace.model.packets import I32, Notice

NO_CODE = -1


def notice_codes(case: Case, traced: TracedPath, notice: Notice) -> I32:
    """For each packet of a path the code of such a notice in it, NO_CODE where it has none; any hop that saw it tells."""
    codes = np.full(len(traced.journeys), NO_CODE, dtype=np.int32)
    for index, hop in enumerate(traced.path.hops):
        table = case.tables.get(hop.tap)
        if table is None or not len(table.notices):
            continue
        which = table.notices.notice == notice
        of_frame = np.full(len(table) + 1, NO_CODE, dtype=np.int32)  # the last stands for -1, unseen
        of_frame[table.notices.row[which]] = table.notices.code[which]
        codes = np.maximum(codes, of_frame[traced.journeys.row[:, index]])
    return codes


def frames_of(traced: TracedPath, which: I32) -> tuple[int, I32]:
    """A hop, counted from 0, that saw packets of a path (the last that did), and their frames there."""
    rows = traced.journeys.row[which]
    hop = int(np.flatnonzero((rows >= 0).any(axis=0))[-1])
    return hop, rows[rows[:, hop] >= 0, hop].astype(np.int32)
