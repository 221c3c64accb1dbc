"""Did segmentation offload put two encapsulated packets into one?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, U8, PacketTable, address_text
from kubectl_vxtrace.model.protocol import ETHERNET_BYTES, IPV4_BYTES, UDP_BYTES, VXLAN_BYTES, IpProtocol
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

TUNNEL_GSO_BUG = Cause(
    slug="tunnel-gso-bug",
    remediation=(
        "Look on {node}: uname -r; ethtool -k {device} | grep -E 'gso|udp'. Fix: ethtool -K {device} tx-udp-segmentation off; ethtool "
        "-K with gro off on the interface that the packets come in by; and a newer kernel."
    ),
    source="tailscale/tailscale issue 11026; Linux Documentation/networking/segmentation-offloads.rst",
    is_circumstance=True,
    stage=Stage.DEVICE,
)
CAUSES = (TUNNEL_GSO_BUG,)


# RFC 7348, 5: VXLAN, inner Ethernet and IPv4: no packet needs less to be carried inside another's frame.
_GLUED_BYTES = VXLAN_BYTES + ETHERNET_BYTES + IPV4_BYTES
# What a frame has beside the inner UDP payload: outer Ethernet, IPv4, UDP, VXLAN, inner Ethernet, IPv4, UDP (RFC 7348, 5).
_AROUND_UDP_BYTES = 2 * (ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES) + VXLAN_BYTES
# RFC 9293, 3.1: a TCP header has at most 60 bytes, UDP's has 8.
_MOST_L4_BYTES = 60 - UDP_BYTES
# Above this the IPv4 header cannot say a packet's length, and says 0 (Linux BIG TCP): nothing can be read from it.
_MOST_FRAME_BYTES = ETHERNET_BYTES + 65535


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `tunnel-gso-bug`: packets that vanish between VXLAN device and NIC while frames leave that are longer than their packet."""
    out = segment.end
    table, before = case.tables.get(out.tap), case.tables.get(segment.start.tap)
    if table is None or before is None:
        return
    rows = _overlong(table, loss.path.outer_destination)
    if not len(rows):
        return
    spare = int((table.wire_bytes[rows] - table.payload_bytes[rows] - _AROUND_UDP_BYTES).sum())
    wanted = before.wire_bytes[rows_at(loss, segment.start)]
    room = spare >= int(wanted.sum()) + VXLAN_BYTES * len(wanted)
    text = f"{len(rows)} frames at {place_text(out)} are longer than the one packet that their inner IP header names, by {spare} bytes; "
    text += f"the lost packets have {int(wanted.sum())}"
    doubts = [] if room else ["another cause for some of the packets: the frames have no room for all of them"]
    doubts += [f"an accident: only {len(rows)} such frames"] if len(rows) < judgement.FEW_PACKETS else []
    interface = out.tap.interface or "NIC"
    yield error_finding(
        case,
        loss,
        TUNNEL_GSO_BUG,
        Confidence.POSSIBLE if doubts else Confidence.CERTAIN,
        f"{place_text(out)} sends frames with more than one VXLAN packet under one outer header: only the first of them arrives",
        [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, out.tap, rows))],
        remediation=TUNNEL_GSO_BUG.remedy(node=out.tap.node, device=interface),
        not_ruled_out=doubts,
    )


def _overlong(table: PacketTable, destination: str | None) -> I32:
    """Rows of IPv4 VXLAN frames (to an outer destination, if it is known) that hold more than the packet that their inner header names."""
    conversations, ends = table.conversations, table.tunnels.destination
    meant = _is_v4(ends) & np.array([destination in (None, address_text(end)) for end in ends], dtype=np.bool_)
    rows = np.flatnonzero((table.tunnel >= 0) & (table.conversation >= 0) & (table.wire_bytes <= _MOST_FRAME_BYTES))
    rows = rows[meant[table.tunnel[rows]] & _is_v4(conversations.source)[table.conversation[rows]]]
    header = np.where(conversations.protocol[table.conversation[rows]] == IpProtocol.UDP, 0, _MOST_L4_BYTES)
    least = table.payload_bytes[rows] + _AROUND_UDP_BYTES + _GLUED_BYTES + header
    overlong: I32 = rows[table.wire_bytes[rows] >= least].astype(np.int32)
    return overlong


def _is_v4(addresses: U8) -> NDArray[np.bool_]:
    """RFC 4291, 2.5.5.2: ten zero bytes stand before a mapped address, and before `::1`, which no tunnel has."""
    mapped: NDArray[np.bool_] = (addresses[:, :10] == 0).all(axis=1)
    return mapped
