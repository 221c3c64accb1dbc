"""The counts of the datagrams that nodes sent each other to compare ports, checksums and sizes (--ab), as rows of a table."""

from collections.abc import Iterable, Sequence

from kubectl_vxtrace.model.report import Decides, NodeComparison

TITLE = "datagrams between the nodes"
HEADERS = ("from", "to", "UDP port", "outer checksum", "bytes", "sent", "left", "arrived")
NUMBERS = frozenset({2, 4, 5, 6, 7})
"""Columns that are aligned on the right."""

_MOST = 4
"""Ways between nodes that a terminal has room for."""


def rows(found: Iterable[NodeComparison]) -> list[list[str]]:
    """A row for each way between two nodes and each kind of datagram."""
    return [
        [
            way.from_,
            way.to,
            str(each.port),
            "with" if each.checksum else "without",
            str(each.bytes),
            *("?" if count is None else str(count) for count in (each.sent, each.left, each.arrived)),
        ]
        for way in found
        for each in way.variants
    ]


def telling(found: Sequence[NodeComparison]) -> tuple[NodeComparison, ...]:
    """Of ways on which something was sent and not all arrives the first few: of the others a sentence says it all."""
    return tuple(way for way in found if way.decides not in (Decides.NOTHING, Decides.NOT_SENT))[:_MOST]
