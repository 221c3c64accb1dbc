"""Which outer packets of a capture are in fragments, and which pieces of them are there."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.protocol import ETHERNET_BYTES, FRAGMENT_OFFSET, IPV4_BYTES, UDP_BYTES, VXLAN_BYTES, IpProtocol

# RFC 7348, 5: outer Ethernet, IPv4, UDP and VXLAN, inner Ethernet and IPv4; then 8 bytes of UDP (RFC 768) or ICMP, TCP's header is longer.
_LEAST_BYTES = 2 * (ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES) + VXLAN_BYTES


def outer_fragmented(table: PacketTable) -> NDArray[np.bool_]:
    """For each row whether it is the first fragment of an outer packet: its frame is shorter than what its own headers say it holds."""
    # A later fragment of an inner packet has no L4 header, and is not judged: its train's first one is.
    begins = (table.tunnel >= 0) & (table.fragment & FRAGMENT_OFFSET == 0)
    short: NDArray[np.bool_] = begins & (table.wire_bytes < table.payload_bytes + _LEAST_BYTES)
    return short


def later_pieces(table: PacketTable) -> I32:
    """Rows of later fragments of UDP packets: they have no UDP header, so that nothing says what they carry."""
    rows = np.flatnonzero((table.tunnel < 0) & (table.fragment & FRAGMENT_OFFSET != 0) & (table.conversation >= 0))
    pieces: I32 = rows[table.conversations.protocol[table.conversation[rows]] == IpProtocol.UDP].astype(np.int32)
    return pieces


def pieces_seen(here: PacketTable, rows: I32, there: PacketTable) -> tuple[int, int]:
    """Of how many outer packets, whose first fragments are `rows` of `here`, `there` holds the first fragment, and of how many a later one.

    Joined by outer addresses and IP ID (RFC 791, 3.2).
    """
    wanted = _heads(here, rows)
    firsts = _heads(there, np.flatnonzero(there.tunnel >= 0).astype(np.int32))
    tails = later_pieces(there)
    conversation = there.conversation[tails]
    ends = there.conversations
    later = _keys(ends.source[conversation], ends.destination[conversation], there.ip_id[tails])
    return int(np.isin(wanted, firsts).sum()), int(np.isin(wanted, later).sum())


def _heads(table: PacketTable, rows: I32) -> NDArray[np.void]:
    tunnel = table.tunnel[rows]
    return _keys(table.tunnels.source[tunnel], table.tunnels.destination[tunnel], table.outer_id[rows])


def _keys(source: NDArray[np.uint8], destination: NDArray[np.uint8], ip_id: NDArray[np.uint16]) -> NDArray[np.void]:
    number: I64 = np.ascontiguousarray(ip_id.astype(">u2")).view(np.uint8).reshape(-1, 2).astype(np.int64)
    raw = np.ascontiguousarray(np.concatenate([source, destination, number.astype(np.uint8)], axis=1))
    return raw.view(np.dtype((np.void, raw.shape[1]))).reshape(-1)
